import { expect } from 'vitest';
import { findLibtpms } from '../../../native/libtpms.ts';
import { toHex } from '../../../src/bytes.ts';
import { type LibtpmsOptions, type LibtpmsTransport, openLibtpms } from '../../../src/tpm/transports/libtpms.ts';
import { CREATE_ECC, codeOf, FLUSH, STARTUP_CLEAR } from './raw-commands.ts';

/** The path of libtpms; undefined if it is not installed. */
export const libtpmsPath: string | undefined = findLibtpms(undefined).path;

/** Whether to skip tests that need libtpms. In continuous integration they fail without it. */
export function isLibtpmsMissing(): boolean {
  if (libtpmsPath !== undefined || process.env.CI === 'true') return false;
  console.warn('skipped: libtpms is not installed (apt-get install libtpms0)');
  return true;
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
