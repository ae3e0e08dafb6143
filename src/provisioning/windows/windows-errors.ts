import { isTpmError } from '../../errors/tpm-error.ts';
import { type ErrorCode, isKeyprovError } from '../../errors.ts';
import { decodeResponseCode, isTpm2Code } from '../../tpm/response-code.ts';
import { PCP_CODES, TBS_CODES } from '../../tpm/response-code-layers.ts';
import { TPM_RC } from '../../tpm/tpm-rc.ts';
import {
  CODES_WITHOUT_REMEDY,
  DOCUMENTED_CODES,
  KEY_STORAGE_CODES,
  type WindowsErrorRow,
} from './windows-error-codes.ts';

/** An error code (HRESULT or NTSTATUS) that Windows reports while provisioning a key. */
export interface WindowsError {
  /** Unsigned 32 bits. */
  readonly code: number;
  /** The symbol in Microsoft's headers; empty if none is published. */
  readonly name: string;
  /** Its meaning, in our words. */
  readonly meaning: string;
  /** What to do about it; absent if unknown. */
  readonly remedy?: string;
  /** `documented`: with a remedy. `no-remedy`: listed without one. `key-storage`: of key storage, TBS or the TPM. */
  readonly class: 'documented' | 'no-remedy' | 'key-storage';
}

const TPM_FACILITY = 0x80280000;

/** All known codes, in no particular order. */
export const WINDOWS_ERRORS: readonly WindowsError[] = [
  ...DOCUMENTED_CODES.map((row) => fromRow(row, 'documented')),
  ...CODES_WITHOUT_REMEDY.map((row) => fromRow(row, 'no-remedy')),
  ...KEY_STORAGE_CODES.map((row) => fromRow(row, 'key-storage')),
  ...[...TBS_CODES, ...PCP_CODES].map(([code, entry]) => fromRow([code, ...entry], 'key-storage')),
  ...Object.entries(TPM_RC)
    .filter(([, rc]) => isTpm2Code(rc))
    .map(([name, rc]) => {
      const { meaning, advice } = decodeResponseCode(rc);
      return fromRow([TPM_FACILITY + rc, `TPM_20_E_${name}`, meaning, advice], 'key-storage');
    }),
];

function fromRow([code, name, meaning, remedy]: WindowsErrorRow, group: WindowsError['class']): WindowsError {
  return { code, name, meaning, ...(remedy !== undefined && { remedy }), class: group };
}

/**
 * Finds an error by its code or name; undefined if it is unknown.
 * @param codeOrName a number, signed or not, or a name such as `NTE_EXISTS`.
 */
export function findWindowsError(codeOrName: number | string): WindowsError | undefined {
  if (codeOrName === '') return undefined;
  const code = typeof codeOrName === 'number' ? codeOrName >>> 0 : undefined;
  return WINDOWS_ERRORS.find((error) => error.code === code || error.name === codeOrName);
}

/** Formats a code as Microsoft's pages write it: `0x801C03ED`. */
export function formatWindowsCode(code: number): string {
  return `0x${(code >>> 0).toString(16).toUpperCase().padStart(8, '0')}`;
}

/**
 * The HRESULT with which Windows reports a response code of a TPM 2.0: 0x80280000 and the code, without the number of
 * the handle, session or parameter. Returns an HRESULT of TBS or Windows unchanged. Undefined for success, and for a
 * number that is not a response code.
 * @throws TypeError for anything but a number.
 */
export function tpmHresult(responseCode: number): number | undefined {
  const { value, base, layer } = decodeResponseCode(responseCode);
  if (layer === 'tbs' || layer === 'windows') return value;
  const isOfTpm = (layer === 'tpm' || layer === 'resource-manager') && base > 0 && base <= 0xfff;
  return isOfTpm ? TPM_FACILITY + base : undefined;
}

/** Our codes, each with the code that Windows reports in the same situation. */
const REPORTED: Readonly<Partial<Record<ErrorCode, number>>> = {
  'hardware-required': 0x80090035,
  'no-tpm': 0x8028400f,
  'tpm-failure-mode': 0x80090030,
  'tpm-lockout': 0x80090031,
  'key-locked': 0x80090031,
  'pin-last-try': 0x80090031,
  'pin-wrong': 0x80090010, // as from the Platform Crypto Provider
  'key-exists': 0x8009000f,
  'key-not-found': 0x80090011,
  'tpm-cleared': 0x80090016,
  'tpm-replaced': 0x80090016,
  'attestation-unavailable': 0x801c03ee,
  'statement-invalid': 0x801c03ee,
  'credential-invalid': 0x801c03ee,
  'certificate-invalid': 0x801c0010,
  'service-answer': 0x801c03e9,
  'service-refused': 0x801c03eb,
  'mfa-failed': 0x801c03ed,
  'mfa-timeout': 0x801c044e,
  'mfa-stale': 0x801c03ed,
  'token-invalid': 0x801c03ed,
};

/**
 * Returns the error that Windows would report for an error of this library, or for an abort (canceled by the user);
 * undefined if there is none. Uses an error's `windowsCode`, if present, because it is more exact than `code`.
 * @throws TypeError if the `responseCode.value` of a TpmError is not a number.
 */
export function windowsErrorOf(error: unknown): WindowsError | undefined {
  if (error instanceof Error && error.name === 'AbortError') return findWindowsError(0x80090036);
  if (!isKeyprovError(error)) return undefined;
  if (error.code === 'tpm-unavailable') return windowsErrorOf(error.cause);
  const exact = 'windowsCode' in error && typeof error.windowsCode === 'number' ? error.windowsCode : undefined;
  const code = exact ?? REPORTED[error.code] ?? (isTpmError(error) ? tpmHresult(error.responseCode.value) : undefined);
  return code === undefined ? undefined : findWindowsError(code);
}
