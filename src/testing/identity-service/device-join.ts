import { randomUUID } from 'node:crypto';
import { toBase64, toHex } from '../../bytes.ts';
import { digest } from '../../crypto/kdf.ts';
import { isKeyprovError } from '../../errors.ts';
import { parseCertificateRequest, verifyCertificateRequest } from '../../formats/x509/certificate-request.ts';
import { requestInvalid } from '../../formats/x509/in-request.ts';
import { JsonMembers } from '../../json.ts';
import { validFor } from './authority.ts';
import { issueDeviceCertificate } from './device-certificate.ts';
import { bearerOf, type RouteAnswer, type RouteRequest } from './http.ts';
import { REGISTRATION_RESOURCE, type ServiceContext } from './service-context.ts';
import { userIdOf } from './users.ts';

/** `POST /EnrollmentServer/device/`: issues a device its certificate. MS-DVRJ 3.1.5.1. */
export async function handleDeviceJoin(context: ServiceContext, request: RouteRequest): Promise<RouteAnswer> {
  const refuse = (status: number, type: string, message: string) =>
    dvrjError(context, request, { status, type, message });
  const version = request.url.searchParams.get('api-version');
  if (version === null || !VERSIONS.has(version)) return refuse(400, 'InvalidParameter', 'api-version is unknown');
  const token = bearerOf(request);
  const claims =
    token === undefined ? 'there is none' : await context.tokens.verify(token, 'access', [REGISTRATION_RESOURCE]);
  if (typeof claims === 'string') return refuse(401, 'AuthenticationError', `The token is not valid: ${claims}.`);
  const user = context.users.find(String(claims.upn));
  if (user === undefined) return refuse(401, 'AuthenticationError', 'The user of the token is unknown.');
  try {
    const { publicKey, displayName, joinType } = readBody(request);
    const deviceId = randomUUID();
    const certificate = await issueDeviceCertificate(
      {
        ...{ publicKey, deviceId, joinType, tenantId: context.tenantId },
        userId: userIdOf(user),
        ...validFor(10),
      },
      context.authority.ca,
    );
    context.state.devices.add({
      ...{ deviceId, upn: user.upn, displayName, certificate },
      ...{ enabled: true, joined: context.now() },
    });
    return {
      status: 200,
      body: {
        Certificate: { Thumbprint: toHex(digest('sha1', certificate)).toUpperCase(), RawBody: toBase64(certificate) },
        User: { Upn: user.upn },
        MembershipChanges: [],
      },
    };
  } catch (error) {
    if (!isKeyprovError(error, 'request-invalid')) throw error;
    return refuse(400, 'InvalidParameter', error.message);
  }
}

const VERSIONS: ReadonlySet<string> = new Set(['1.0', '2.0']);

/** Reads the key of the device. @throws KeyprovError `request-invalid`, also if its key has not signed the request. */
function readBody({ body }: RouteRequest) {
  const join = JsonMembers.parse('device join', body, requestInvalid);
  const wrapped = join.members('CertificateRequest');
  if (wrapped.text('Type') !== 'pkcs10') throw wrapped.wrong('Type', 'not pkcs10');
  const request = parseCertificateRequest(wrapped.base64('Data'));
  const { publicKey } = request;
  if (publicKey?.kty !== 'RSA') throw wrapped.wrong('Data', 'not for an RSA key');
  if (!verifyCertificateRequest(request)) throw wrapped.wrong('Data', 'its signature does not verify');
  return {
    publicKey,
    displayName: join.has('DeviceDisplayName') ? join.text('DeviceDisplayName') : '',
    joinType: join.has('JoinType') ? join.integer('JoinType') : 0,
  };
}

/** MS-DVRJ 2.2.3.1. */
function dvrjError(
  { now }: ServiceContext,
  { requestId }: RouteRequest,
  { status, type, message }: { readonly status: number; readonly type: string; readonly message: string },
): RouteAnswer {
  const [year, month, rest = ''] = now().toISOString().split('-');
  const Time = `${month}-${rest.slice(0, 2)}-${year} ${rest.slice(3, 11)}Z`;
  return { status, body: { ErrorType: type, Message: message, TraceId: requestId, Time } };
}
