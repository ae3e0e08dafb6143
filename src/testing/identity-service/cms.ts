import { type Bytes, copy } from '../../bytes.ts';
import type { CertificateAuthority } from '../../formats/x509/issue-certificate.ts';
import { pkijsSigning } from '../../formats/x509/signing-engine.ts';

const DATA = '1.2.840.113549.1.7.1';
const SIGNED_DATA = '1.2.840.113549.1.7.2';

/** CMS SignedData over `content`, including the content and the signer's certificate. RFC 5652, 5. */
export async function signCms(content: Uint8Array, { key, certificate }: CertificateAuthority): Promise<Bytes> {
  const [pkijs, { OctetString }] = await Promise.all([import('pkijs'), import('asn1js')]);
  const { engine, key: signingKey } = await pkijsSigning(key, 'sha256');
  const signer = pkijs.Certificate.fromBER(copy(certificate));
  const signed = new pkijs.SignedData({
    version: 1,
    encapContentInfo: new pkijs.EncapsulatedContentInfo({
      eContentType: DATA,
      eContent: new OctetString({ valueHex: copy(content).buffer }),
    }),
    signerInfos: [
      new pkijs.SignerInfo({
        version: 1,
        sid: new pkijs.IssuerAndSerialNumber({ issuer: signer.issuer, serialNumber: signer.serialNumber }),
      }),
    ],
    certificates: [signer],
  });
  await signed.sign(signingKey, 0, 'SHA-256', undefined, engine);
  const info = new pkijs.ContentInfo({ contentType: SIGNED_DATA, content: signed.toSchema(true) });
  return new Uint8Array(info.toSchema().toBER());
}
