import { toBase64Url, utf8 } from '../src/bytes.ts';
import type { MfaPrompt } from '../src/provisioning/mfa-gate.ts';

/** An unsigned access token with these claims in addition to the usual ones. */
function fakeToken(
  who: { readonly user: string; readonly deviceId: string; readonly resource: string },
  now: Date,
  claims: Readonly<Record<string, unknown>> = {},
): string {
  const seconds = Math.floor(now.getTime() / 1000);
  const payload = {
    ...{ aud: who.resource, deviceid: who.deviceId, upn: who.user, amr: ['pwd', 'ngcmfa'] },
    ...{ iat: seconds, exp: seconds + 3600, ...claims },
  };
  const part = (value: object) => toBase64Url(utf8(JSON.stringify(value)));
  return `${part({ typ: 'JWT', alg: 'RS256' })}.${part(payload)}.${part({ secret: 'signature of the token' })}`;
}

/** A user who passes MFA at once. */
export const passingMfa =
  (now: () => Date = () => new Date()): MfaPrompt =>
  async (request) => ({ status: 'passed', token: fakeToken(request, now()) });
