import { equal, fromBase64 } from '../../bytes.ts';
import { parseCertificate } from '../../crypto/x509.ts';
import { isKeyprovError } from '../../errors.ts';
import { parseJws, verifyJws } from '../../formats/services/jws.ts';
import { KEY_CREDENTIAL_USAGE } from '../../formats/windows/key-credential-link.ts';
import { decodeKeyMaterial } from '../../formats/windows/key-material.ts';
import { findNgcAssertionProblem, parseNgcAssertion } from '../../formats/windows/ngc-assertion.ts';
import { requestInvalid } from '../../formats/x509/in-request.ts';
import { JsonMembers } from '../../json.ts';
import { ldapReader } from '../../registration/ldap-reader.ts';
import { bindDirectory } from '../directory/directory-connection.ts';
import { primaryAnswer } from './access-answer.ts';
import type { ServiceDevice } from './device-table.ts';
import type { RouteAnswer } from './http.ts';
import { oauthError } from './oauth-error.ts';
import type { ServiceContext } from './service-context.ts';
import { GRAPH_RESOURCE } from './service-context.ts';

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';

/**
 * Sign-in with a registered key: the device signs the request, and the user's key signs the assertion in it. Checks the
 * key in the directory, not the registered one. MS-OAPXBC 3.2.5.1.2.3.
 */
export async function signIn(context: ServiceContext, request: string): Promise<RouteAnswer> {
  const now = context.now();
  const refuse = (description: string) => oauthError({ error: 'invalid_grant', description, aadsts: 50012 }, now);
  try {
    const { device, claims } = await verifyDeviceRequest(context, request);
    if (claims.text('grant_type') !== JWT_BEARER) return refuse('the request is for another grant type');
    const nonce = claims.text('request_nonce');
    if (context.state.nonces.take('sign-in', nonce, now) === undefined) return refuse('the nonce is unknown or used');
    const jwt = claims.text('assertion');
    const assertion = parseNgcAssertion(jwt);
    const user = context.users.find(assertion.issuer);
    if (user === undefined) return refuse('the user of the assertion is unknown');
    if (!audiencesOf(context).includes(assertion.audience)) return refuse('the assertion is for another audience');
    const publicKey = await findKey(context, user.upn, assertion.keyId);
    if (publicKey === undefined) return refuse('the directory does not have this key for the user');
    const seconds = Math.floor(now.getTime() / 1000);
    const problem = findNgcAssertionProblem(jwt, { publicKey, nonce, now: seconds });
    if (problem !== undefined) return refuse(`the assertion is not valid: ${problem}`);
    return await primaryAnswer(context, {
      ...{ user, amr: ['rsa', 'mfa'], authTime: now, device },
      resource: GRAPH_RESOURCE,
      clientId: claims.has('client_id') ? claims.text('client_id') : undefined,
    });
  } catch (error) {
    if (isKeyprovError(error, 'request-invalid')) return refuse(error.message);
    if (!isKeyprovError(error, 'service-unreachable')) throw error;
    const problem = { error: 'temporarily_unavailable', description: 'the directory cannot be reached', aadsts: 90033 };
    return { ...oauthError(problem, now), status: 503 };
  }
}

const audiencesOf = ({ tenantId, origin }: ServiceContext): string[] => [
  'common',
  tenantId,
  `${origin()}/${tenantId}/`,
];

/** @throws KeyprovError `request-invalid` if no device of the service has signed the request, or at another time. */
async function verifyDeviceRequest(
  context: ServiceContext,
  request: string,
): Promise<{ readonly device: ServiceDevice; readonly claims: JsonMembers }> {
  const jws = parseJws(request);
  const header = new JsonMembers('request header', jws.header, requestInvalid);
  const x5c = header.value('x5c');
  const [first]: unknown[] = Array.isArray(x5c) ? x5c : [];
  if (typeof first !== 'string') throw header.wrong('x5c', 'no certificate');
  const der = decodeCertificate(header, first);
  const device = context.state.devices.withCertificate(der);
  if (device === undefined || !device.enabled) throw header.wrong('x5c', 'not the certificate of a joined device');
  const { publicKey } = await parseCertificate(device.certificate);
  if (!verifyJws(jws, publicKey(), 'RS256')) throw header.wrong('x5c', 'its device did not sign the request');
  const claims = JsonMembers.parse('request', jws.payload, requestInvalid);
  const seconds = context.now().getTime() / 1000;
  if (claims.has('exp') && claims.integer('exp') <= seconds) throw claims.wrong('exp', 'it has expired');
  return { device, claims };
}

function decodeCertificate(header: JsonMembers, text: string): Uint8Array {
  try {
    return fromBase64(text);
  } catch (error) {
    if (error instanceof TypeError) throw header.wrong('x5c', error.message);
    throw error;
  }
}

/** Finds the user's key with that Key ID in the directory. */
async function findKey({ options }: ServiceContext, user: string, keyId: string) {
  const { onPremises } = options;
  if (onPremises === undefined) return undefined;
  await using bound = await bindDirectory(onPremises, onPremises.reader);
  const keys = await ldapReader(bound.client, { base: onPremises.base }).read(user);
  const wanted = fromBase64(keyId);
  const found = keys.find((key) => key.usage === KEY_CREDENTIAL_USAGE.NGC && equal(key.keyId, wanted));
  return found && decodeKeyMaterial(found.keyMaterial)?.publicKey;
}
