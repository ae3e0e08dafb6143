import { once } from 'node:events';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { request } from 'node:https';
import type { IdentityService, JoinedDevice } from '../../../src/testing/index.ts';

/** A request with exactly these headers, and options of its connection. */
export interface RawRequest {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | URLSearchParams;
  /** The device whose certificate the client presents. */
  readonly device?: JoinedDevice | undefined;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The body as JSON. */
  readonly json: Record<string, unknown>;
}

/** Sends a request to a service with Node's own client, without keyprov. */
export async function send(service: IdentityService, path: string, given: RawRequest = {}): Promise<RawAnswer> {
  const { body, headers = {}, device } = given;
  const isForm = body instanceof URLSearchParams;
  const sent = request(new URL(path, service.url), {
    method: given.method ?? (body === undefined ? 'GET' : 'POST'),
    headers: { ...(isForm && { 'content-type': 'application/x-www-form-urlencoded' }), ...headers },
    ca: service.ca,
    agent: false,
    ...(device && { cert: device.certificate, key: device.privateKey }),
  });
  sent.end(body?.toString());
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  return {
    status: answer.statusCode ?? 0,
    headers: answer.headers,
    text,
    get json() {
      return JSON.parse(text);
    },
  };
}

/** Sends a request to the token endpoint. */
export async function askToken(
  service: IdentityService,
  form: Record<string, string>,
  device?: JoinedDevice,
): Promise<RawAnswer> {
  return await send(service, `/${service.tenantId}/oauth2/token`, { body: new URLSearchParams(form), device });
}

/** Gets an access token with name and password. */
export async function passwordToken(
  service: IdentityService,
  user: { readonly upn: string; readonly password: string },
  { resource = '', device }: { readonly resource?: string; readonly device?: JoinedDevice | undefined } = {},
): Promise<string> {
  const form = { grant_type: 'password', client_id: 'test', resource, username: user.upn, password: user.password };
  return String((await askToken(service, form, device)).json.access_token);
}

/** Gets an access token with a device code that the user approves. Requests `ngcmfa` unless `methods` differs. */
export async function deviceCodeToken(
  service: IdentityService,
  upn: string,
  { device, methods = 'ngcmfa' }: { readonly device?: JoinedDevice | undefined; readonly methods?: string } = {},
): Promise<string> {
  const client = { client_id: 'test', resource: 'urn:ms-drs:localhost' };
  const form = new URLSearchParams({ ...client, login_hint: upn, ...(methods && { amr_values: methods }) });
  const asked = await send(service, `/${service.tenantId}/oauth2/devicecode`, { body: form, device });
  const grant = { grant_type: 'device_code', client_id: 'test', code: String(asked.json.device_code) };
  return String((await askToken(service, grant, device)).json.access_token);
}
