import type { Bytes } from '../../bytes.ts';
import { derOctets, derSequence } from '../../crypto/der-write.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import { checkMembers } from '../../known-members.ts';
import type { AlternativeName } from '../x509/alternative-names.ts';
import { type Extension, extendedKeyUsage, noAuthority, subjectAltName } from '../x509/extensions.ts';
import { type CertificateAuthority, issueUnder } from '../x509/issue-certificate.ts';
import type { SigningHash } from '../x509/signature-algorithm.ts';
import { type TpmDescription, tpmDirectoryName } from '../x509/tpm-description.ts';

/** tcg-kp-AIKCertificate: the purpose of an attestation key certificate. */
export const AK_CERTIFICATE_PURPOSE = '2.23.133.8.3';
/** id-fido-gen-ce-aaguid: the extension with the authenticator's model. WebAuthn Level 3, 8.3.1. */
export const AAGUID_EXTENSION = '1.3.6.1.4.1.45724.1.1.4';

/** Content of an attestation key certificate. */
export interface AkCertificateOptions {
  readonly publicKey: PublicKey;
  /** Describes the TPM. WebAuthn verifiers accept only manufacturers registered with the TCG. */
  readonly tpm: TpmDescription;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** 16 bytes, for WebAuthn only: the same as in the authenticator data. */
  readonly aaguid?: Uint8Array | undefined;
  /**
   * Further names after the TPM's, such as the PermanentIdentifier for step-ca, or smallstep's `urn:ek:sha256:…`.
   * fido2-lib 3.5.9 refuses certificates with further names.
   */
  readonly alternativeNames?: readonly AlternativeName[] | undefined;
  readonly serialNumber?: Uint8Array | undefined;
  readonly hash?: SigningHash | undefined;
}

/**
 * Builds an attestation key certificate in DER, in the profile that SimpleWebAuthn 14.0.3, fido2-lib 3.5.9,
 * ruby-webauthn 2.5.2, python3-fido2 0.9.1 and duo-labs/webauthn 2022-08 all accept (WebAuthn Level 3, 8.3.1, and the
 * further demands of each). It has no subject, names the TPM in a critical subjectAltName whose first name is a
 * directory name of three relative names, and has the one purpose {@link AK_CERTIFICATE_PURPOSE}, critical basic
 * constraints, and no CRL address.
 *
 * @throws RangeError for an aaguid that does not have 16 bytes; TypeError for names that cannot be written.
 *
 * @example
 * ```ts
 * import { type AkCertificateOptions, buildAkCertificate, type CertificateAuthority } from 'keyprov/formats/tcg';
 *
 * declare const [options, authority]: [AkCertificateOptions, CertificateAuthority];
 * const certificate = await buildAkCertificate(options, authority); // pass its root to verifyEvidence in akRoots
 * console.log(certificate.length);
 * ```
 */
export async function buildAkCertificate(
  options: AkCertificateOptions,
  authority: CertificateAuthority,
): Promise<Bytes> {
  options = checkMembers(
    'buildAkCertificate',
    options,
    'publicKey tpm notBefore:date notAfter:date aaguid:bytes? alternativeNames:objects? serialNumber:bytes? hash:=sha256|sha384|sha512?',
  );
  const { publicKey, tpm, notBefore, notAfter, aaguid, alternativeNames = [], serialNumber, hash } = options;
  if (aaguid !== undefined && aaguid.length !== 16)
    throw new RangeError(`an AAGUID has 16 bytes, not ${aaguid.length}`);
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
