import { openEndorsementKey } from '../attestation/endorsement-key.ts';
import type { SignalOptions } from '../signal.ts';
import type { TpmtPublic } from '../tpm/structures/object.ts';
import type { EkTemplateName } from '../tpm/templates.ts';
import type { Tpm } from '../tpm/tpm.ts';

/** The public area of an endorsement key of the TPM. */
export async function readEkPublicArea(
  tpm: Tpm,
  template: EkTemplateName,
  options: SignalOptions,
): Promise<TpmtPublic> {
  const ek = await openEndorsementKey(tpm, { ...options, template });
  await ek.release();
  return ek.publicArea;
}
