import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Bytes, wipe } from '../bytes.ts';
import { KeyprovError, withCleanup } from '../errors.ts';
import { openKeyStore } from '../keys/key-store.ts';
import { openPinTryLog } from '../keys/pin-try-log.ts';
import type { ProvidedKey, SignOptions } from '../keys/provider.ts';
import { openSoftwareKeyProvider } from '../keys/software-provider.ts';
import { openTpmKeyProvider } from '../keys/tpm-provider.ts';
import { readWrappingSecret, WRAPPING_SECRET_FILE } from '../keys/wrapping-secret.ts';
import type { SignalOptions } from '../signal.ts';
import type { TpmAddress } from '../tpm/address.ts';
import { openTpm } from '../tpm/open-tpm.ts';
import type { Tpm } from '../tpm/tpm.ts';
import type { KeyRecord } from './record.ts';
import type { Report } from './terminal/report.ts';

/** Where the parts of a key are: its files, and the TPM that may be needed to use it. */
export interface Place {
  readonly directory: string;
  readonly address: TpmAddress | 'none';
}

/** Signs with a key that `keyprov provision` has made, in its TPM or in software. */
export async function signWith(key: ProvidedKey, options: SignOptions, place: Place): Promise<Bytes> {
  if (key.backend === 'software') return await signInSoftware(key, options, place);
  const { signal } = options;
  return await withTpm(place.address, { signal }, async (tpm) =>
    (await openTpmKeyProvider(tpm, { signal })).sign(key, options),
  );
}

/** Opens the TPM, runs `work` with it, and closes it. @throws KeyprovError `no-tpm` where the user wants none. */
export async function withTpm<T>(
  address: Place['address'],
  options: SignalOptions,
  work: (tpm: Tpm) => Promise<T>,
): Promise<T> {
  if (address === 'none') throw new KeyprovError('no-tpm', 'the key is in a TPM and none was named');
  const tpm = await openTpm(address, options);
  return await withCleanup(
    () => work(tpm),
    () => tpm.close(),
  );
}

/** An emulator, or a command in a TCTI, is opened only when the user names it, and a record is not the user. */
export function warnOfOtherTpm(key: KeyRecord, address: Place['address'], report: Report): void {
  if (address === 'none' || address.kind !== 'auto' || key.tpmAddress === undefined) return;
  if (/^(device|tbs):/.test(key.tpmAddress)) return;
  report.warn(`the key is in the TPM at ${key.tpmAddress}: give it as --tpm`);
}

async function signInSoftware(key: ProvidedKey, options: SignOptions, { directory }: Place): Promise<Bytes> {
  // It would be made where it is missing.
  if (!key.hasPin && !existsSync(join(directory, WRAPPING_SECRET_FILE))) {
    throw new KeyprovError('store-invalid', `${directory} has no ${WRAPPING_SECRET_FILE}, which encrypts the key`, {
      remedy: 'restore a copy of it',
    });
  }
  const wrappingSecret = key.hasPin ? undefined : await readWrappingSecret(await openKeyStore(directory));
  try {
    const attempts = key.hasPin ? await openPinTryLog(directory) : undefined;
    return await openSoftwareKeyProvider({ wrappingSecret, attempts }).sign(key, options);
  } finally {
    wipe(wrappingSecret);
  }
}
