import type { Bytes } from '../../bytes.ts';
import { derOctets } from '../../crypto/der-write.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import { encodeGuid } from '../../formats/windows/guid.ts';
import { type Extension, extendedKeyUsage, noAuthority } from '../../formats/x509/extensions.ts';
import { type CertificateAuthority, issueUnder } from '../../formats/x509/issue-certificate.ts';
import { buildCommonName, encodeName } from '../../formats/x509/names.ts';

/** Content of a device certificate. MS-DVRJ 3.1.5.1.1.2. */
export interface DeviceCertificateContent {
  readonly publicKey: PublicKey;
  /** GUID, in the common name and in an extension. */
  readonly deviceId: string;
  /** GUID of the user who joined the device. */
  readonly userId: string;
  readonly tenantId: string;
  /** 0 join, 4 register, 6 hybrid, 8 join. */
  readonly joinType: number;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

const DRS = '1.2.840.113556.1.5.284';
const CLIENT_AUTHENTICATION = '1.3.6.1.5.5.7.3.2';

/**
 * Issues a device certificate in DER. Its extensions hold GUIDs in Windows' byte order, as an OCTET STRING in the
 * value's own OCTET STRING. Windows writes the inner length with one byte too many (`04 81 10`); here it is DER.
 */
export async function issueDeviceCertificate(
  content: DeviceCertificateContent,
  authority: CertificateAuthority,
): Promise<Bytes> {
  const { publicKey, deviceId, userId, tenantId, joinType, notBefore, notAfter } = content;
  const extension = (number: number, value: Uint8Array): Extension => ({
    oid: `${DRS}.${number}`,
    value: derOctets(value),
  });
  return await issueUnder(authority, {
    subject: encodeName(buildCommonName(deviceId)),
    ...{ publicKey, notBefore, notAfter },
    extensions: [
      noAuthority(),
      extendedKeyUsage(CLIENT_AUTHENTICATION),
      extension(2, encodeGuid(deviceId)),
      extension(3, encodeGuid(userId)),
      extension(4, encodeGuid(tenantId)),
      extension(7, new TextEncoder().encode(String(joinType))),
    ],
  });
}
