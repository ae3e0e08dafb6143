import { checkList, fromBase64Url } from '../bytes.ts';
import { MfaError, type TokenProblemCode } from '../errors/mfa-error.ts';
import { isKeyprovError } from '../errors.ts';
import { parseJws } from '../formats/services/jws.ts';
import { checkGuid } from '../formats/windows/guid.ts';
import { JsonMembers } from '../json.ts';
import { checkMembers } from '../known-members.ts';
import { checkTextSize, LIMIT } from '../limits.ts';
import { sayTime } from '../printable.ts';

/** The claims of an access token, not verified. */
export interface TokenClaims {
  /** `aud`: the services that the token is for. */
  readonly audience: readonly string[];
  /** `exp` */
  readonly expires?: Date;
  /** `iat` */
  readonly issuedAt?: Date;
  /** `nbf` */
  readonly notBefore?: Date;
  /** `auth_time`: when the user authenticated, if the service says so. */
  readonly authenticatedAt?: Date;
  /** `deviceid`: the device that it was issued to. */
  readonly deviceId?: string;
  /** `upn`: user principal name. */
  readonly upn?: string;
  /** `tid`: tenant. */
  readonly tenant?: string;
  /** `amr`: how the user authenticated. */
  readonly methods: readonly string[];
  /** All claims. */
  readonly all: Readonly<Record<string, unknown>>;
}

/** Why a service would refuse a token. */
export interface TokenProblem {
  readonly code: TokenProblemCode;
  /** For people; without the token. */
  readonly message: string;
  /** The code that Windows reports in this situation, unsigned. */
  readonly windowsCode: number;
}

/** The expected claims of a token, for {@link tokenProblems}. */
export interface TokenExpectations {
  /** The service's resource from discovery; in a list, one must match. Absent: any audience is accepted. */
  readonly audience?: string | readonly string[] | undefined;
  /** GUID of this device. */
  readonly deviceId: string;
  /** User principal name. */
  readonly user: string;
  readonly now: Date;
  /** Accepted methods of `amr`. Default {@link KEY_METHODS}; Windows Server 2016 may need {@link MFA_METHODS}. */
  readonly methods?: readonly string[] | undefined;
}

/** Fresh MFA for the registration of a key; a sign-in with such a key does not count. MS-OAPX 2.2.3. */
export const KEY_METHODS: readonly string[] = ['ngcmfa'];

/** Any MFA, as Windows Server 2016 without KB4022723 accepts it. MS-KPP 3.1.5.1.1.3 */
export const MFA_METHODS: readonly string[] = ['ngcmfa', 'mfa', 'http://schemas.microsoft.com/claims/multipleauthn'];

const TOLERANCE_MS = 60_000;
const NO_TOKEN = 0x801c03ed;
const NO_DEVICE = 0x801c044d;
const NO_USER = 0x801c03f1;
const REFUSED = 0x801c03ea;

/**
 * Reads the claims of a JWT. Does not check the signature: only the service can check it, and only the service relies
 * on it.
 * @throws KeyprovError `token-invalid` if it is not a JWT, or a claim has a wrong type. The error does not quote the
 * token.
 */
export function readTokenClaims(jwt: string): TokenClaims {
  const all = readPayload(jwt);
  const text = (name: string): string | undefined => {
    const value = all[name] ?? undefined;
    if (value === undefined || typeof value === 'string') return value;
    throw invalid(`${name} is not a string`);
  };
  const time = (name: string): Date | undefined => {
    const value = all[name] ?? undefined;
    if (value === undefined) return undefined;
    const date = new Date(typeof value === 'number' ? value * 1000 : Number.NaN);
    if (Number.isNaN(date.getTime())) throw invalid(`${name} is not a time`);
    return date;
  };
  // AD FS writes a single value without a list.
  const list = (name: string): string[] => {
    const value = all[name] ?? [];
    const values: unknown[] = Array.isArray(value) ? value : [value];
    const texts = values.filter((item) => typeof item === 'string');
    if (texts.length < values.length) throw invalid(`${name} is not a list of strings`);
    return texts;
  };
  const claims = {
    expires: time('exp'),
    issuedAt: time('iat'),
    notBefore: time('nbf'),
    authenticatedAt: time('auth_time'),
    deviceId: text('deviceid'),
    upn: text('upn'),
    tenant: text('tid'),
  };
  return {
    audience: list('aud'),
    methods: list('amr'),
    all,
    ...Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined)),
  };
}

