import { readEkCertificates } from '../../../attestation/read-ek-certificates.ts';
import { equal } from '../../../bytes.ts';
import { encodeSpki } from '../../../crypto/public-key.ts';
import { KeyprovError } from '../../../errors.ts';
import type { EndorsementKeyInfo } from '../../../formats/windows/ms-wcce.ts';
import { readTbs } from '../../../formats/x509/issue-certificate.ts';
import type { SignalOptions } from '../../../signal.ts';
import { publicKeyOf } from '../../../tpm/public-key.ts';
import type { Tpm } from '../../../tpm/tpm.ts';
import { readEkPublicArea } from '../../ek-public-area.ts';

/**
 * The RSA endorsement key of the TPM, with its certificate if the TPM holds one or `given` has it.
 * @throws KeyprovError `certificate-invalid` if `given` has no certificate of that key.
 */
export async function readEndorsementKey(
  tpm: Tpm,
  { given, signal }: SignalOptions & { readonly given: Uint8Array | undefined },
): Promise<EndorsementKeyInfo> {
  const publicKey = publicKeyOf(await readEkPublicArea(tpm, 'L-1', { signal }));
  const spki = encodeSpki(publicKey);
  const { certificates } = await readEkCertificates(tpm, { given, signal });
  const own = certificates.findLast(({ der }) => equal(readTbs(der).spki.der, spki));
  if (given !== undefined && own === undefined) {
    throw new KeyprovError('certificate-invalid', "--ek-certificate does not belong to the TPM's RSA endorsement key");
  }
  return { publicKey, ...(own && { manufacturerCertificate: own.der }) };
}
