import { REGISTRATION_RESOURCE, type ServiceContext } from './service-context.ts';
import type { Claims } from './tokens.ts';

/** The claims of a token for a registration, or why it is refused. */
export type CheckedToken =
  | { readonly upn: string; readonly deviceId: string }
  | {
      readonly code: string;
      /** For people; without the token. */
      readonly message: string;
    };

const MFA_MAX_AGE_MS = 600_000;

/**
 * Rule 2 of MS-KPP 3.1.5.1.1.3, and 5.1: signature, issuer, time, audience; device; user; second factor, and its age.
 */
export async function checkRegistrationToken(context: ServiceContext, token: string): Promise<CheckedToken> {
  const claims = await context.tokens.verify(token, 'access', [REGISTRATION_RESOURCE]);
  if (typeof claims === 'string') return { code: 'InvalidToken', message: `The token is not valid (${claims}).` };
  const { upn, deviceid } = claims;
  const device = typeof deviceid === 'string' ? context.state.devices.find(deviceid) : undefined;
  if (device === undefined) return { code: 'DeviceNotFound', message: 'The token is not for a joined device.' };
  if (!device.enabled) return { code: 'DeviceDisabled', message: 'The device with this device id is disabled.' };
  if (typeof upn !== 'string' || upn === '') return { code: 'InvalidToken', message: 'The token has no upn.' };
  const { mfaClaims = ['ngcmfa'], mfaMaxAgeMs = MFA_MAX_AGE_MS } = context.options;
  if (!mfaClaims.some((claim) => methodsOf(claims).has(claim))) {
    return {
      code: 'MfaRequired',
      message: `The token shows no MFA (amr must contain ${mfaClaims.join(' or ')}).`,
    };
  }
  // The token has whole seconds.
  const ageMs = (Math.floor(context.now().getTime() / 1000) - Number(claims.auth_time)) * 1000;
  // Also refuses NaN, from a token without the time.
  if (!(ageMs <= mfaMaxAgeMs)) return { code: 'MfaExpired', message: 'The MFA was too long ago.' };
  return { upn, deviceId: device.deviceId };
}

const MULTIPLE = 'http://schemas.microsoft.com/claims/multipleauthn';

/** The methods in `amr`; AD FS' name for several counts as `mfa`. */
function methodsOf({ amr }: Claims): ReadonlySet<unknown> {
  const methods = new Set<unknown>(Array.isArray(amr) ? amr : []);
  if (methods.has(MULTIPLE)) methods.add('mfa');
  return methods;
}
