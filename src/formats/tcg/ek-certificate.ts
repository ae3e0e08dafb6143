import { type Bytes, checkObject } from '../../bytes.ts';
import { derInteger, derOid, derSequence, derSetOf, derText } from '../../crypto/der-write.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import { EXTENSION, KEY_USAGE } from '../../crypto/x509.ts';
import { checkMembers } from '../../known-members.ts';
import { type Extension, extendedKeyUsage, keyUsage, noAuthority, subjectAltName } from '../x509/extensions.ts';
import { type CertificateAuthority, issueUnder } from '../x509/issue-certificate.ts';
import type { SigningHash } from '../x509/signature-algorithm.ts';
import { type TpmDescription, tpmDirectoryName } from '../x509/tpm-description.ts';

const EK_CERTIFICATE_PURPOSE = '2.23.133.8.1';
const TPM_SPECIFICATION = '2.23.133.2.16';

/** Content of an endorsement key certificate. */
export interface EkCertificateOptions {
  readonly publicKey: PublicKey;
  readonly tpm: TpmDescription;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** The revision of the TPM 2.0 specification, 159 for 1.59 (default), at level 0. */
  readonly revision?: number | undefined;
  readonly serialNumber?: Uint8Array | undefined;
  readonly hash?: SigningHash | undefined;
}

/**
 * Builds an endorsement key certificate in DER, as a TPM maker issues it. TCG EK Credential Profile for TPM 2.0, 3.2.
 * @throws TypeError for a model that cannot be written.
 *
 * @example
 * ```ts
 * import { parseEkCertificate } from 'keyprov/attestation/endorsement';
 * import { buildEkCertificate, type CertificateAuthority, type EkCertificateOptions } from 'keyprov/formats/tcg';
 *
 * declare const [options, maker]: [EkCertificateOptions, CertificateAuthority];
 * console.log((await parseEkCertificate(await buildEkCertificate(options, maker))).manufacturer); // id:53544D20
 * ```
 */
export async function buildEkCertificate(
  options: EkCertificateOptions,
  authority: CertificateAuthority,
): Promise<Bytes> {
  const members =
    'publicKey tpm notBefore:date notAfter:date revision:number? serialNumber:bytes? hash:=sha256|sha384|sha512?';
  options = checkMembers('buildEkCertificate', options, members);
  const { publicKey, tpm, notBefore, notAfter, revision = 159, serialNumber, hash } = options;
  const specification = derSequence(derText('utf8', '2.0'), derInteger(0), derInteger(revision));
  const extensions: Extension[] = [
    noAuthority(),
    keyUsage(
      checkObject(publicKey, 'publicKey', 'kty').kty === 'RSA' ? KEY_USAGE.keyEncipherment : KEY_USAGE.keyAgreement,
    ),
    extendedKeyUsage(EK_CERTIFICATE_PURPOSE),
    subjectAltName([{ kind: 'directory', value: tpmDirectoryName(tpm) }], true),
    {
      oid: EXTENSION.DIRECTORY_ATTRIBUTES,
      value: derSequence(derSequence(derOid(TPM_SPECIFICATION), derSetOf(specification))),
    },
  ];
  const subject = derSequence();
  return await issueUnder(authority, { subject, publicKey, notBefore, notAfter, extensions, serialNumber, hash });
}
