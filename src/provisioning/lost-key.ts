import { createAttestationKey } from '../attestation/attestation-key.ts';
import { equal } from '../bytes.ts';
import { isKeyprovError, KeyprovError } from '../errors.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import type { KeyProvider } from '../keys/provider.ts';
import { TpmKeyProvider } from '../keys/tpm-provider.ts';
import { TPM_RH } from '../tpm/constants.ts';

/**
 * Explains why a TPM no longer has the parent of a key: it is another TPM, it was cleared, or it lost its storage root
 * key, as far as the endorsement seed and the record tell. Returns every other error unchanged.
 */
export async function explainLoss(
  error: unknown,
  { id, tpm, parent }: KeyRecord,
  provider: KeyProvider,
): Promise<unknown> {
  if (!isKeyprovError(error, 'tpm-identity-changed') || !(provider instanceof TpmKeyProvider)) return error;
  if (tpm?.akName === undefined) return error;
  const isSame = await hasAk(provider, tpm.akName);
  if (isSame === undefined) return error;
  if (!isSame) {
    return lost(error, `this is not the TPM that made the key ${id}: its endorsement seed differs`, {
      remedy: 'use the TPM that made it, or provision a new key',
    });
  }
  const isPrimary = parent?.handle === TPM_RH.OWNER;
  const what = isPrimary
    ? 'was cleared'
    : 'was cleared, or its storage root key, which has an unusual template, was evicted';
  return lost(error, `the TPM that made the key ${id} ${what}: ${error.message}`, {
    remedy: `${isPrimary ? '' : 'make that storage root key again if you know its template; otherwise, '}provision a new key`,
  });
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
