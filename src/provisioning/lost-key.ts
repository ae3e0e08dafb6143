import { createAttestationKey } from '../attestation/attestation-key.ts';
import { equal } from '../bytes.ts';
import { isKeyprovError, KeyprovError } from '../errors.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import type { KeyProvider } from '../keys/provider.ts';
import { TpmKeyProvider } from '../keys/tpm-provider.ts';
import { shellWord } from '../storage/shell-word.ts';
import { TPM_RH } from '../tpm/constants.ts';

/** Whether an error says that the TPM will never load the key again. */
export const isKeyLoss = (error: unknown): error is KeyprovError =>
  isKeyprovError(error, 'tpm-identity-changed') || isKeyprovError(error, 'key-invalid');

/**
 * Explains why the TPM at hand cannot use a key: it is not the one that made the key, it was cleared, or it lost its
 * storage root key, as far as the endorsement seed and the record tell. Returns every other error unchanged.
 */
export async function explainLoss(error: unknown, record: KeyRecord, provider: KeyProvider): Promise<unknown> {
  if (!(provider instanceof TpmKeyProvider)) return error;
  const { id, tpm, parent } = record;
  const { address } = provider.tpm.transport;
  const isLost = isKeyprovError(error, 'tpm-identity-changed');
  const isSame = isLost && tpm?.akName !== undefined ? await hasAk(provider, tpm.akName) : undefined;
  if (!isLost || isSame === undefined) return nameTpm(error, record, address);
  if (!isSame) {
    const other = lost(error, `this is not the TPM that made the key ${id}: its endorsement seed differs`, {
      remedy: 'use the TPM that made it, or provision a new key',
    });
    return nameTpm(other, record, address);
  }
  const isPrimary = parent?.handle === TPM_RH.OWNER;
  const what = isPrimary
    ? 'was cleared'
    : 'was cleared, or its storage root key, which has an unusual template, was evicted';
  return lost(error, `the TPM that made the key ${id} ${what}: ${error.message}`, {
    remedy: `${isPrimary ? '' : 'make that storage root key again if you know its template; otherwise, '}provision a new key`,
  });
}

/** Returns an error that says which TPM to use, if the key was made at another address than that of the TPM at hand. */
export function nameTpm(error: unknown, { id, tpm }: KeyRecord, address: string | undefined): unknown {
  const isMissing = isKeyprovError(error, 'no-tpm') || isKeyprovError(error, 'tpm-identity-changed');
  if (!isMissing || tpm === undefined || tpm.address === address) return error;
  const where = address === undefined ? '' : `is not in the TPM at ${address}; it `;
  const problem = `the key ${id} ${where}was made in the TPM at ${tpm.address} (${error.message})`;
  return new KeyprovError(error.code, problem, { cause: error, remedy: `use the TPM at ${shellWord(tpm.address)}` });
}

const lost = (cause: unknown, message: string, { remedy }: { readonly remedy: string }): KeyprovError =>
  new KeyprovError('tpm-identity-changed', message, { cause, remedy });

/** Whether the TPM makes the attestation key of that Name; undefined if it makes none. */
async function hasAk(
  { tpm, endorsementAuth, saltKey }: TpmKeyProvider,
  name: Uint8Array,
): Promise<boolean | undefined> {
  try {
    await using ak = await createAttestationKey(tpm, { algorithm: 'auto', endorsementAuth, saltKey });
    return equal(ak.object.name, name);
  } catch (error) {
    // The password of the endorsement hierarchy may be missing: then the first error must suffice.
    if (!isKeyprovError(error)) throw error;
    return undefined;
  }
}
