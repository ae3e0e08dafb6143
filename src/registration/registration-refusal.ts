import type { ErrorDetails } from '../errors/service-error.ts';
import type { StatusMeaning } from './answer-error.ts';

const MFA = /\b(?:ngc)?mfa\b|multi-?factor|multiple ?auth|strong auth/i;
const DEVICE_ID = /\bdevice[ _]?id\b/i;
const USER_NAME = /\bupn\b|user principal name/i;
const DIRECTORY = /^(DirectoryError|ERROR_BAD_DIRECTORY_REQUEST)$|^DSREG_E_DIRECTORY/i;
const AIK = /\baik\b|aikcertificate|attestation (?:identity )?key/i;
const OUTDATED = /expired|no longer valid/i;

/**
 * What a refusal of a key registration means: the code of Windows, and what to do. The service publishes no list of its
 * codes, so it goes by status and by the words of the text; MS-KPP 3.1.5.1.1.3 says only 400 and 401.
 */
export function registrationRefusal(status: number, { code = '', message = '' }: ErrorDetails): StatusMeaning {
  const text = `${code} ${message}`;
  if (status >= 500) return { windowsCode: 0x801c03ec };
  if (status === 401) {
    const remedy = 'get a new token, with MFA on this device, and try again';
    if (MFA.test(text)) return { windowsCode: 0x801c03ed, remedy };
    if (DEVICE_ID.test(text))
      return { windowsCode: 0x801c044d, remedy: 'sign in with the device: the token must name it' };
    if (USER_NAME.test(text)) return { windowsCode: 0x801c03f1, remedy };
    return { windowsCode: 0x801c03ea, remedy };
  }
  if (status === 403) return { windowsCode: 0x801c03ea, remedy: 'let the user register keys, and the device be used' };
  if (status !== 400) return { windowsCode: 0x801c03eb, remedy: 'check the address of the service' };
  if (DIRECTORY.test(code)) {
    return {
      windowsCode: 0x801c03f2,
      remedy: 'make the attributes of the user unique, or wait until the object is there',
    };
  }
  if (AIK.test(text)) {
    const remedy = 'get a new certificate for the attestation key, of an authority that the service trusts';
    return { windowsCode: OUTDATED.test(text) ? 0x801c03ef : 0x801c0010, remedy };
  }
  if (/attestation/i.test(text)) return { windowsCode: 0x801c03ee, remedy: 'attest with a fresh nonce of the service' };
  return {
    windowsCode: 0x801c03ed,
    remedy: 'check that service and user are the right ones, and what the answer says',
  };
}
