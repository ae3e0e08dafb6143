import { openEndorsementKey } from '../../../attestation/endorsement-key.ts';
import { readEkCertificates } from '../../../attestation/read-ek-certificates.ts';
import { equal } from '../../../bytes.ts';
import { encodeSpki } from '../../../crypto/public-key.ts';
import type { EndorsementKeyInfo } from '../../../formats/windows/ms-wcce.ts';
import { readTbs } from '../../../formats/x509/issue-certificate.ts';
import type { SignalOptions } from '../../../signal.ts';
import { publicKeyOf } from '../../../tpm/public-key.ts';
import type { Tpm } from '../../../tpm/tpm.ts';

/** The RSA endorsement key of the TPM, with its certificate if the TPM holds one. */
export async function readEndorsementKey(tpm: Tpm, options: SignalOptions): Promise<EndorsementKeyInfo> {
  const ek = await openEndorsementKey(tpm, { ...options, template: 'L-1' });
  const publicKey = publicKeyOf(ek.publicArea);
  await ek.release();
  const spki = encodeSpki(publicKey);
  const { certificates } = await readEkCertificates(tpm, options);
  const own = certificates.find(({ der }) => equal(readTbs(der).spki.der, spki));
  return { publicKey, ...(own && { manufacturerCertificate: own.der }) };
}
