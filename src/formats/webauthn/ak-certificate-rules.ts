import { equal } from '../../bytes.ts';
import { DerNode } from '../../crypto/der-read.ts';
import { TAG } from '../../crypto/der-write.ts';
import { decodeSpki, encodeSpki } from '../../crypto/public-key.ts';
import { EXTENSION } from '../../crypto/x509.ts';
import { decode } from '../../tpm/codec/index.ts';
import { publicKeyOf } from '../../tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import { AAGUID_EXTENSION, AK_CERTIFICATE_PURPOSE } from '../tcg/ak-certificate.ts';
import { buildAkPublicAreaWith } from '../tcg/certified-ak.ts';
import { decodeAlternativeNames } from '../x509/alternative-names.ts';
import { inRequest, requestInvalid } from '../x509/in-request.ts';
import { readTbs } from '../x509/issue-certificate.ts';
import { TPM_ATTRIBUTE } from '../x509/tpm-description.ts';
import { findCoseScheme, type TpmAttestationObject } from './tpm-attestation-object.ts';

/**
 * Checks a certificate (DER) of an attestation key in an attestation object of the format `tpm`. Returns the first
 * problem; `undefined` if there is none. WebAuthn Level 3, 8.3.1, which ACME follows: version 3, no subject, the TPM in
 * a critical subjectAltName (TCG EK Credential Profile for TPM 2.0, 3.2.9), the purpose of attestation keys, not a CA.
 * Does not verify the chain: see `verifyEvidence`.
 * @throws KeyprovError `request-invalid` if it is not a certificate.
 *
 * @example
 * ```ts
 * import { encodeAaguid, findAaguidProblem, findAkCertificateProblem } from 'keyprov/formats/webauthn';
 * import { WINDOWS_HELLO_AAGUID } from 'keyprov/formats/webauthn';
 *
 * declare const certificate: Uint8Array; // an attestation key certificate
 * console.log(findAkCertificateProblem(certificate)); // such as 'it has a subject'
 * console.log(findAaguidProblem(certificate, encodeAaguid(WINDOWS_HELLO_AAGUID))); // undefined (no problem)
 * ```
 */
export function findAkCertificateProblem(certificate: Uint8Array): string | undefined {
  const { version, subject, extensions } = readTbs(certificate);
  const list = extensions();
  const find = (id: string) => list.find(({ oid }) => oid === id);
  if (version !== 3) return `its version is ${version}, not 3`;
  if (subject.content.length > 0) return 'it has a subject';
  const names = find(EXTENSION.SUBJECT_ALT_NAME);
  if (names === undefined) return 'it has no alternative name that describes the TPM';
  if (!names.critical) return 'its alternative name is not critical, although it has no subject';
  const attributes = decodeAlternativeNames(names.value).flatMap((name) =>
    name.kind === 'directory' ? name.value.flat() : [],
  );
  for (const [what, oid] of Object.entries(TPM_ATTRIBUTE)) {
    const { length } = attributes.filter(({ type }) => type === oid);
    if (length !== 1) return `its alternative name has the TPM ${what} ${length} times, not once`;
  }
  const purposes = find(EXTENSION.EXTENDED_KEY_USAGE);
  const named = purposes && DerNode.strict(purposes.value, 'extended key usage').list(TAG.SEQUENCE);
  if (!named?.some((one) => one.oid() === AK_CERTIFICATE_PURPOSE)) {
    return `its extended key usage does not include attestation keys (${AK_CERTIFICATE_PURPOSE})`;
  }
  const basic = find(EXTENSION.BASIC_CONSTRAINTS);
  if (basic === undefined) return 'it has no basic constraints';
  const ca = DerNode.strict(basic.value, 'basic constraints').fields(TAG.SEQUENCE).optional(TAG.BOOLEAN)?.boolean();
  return ca ? 'it is a CA certificate' : undefined;
}

/**
 * Checks the aaguid extension of such a certificate against the `aaguid` of the authenticator data. Returns the
 * problem; `undefined` if there is none, or no such extension. WebAuthn Level 3, 8.3, and its form in 8.2.1.
 * @throws KeyprovError `request-invalid` if it is not a certificate.
 */
export function findAaguidProblem(certificate: Uint8Array, aaguid: Uint8Array): string | undefined {
  const found = readTbs(certificate)
    .extensions()
    .filter(({ oid }) => oid === AAGUID_EXTENSION);
  for (const { critical, value } of found) {
    if (critical) return 'its aaguid extension is critical';
    const isIt = equal(DerNode.strict(value, 'aaguid extension').octets(), aaguid);
    if (!isIt) return 'its aaguid extension is not the aaguid of the authenticator data';
  }
  return undefined;
}

/**
 * Returns the public area (TPMT_PUBLIC) of such an object's attestation key: `known`, which must match the key in the
 * certificate; without it, one built from the certificate and `alg`: see `buildAkPublicArea`.
 * @throws KeyprovError `request-invalid` for another key, or an `alg` that TPMs or this type of key do not have.
 */
export function findAkPublicArea(
  { certificates, algorithm }: TpmAttestationObject,
  known: Uint8Array | undefined,
): Uint8Array {
  const what = 'attestation key';
  const scheme = findCoseScheme(algorithm);
  if (scheme === undefined) throw requestInvalid(what, `alg ${algorithm} is not a TPM algorithm`);
  return inRequest(what, () => {
    const key = decodeSpki(readTbs(certificates[0] ?? new Uint8Array(0)).spki.der);
    if (known === undefined) return buildAkPublicAreaWith(key, scheme);
    const isIt = equal(encodeSpki(key), encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, known))));
    if (!isIt) throw requestInvalid(what, 'the certificate is for another key');
    return known;
  });
}