/**
 * Returns why the service would refuse this token for a key registration (MS-KPP 3.1.5.1.1.3 and 5.1), except for the
 * signature; empty for a good token. Does not check the age of the MFA, which the token does not contain.
 * @throws TypeError if `deviceId` is not a GUID, or for an unknown expectation.
 */
export function tokenProblems(jwt: string, expected: TokenExpectations): TokenProblem[] {
  expected = checkMembers('tokenProblems', expected, 'audience deviceId:text user:text now:date methods:texts?');
  const { audience, deviceId, user, now, methods = KEY_METHODS } = expected;
  checkGuid(deviceId, 'deviceId');
  let claims: TokenClaims;
  try {
    claims = readTokenClaims(jwt);
  } catch (error) {
    if (!isKeyprovError(error, 'token-invalid')) throw error;
    return [{ code: 'malformed', message: error.message, windowsCode: NO_TOKEN }];
  }
  const problems: TokenProblem[] = [];
  const add = (code: TokenProblem['code'], message: string, windowsCode: number) =>
    problems.push({ code, message, windowsCode });
  const { expires, issuedAt, notBefore } = claims;
  if (expires === undefined) add('expired', 'the token has no expiry time', NO_TOKEN);
  else if (expires <= now) add('expired', `the token expired at ${sayTime(expires)}`, NO_TOKEN);
  const starts = Math.max(issuedAt?.getTime() ?? 0, notBefore?.getTime() ?? 0);
  if (starts > now.getTime() + TOLERANCE_MS) {
    add('not-yet-valid', `the token is not valid before ${sayTime(starts)}: the clocks differ`, NO_TOKEN);
  }
  const wanted = typeof audience === 'string' ? [audience] : checkList(audience ?? [], 'audience');
  if (audience !== undefined && !claims.audience.some((one) => wanted.includes(one))) {
    add('audience', `the token is for ${listed(claims.audience)}, not for ${listed(wanted)}`, REFUSED);
  }
  if (!claims.deviceId)
    add('device-missing', 'the token has no device ID: the sign-in was not bound to a device', NO_DEVICE);
  else if (claims.deviceId.toLowerCase() !== deviceId.toLowerCase()) {
    add('device-other', `the token is for the device ${JSON.stringify(claims.deviceId)}, not for ${deviceId}`, REFUSED);
  }
  if (!claims.upn) add('user-missing', 'the token has no user name (upn)', NO_USER);
  else if (claims.upn.toLowerCase() !== user.toLowerCase()) {
    add('user-other', `the token is for ${JSON.stringify(claims.upn)}, not for ${user}`, REFUSED);
  }
  if (!claims.methods.some((method) => methods.includes(method))) {
    add(
      'no-mfa',
      `the token shows no accepted MFA (amr: ${listed(claims.methods)}; accepted: ${listed(methods)})`,
      NO_TOKEN,
    );
  }
  return problems;
}

function readPayload(jwt: string): Readonly<Record<string, unknown>> {
  checkTextSize(jwt, LIMIT.message, invalid);
  const parts = jwt.split('.');
  if (parts.length !== 3) throw invalid('it is not a JWT, which has three parts with a dot between them');
  for (const [index, name] of ['header', 'claims', 'signature'].entries()) {
    const part = parts[index] ?? '';
    if (part === '') throw invalid(`the ${name} part is empty`);
    sayOnly(`the ${name} part is not base64url`, () => fromBase64Url(part));
  }
  const { payload } = sayOnly('the header part is not a JSON object, or contains crit', () => parseJws(jwt));
  return sayOnly('the claims part is not a JSON object', () => JsonMembers.parse('claims', payload).all());
}

/** Runs `read`. If it throws, throws an error that says only that, without the cause, which may quote the token. */
function sayOnly<T>(problem: string, read: () => T): T {
  try {
    return read();
  } catch {
    throw invalid(problem);
  }
}

const listed = (texts: readonly string[]): string => (texts.length === 0 ? 'nothing' : texts.join(', '));

function invalid(problem: string): MfaError {
  const message = `the token cannot be read: ${problem}`;
  return new MfaError('token-invalid', [{ code: 'malformed', message }], { remedy: 'get a new token' });
}
