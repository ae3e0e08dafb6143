import { expect } from 'vitest';
import { findLibtpms } from '../../../native/libtpms.ts';
import { toHex } from '../../../src/bytes.ts';
import { isKeyprovError } from '../../../src/errors.ts';
import {
  type LibtpmsOptions,
  type LibtpmsTransport,
  locateLibtpms,
  openLibtpms,
} from '../../../src/tpm/transports/libtpms.ts';
import { missingOutsideCi } from '../../programs.ts';
import { CREATE_ECC, codeOf, FLUSH, STARTUP_CLEAR } from './raw-commands.ts';

/** The path of libtpms; undefined if it is not installed. */
export const libtpmsPath: string | undefined = findLibtpms(undefined).path;

/** The reason why tests that use a TPM in this process must be skipped; see `missingOutsideCi`. */
export async function libtpmsMissing(): Promise<string | undefined> {
  try {
    await locateLibtpms();
    return undefined;
  } catch (error) {
    if (!isKeyprovError(error, 'library-missing')) throw error;
    return missingOutsideCi(error.message);
  }
}

/** Opens a TPM and sends TPM2_Startup(CLEAR). */
export async function openStarted(options: LibtpmsOptions = {}): Promise<LibtpmsTransport> {
  const tpm = await openLibtpms(options);
  expect(codeOf(await tpm.send(STARTUP_CLEAR))).toBe(0);
  return tpm;
}

/** The public area of the TPM's primary key, which its seeds determine. */
export async function primaryKey(tpm: LibtpmsTransport): Promise<string> {
  const answer = await tpm.send(CREATE_ECC);
  expect(codeOf(answer)).toBe(0);
  await tpm.send(FLUSH);
  return publicOf(answer);
}

/** The TPM2B_PUBLIC in the answer to {@link CREATE_ECC}. The data after it differs after each boot. */
export const publicOf = (answer: Uint8Array): string => toHex(answer.subarray(18, 18 + 2 + 88));
