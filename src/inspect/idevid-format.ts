import { uint32At } from '../bytes.ts';
import { decodeIdevidContent, type IdevidContent } from '../formats/tcg/idevid-content.ts';
import { parseTcgCsrIdevid, verifyTcgCsrIdevid } from '../formats/tcg/tcg-csr-idevid.ts';
import { certificateField } from './certificate-parts.ts';
import { field, secretField } from './fields.ts';
import type { Format } from './format.ts';
import type { Description } from './inspection.ts';
import { certificationFields, publicAreaField } from './tpm-formats.ts';

/** Requests for certificates of a device's own keys, and the signed part of such requests. */
export const IDEVID_FORMATS: readonly Format<Uint8Array>[] = [
  {
    format: 'tcg-csr-idevid',
    title: 'device certificate request (TCG-CSR-IDEVID)',
    // Its version, and the sizes of both parts.
    claims: (bytes) =>
      [0x00000100, 0x01000100].includes(uint32At(bytes, 0)) &&
      12 + uint32At(bytes, 4) + uint32At(bytes, 8) === bytes.length,
    read: (bytes) => {
      const csr = parseTcgCsrIdevid(bytes);
      return describeContent(csr.content, verifyTcgCsrIdevid(csr) ? [] : ['its signature does not verify']);
    },
  },
  {
    format: 'tcg-idevid-content',
    title: 'device certificate request content (TCG_IDEVID_CONTENT), without its signature',
    unmarked: true,
    claims: (bytes) => uint32At(bytes, 0) === 0x00000100,
    read: (bytes) => describeContent(decodeIdevidContent(bytes), []),
  },
];

function describeContent(content: IdevidContent, problems: string[]): Description {
  const { prodModel, prodSerial, ekCert, attestPub, signingPub, bootEvntLog } = content;
  const { sgnCertifyInfo: certInfo, sgnCertifyInfoSignature: signature } = content;
  const fields = [
    field('model', prodModel),
    field('serial number', prodSerial),
    ...(ekCert.length > 0 ? [certificateField('certificate of the endorsement key', ekCert)] : []),
    publicAreaField('attestation key', attestPub),
    publicAreaField('signing key', signingPub),
    ...certificationFields({ certInfo, signature }, signingPub),
    secretField('boot event log', bootEvntLog.length),
  ];
  return { problems, fields };
}
