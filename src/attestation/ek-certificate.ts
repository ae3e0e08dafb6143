import { onlyCertificate } from '../crypto/certificate-bytes.ts';
import { DerNode } from '../crypto/der-read.ts';
import { TAG } from '../crypto/der-write.ts';
import type { DistinguishedName } from '../crypto/distinguished-name.ts';
import { type Certificate, parseCertificate } from '../crypto/x509.ts';
import { readOr } from '../errors.ts';

/** An endorsement key certificate, and what it says about the TPM. TCG EK Credential Profile for TPM 2.0, 3.2. */
export interface EkCertificate {
  /**
   * The TPM manufacturer: `id:` and eight hexadecimal digits, such as `id:494E5443`. Absent if the certificate has
   * none.
   */
  readonly manufacturer: string | undefined;
  readonly model: string | undefined;
  /** The firmware version: `id:` and hexadecimal digits. */
  readonly version: string | undefined;
  readonly specification: TpmSpecification | undefined;
  readonly certificate: Certificate;
}

/** The specification that a TPM follows: family `2.0`, level and revision (138 for 1.38). */
export interface TpmSpecification {
  readonly family: string;
  readonly level: number;
  readonly revision: number;
}

/** OIDs of the TCG. EK Credential Profile, 3.1. */
const TCG = { manufacturer: '2.23.133.2.1', model: '2.23.133.2.2', version: '2.23.133.2.3', spec: '2.23.133.2.16' };

/**
 * Reads an endorsement key certificate: in DER, in PEM, or as a TPM keeps it in NV, with zeros or 0xff behind it or in
 * a TCG structure. The TPM's attributes may be in any directory name of the subjectAltName, in one or several relative
 * distinguished names, or in the subject.
 *
 * @throws KeyprovError `certificate-invalid` if the bytes are not one certificate.
 */
export async function parseEkCertificate(bytes: Uint8Array): Promise<EkCertificate> {
  const certificate = await parseCertificate(onlyCertificate(bytes));
  const names = certificate.subjectAltNames.flatMap((name) => (name.kind === 'directory' ? [name.value] : []));
  const attributes = [...names, certificate.subject].flatMap((name: DistinguishedName) => name.flat());
  const attribute = (oid: string) => attributes.find(({ type }) => type === oid)?.value;
  return {
    manufacturer: attribute(TCG.manufacturer),
    model: attribute(TCG.model),
    version: attribute(TCG.version),
    specification: readSpecification(certificate.directoryAttributes.get(TCG.spec)?.[0]),
    certificate,
  };
}

/**
 * TPMSpecification ::= SEQUENCE { family UTF8String, level INTEGER, revision INTEGER }. EK Credential Profile, 3.1.3.
 */
function readSpecification(der: Uint8Array | undefined): TpmSpecification | undefined {
  if (der === undefined) return undefined;
  // For display only, and makers write what they like.
  return readOr(undefined, () => {
    const fields = DerNode.lenient(der, 'TPM specification').fields(TAG.SEQUENCE);
    const family = fields.next(TAG.UTF8_STRING).text() ?? '';
    return { family, level: fields.next().natural(), revision: fields.next().natural() };
  });
}
