import { randomUUID } from 'node:crypto';
import type { Bytes } from '../../bytes.ts';
import { digest } from '../../crypto/kdf.ts';
import { isKeyprovError } from '../../errors.ts';
import { CUSTOM_KEY_FLAGS } from '../../formats/windows/custom-key-information.ts';
import { encodeFileTime } from '../../formats/windows/file-time.ts';
import { buildKeyCredentialLink, KEY_CREDENTIAL_SOURCE } from '../../formats/windows/key-credential-link.ts';
import {
  encodePublicBlob,
  type KeyRegistration,
  parseKeyRegistration,
} from '../../formats/windows/key-registration.ts';
import { JsonMembers } from '../../json.ts';
import { attestationLevel } from './attestation-level.ts';
import { echoHeaders, errorDetails, type RegistrationProblem } from './error-details.ts';
import { bearerOf, bodyText, headerOf, type RouteAnswer, type RouteRequest } from './http.ts';
import type { ServiceKey } from './key-table.ts';
import { checkRegistrationToken } from './registration-token.ts';
import { SYNC_INTERVAL_MS } from './scheduler-text.ts';
import type { ServiceContext } from './service-context.ts';

/** `POST /EnrollmentServer/key/`: registers a key. Checks in the order of MS-KPP 3.1.5.1.1.3. */
export async function handleKeyRegistration(context: ServiceContext, request: RouteRequest): Promise<RouteAnswer> {
  const now = context.now();
  try {
    checkRequest(request);
    const { upn, deviceId } = await checkToken(context, request);
    const user = context.users.find(upn);
    if (user === undefined) throw new Refusal(400, 'DirectoryError', 'The user of the token is not in the directory.');
    const registration = readRegistration(context, request);
    const { kid } = await findOrAdd(context, registration, { upn: user.upn, deviceId });
    const { domainController = 'dc1.contoso.test' } = context.options;
    const pctx = await context.authority.providerContext(domainController);
    return { status: 200, headers: echoHeaders(request), body: { kid, upn: user.upn, pctx } };
  } catch (error) {
    if (error instanceof Refusal) return errorDetails(request, error, now);
    throw error;
  }
}

/** Ends a registration with a response. */
class Refusal extends Error implements RegistrationProblem {
  readonly status: 400 | 401;
  readonly code: string;

  constructor(status: 400 | 401, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Rule 1: version, media type, and the key in base64. */
function checkRequest(request: RouteRequest): void {
  const wrong = (message: string) => new Refusal(400, 'InvalidRequest', message);
  const inQuery = request.url.searchParams.getAll('api-version');
  const inHeader = headerOf(request, 'api-version');
  const versions = inHeader === undefined ? inQuery : [...inQuery, inHeader];
  if (versions.length !== 1) throw wrong('api-version must appear once, in the query or as a header.');
  if (versions[0] !== '1.0') throw wrong('api-version must be 1.0.');
  const accept = headerOf(request, 'accept')?.split(';')[0]?.trim().toLowerCase();
  if (accept !== 'application/json') throw wrong('accept must be application/json.');
  if (kngcOf(bodyText(request)) === undefined) throw wrong('kngc must be present, as base64.');
}

function kngcOf(body: string): Bytes | undefined {
  try {
    const kngc = JsonMembers.parse('body', body).base64('kngc');
    return kngc.length > 0 ? kngc : undefined;
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** Rule 2: the token and its claims. */
async function checkToken(context: ServiceContext, request: RouteRequest): Promise<{ upn: string; deviceId: string }> {
  const token = bearerOf(request);
  if (token === undefined) throw new Refusal(401, 'TokenMissing', 'A bearer token is needed.');
  const checked = await checkRegistrationToken(context, token);
  if ('code' in checked) throw new Refusal(401, checked.code, checked.message);
  return checked;
}

/** Reads a registration of the profile. Both profiles accept one without attestation. */
function readRegistration({ options }: ServiceContext, request: RouteRequest): KeyRegistration {
  const body = bodyText(request);
  const isStrict = options.profile === 'strict' || Object.keys(JsonMembers.parse('body', body).all()).length === 1;
  try {
    return parseKeyRegistration(body, isStrict ? 'strict' : 'attested');
  } catch (error) {
    if (isKeyprovError(error, 'request-invalid')) throw new Refusal(400, 'InvalidKey', error.message);
    throw error;
  }
}

interface Owner {
  readonly upn: string;
  readonly deviceId: string;
}

/**
 * Finds or adds the key. The same key of the same user and device is one. Its request comes again if a response was
 * lost; the nonce is used up by then.
 */
async function findOrAdd(context: ServiceContext, registration: KeyRegistration, owner: Owner): Promise<ServiceKey> {
  const { keys } = context.state;
  const keyId = digest('sha256', encodePublicBlob(registration.publicKey));
  const find = () => keys.find({ ...owner, keyId });
  const known = find();
  if (known !== undefined) return known;
  const checked = await attestationLevel(context, registration, owner.deviceId);
  if ('problem' in checked) {
    const meanwhile = find();
    if (meanwhile !== undefined) return meanwhile;
    throw new Refusal(400, 'AttestationFailed', `Attestation failed: ${checked.problem}`);
  }
  const now = context.now();
  const { syncIntervalMs = SYNC_INTERVAL_MS } = context.options;
  const key = { ...newKey(registration, owner, now), attestation: checked.level };
  return keys.register(key, new Date(now.getTime() + syncIntervalMs));
}

/** Rule 4: the value for the directory. Its flags say MFA_NOT_USED despite a second factor, as MS-KPP demands. */
function newKey({ publicKey }: KeyRegistration, owner: Owner, now: Date): Omit<ServiceKey, 'attestation'> {
  const keyMaterial = encodePublicBlob(publicKey);
  const time = encodeFileTime(now);
  const blob = buildKeyCredentialLink({
    keyMaterial,
    source: KEY_CREDENTIAL_SOURCE.AD,
    deviceId: owner.deviceId,
    customKeyInformation: { version: 1, flags: CUSTOM_KEY_FLAGS.MFA_NOT_USED },
    lastLogon: time,
    created: time,
  });
  const keyId = digest('sha256', keyMaterial);
  return { ...owner, kid: randomUUID(), keyId, keyMaterial, blob, created: now };
}
