import type { ErrorDetails } from '../errors/service-error.ts';
import type { StatusMeaning } from './answer-error.ts';

const MFA = /\b(?:ngc)?mfa\b|multi-?factor|multiple ?auth|strong auth/i;
const DEVICE_ID = /\bdevice[ _]?id\b/i;
const USER_NAME = /\bupn\b|user principal name/i;
const DIRECTORY = /^(DirectoryError|ERROR_BAD_DIRECTORY_REQUEST)$|^DSREG_E_DIRECTORY/i;
const AIK = /\baik\b|aikcertificate|attestation (?:identity )?key/i;
const OUTDATED = /expired|no longer valid/i;

/**
 * The meaning of a refused key registration: the code of Windows, and what to do. The service publishes no list of its
 * codes, so this goes by the status and the words of the text. MS-KPP 3.1.5.1.1.3 names only 400 and 401.
 */
export function registrationRefusal(status: number, { code = '', message = '' }: ErrorDetails): StatusMeaning {
  const text = `${code} ${message}`;
  if (status >= 500) return { windowsCode: 0x801c03ec };
  if (status === 401) {
    const remedy = 'get a new token, with MFA on this device, and try again';
    if (MFA.test(text)) return { windowsCode: 0x801c03ed, remedy };
    if (DEVICE_ID.test(text))
      return { windowsCode: 0x801c044d, remedy: 'sign in on the device: the token must contain its device ID' };
    if (USER_NAME.test(text)) return { windowsCode: 0x801c03f1, remedy };
    return { windowsCode: 0x801c03ea, remedy };
  }
  if (status === 403)
    return { windowsCode: 0x801c03ea, remedy: 'allow the user to register keys, and enable the device' };
  if (status !== 400) return { windowsCode: 0x801c03eb, remedy: "check the service's address" };
  if (DIRECTORY.test(code)) {
    return {
      windowsCode: 0x801c03f2,
      remedy: "make the user's proxy addresses unique, or wait until the directory has the user and the device",
    };
  }
  if (AIK.test(text)) {
    const remedy = 'get a new certificate for the attestation key from a CA that the service trusts';
    return { windowsCode: OUTDATED.test(text) ? 0x801c03ef : 0x801c0010, remedy };
  }
  if (/attestation/i.test(text)) return { windowsCode: 0x801c03ee, remedy: attestationRemedy(text.toLowerCase()) };
  return {
    windowsCode: 0x801c03ed,
    remedy: 'check the service, the user and the text of the response',
  };
}

/** What to do about a refused attestation: the words are those of a service, or names of findings that failed. */
function attestationRemedy(text: string): string {
  const has = (...words: readonly string[]) => words.some((word) => text.includes(word));
  if (has('nonce', 'challenge')) return 'attest with a fresh nonce from the service';
  return has('trust', 'tier')
    ? 'have the attestation key certified by a CA that the service trusts, or send no attestation'
    : 'attest with a fresh nonce from the service, and with an attestation key that it trusts';
}
