import { randomBytes } from 'node:crypto';
import { createAttestationKey } from '../attestation/attestation-key.ts';
import { attestKey } from '../attestation/certify.ts';
import type { AttestationStatement } from '../attestation/index.ts';
import { verifyStatement } from '../attestation/index.ts';
import { view } from '../bytes.ts';
import { encodeSpki } from '../crypto/public-key.ts';
import { KeyprovError, withCleanup } from '../errors.ts';
import type { ProvidedKey } from '../keys/provider.ts';
import { openTpmKeyProvider } from '../keys/tpm-provider.ts';
import type { SignalOptions } from '../signal.ts';
import type { Tpm } from '../tpm/tpm.ts';

/** Has the TPM certify a key over the challenge. That needs no PIN, so none is asked for; it works in lockout too. */
export async function certifyWithoutPin(
  tpm: Tpm,
  key: ProvidedKey,
  challenge: Uint8Array,
  { signal }: SignalOptions,
): Promise<AttestationStatement> {
  const provider = await openTpmKeyProvider(tpm, { signal });
  return await provider.useWithoutPin(key, { signal }, async ({ object }) => {
    const ak = await createAttestationKey(tpm, { algorithm: 'rsa-2048', signal });
    return await withCleanup(
      () =>
        attestKey(tpm, { key: object, authorization: 'windows-hello-policy', ak, challenge, akCreation: true, signal }),
      () => ak.close(),
    );
  });
}

/**
 * Proves that a key is in this TPM: it certifies it over fresh bytes, and that is verified.
 * @throws KeyprovError `statement-invalid` where it does not verify; TpmError, `tpm-…`, `key-invalid`.
 */
export async function proveKey(tpm: Tpm, key: ProvidedKey, options: SignalOptions): Promise<void> {
  const challenge = view(randomBytes(32));
  const statement = await certifyWithoutPin(tpm, key, challenge, options);
  const { ok, findings } = verifyStatement(statement, {
    challenge,
    attestationKey: { pubArea: statement.ak.pubArea },
    expectedKey: { spki: encodeSpki(key.publicKey) },
  });
  if (ok) return;
  const failed = findings.filter(({ passed }) => !passed).map(({ detail }) => detail);
  throw new KeyprovError('statement-invalid', `what the TPM says of the key does not verify: ${failed.join('; ')}`);
}
