import { uint32At } from '../bytes.ts';
import { parseTcgCsrIdevid, verifyTcgCsrIdevid } from '../formats/tcg/tcg-csr-idevid.ts';
import { certificateField } from './certificate-parts.ts';
import { field, secretField } from './fields.ts';
import type { Format } from './format.ts';
import type { Description } from './inspection.ts';
import { certificationFields, publicAreaField } from './tpm-formats.ts';

/** A request for the certificates of a device's own keys. Its version, and the sizes of both parts. */
export const IDEVID_FORMAT: Format<Uint8Array> = {
  format: 'tcg-csr-idevid',
  title: 'certificate request of a device (TCG-CSR-IDEVID)',
  marked: true,
  claims: (bytes) =>
    [0x00000100, 0x01000100].includes(uint32At(bytes, 0)) &&
    12 + uint32At(bytes, 4) + uint32At(bytes, 8) === bytes.length,
  read: describeIdevid,
};

function describeIdevid(bytes: Uint8Array): Description {
  const csr = parseTcgCsrIdevid(bytes);
  const { prodModel, prodSerial, ekCert, attestPub, signingPub, bootEvntLog } = csr.content;
  const { sgnCertifyInfo: certInfo, sgnCertifyInfoSignature: signature } = csr.content;
  const problems = verifyTcgCsrIdevid(csr) ? [] : ['its signature does not verify'];
  const fields = [
    field('model', prodModel),
    field('serial number', prodSerial),
    ...(ekCert.length > 0 ? [certificateField('certificate of the endorsement key', ekCert)] : []),
    publicAreaField('attestation key', attestPub, problems),
    publicAreaField('signing key', signingPub, problems),
    ...certificationFields({ certInfo, signature }, signingPub, problems),
    secretField('boot event log', bootEvntLog.length),
  ];
  return { problems, fields };
}
