import type { Bytes } from '../../bytes.ts';
import { derOctets, derSequence } from '../../crypto/der-write.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import type { AlternativeName } from '../x509/alternative-names.ts';
import { type Extension, extendedKeyUsage, noAuthority, subjectAltName } from '../x509/extensions.ts';
import { type CertificateAuthority, issueUnder } from '../x509/issue-certificate.ts';
import type { SigningHash } from '../x509/signature-algorithm.ts';
import { type TpmDescription, tpmDirectoryName } from '../x509/tpm-description.ts';

/** tcg-kp-AIKCertificate: the purpose of an attestation key certificate. */
export const AK_CERTIFICATE_PURPOSE = '2.23.133.8.3';
/** id-fido-gen-ce-aaguid: the extension that names the kind of authenticator. WebAuthn Level 3, 8.3.1. */
export const AAGUID_EXTENSION = '1.3.6.1.4.1.45724.1.1.4';

/** What an attestation key certificate says. */
export interface AkCertificateOptions {
  readonly publicKey: PublicKey;
  /** Names the TPM. WebAuthn verifiers know the makers that are registered with the TCG, and no others. */
  readonly tpm: TpmDescription;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** 16 bytes; for WebAuthn only, where it must be that of the authenticator data. */
  readonly aaguid?: Uint8Array | undefined;
  /**
   * Further names behind that of the TPM, such as the PermanentIdentifier that step-ca looks for, or smallstep's
   * `urn:ek:sha256:…`. fido2-lib 3.5.9 refuses a certificate with any.
   */
  readonly alternativeNames?: readonly AlternativeName[] | undefined;
  readonly serialNumber?: Uint8Array | undefined;
  readonly hash?: SigningHash | undefined;
}

/**
 * An attestation key certificate in DER, in the one profile that SimpleWebAuthn 14.0.3, fido2-lib 3.5.9, ruby-webauthn
 * 2.5.2, python3-fido2 0.9.1 and duo-labs/webauthn 2022-08 all take (WebAuthn Level 3, 8.3.1, and what each of them
 * wants besides): no subject, the TPM in a critical subjectAltName whose first name is a directory name of three relative
 * names, the one purpose {@link AK_CERTIFICATE_PURPOSE}, critical basic constraints, and no place to fetch CRLs from.
 *
 * @throws RangeError for an aaguid that is not of 16 bytes; TypeError for names that cannot be written.
 *
 * @example
 * ```ts
 * import { type AkCertificateOptions, buildAkCertificate, type CertificateAuthority } from 'keyprov/formats/tcg';
 *
 * declare const [options, authority]: [AkCertificateOptions, CertificateAuthority];
 * const certificate = await buildAkCertificate(options, authority); // one of verifyEvidence's akRoots vouches for it
 * console.log(certificate.length);
 * ```
 */
export async function buildAkCertificate(
  options: AkCertificateOptions,
  authority: CertificateAuthority,
): Promise<Bytes> {
  const { publicKey, tpm, notBefore, notAfter, aaguid, alternativeNames = [], serialNumber, hash } = options;
  if (aaguid !== undefined && aaguid.length !== 16) throw new RangeError(`an aaguid of ${aaguid.length} bytes`);
  const name: AlternativeName = { kind: 'directory', value: tpmDirectoryName(tpm) };
  const extensions: Extension[] = [
    noAuthority(),
    subjectAltName([name, ...alternativeNames], true),
    extendedKeyUsage(AK_CERTIFICATE_PURPOSE),
  ];
  if (aaguid !== undefined) extensions.push({ oid: AAGUID_EXTENSION, value: derOctets(aaguid) });
  const subject = derSequence();
  return await issueUnder(authority, { subject, publicKey, notBefore, notAfter, extensions, serialNumber, hash });
}
