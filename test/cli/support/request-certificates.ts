import { readFileSync } from 'node:fs';
import { decodeStatement } from '../../../src/attestation/index.ts';
import { encodePem } from '../../../src/crypto/pem.ts';
import { encodeSpki } from '../../../src/crypto/public-key.ts';
import { buildAkCertificate } from '../../../src/formats/tcg/ak-certificate.ts';
import { decode } from '../../../src/tpm/codec/index.ts';
import { publicKeyOf } from '../../../src/tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../../src/tpm/structures/object.ts';
import { buildCommonName, issue } from '../../certificates.ts';
import { rsaKey } from '../../signing-key.ts';

/** Issues the certificates that formats of requests need, in PEM: of the attestation key in a file, and of an AD CS. */
export async function requestCertificates(
  statementFile: string,
): Promise<{ readonly ak: string; readonly exchange: string }> {
  const { ak } = decodeStatement(JSON.parse(readFileSync(statementFile, 'utf8')));
  const spki = encodeSpki(rsaKey.publicKey);
  const authority = await issue({ subject: buildCommonName('CA'), ca: true, spki });
  const certificate = await buildAkCertificate(
    {
      publicKey: publicKeyOf(decode(TPMT_PUBLIC, ak.pubArea)),
      tpm: { manufacturer: 0x494e5443, model: 'swtpm', version: 1 },
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 3_600_000),
    },
    { key: rsaKey, certificate: authority.der },
  );
  const exchange = await issue({ subject: buildCommonName('CA-Xchg'), spki });
  return { ak: encodePem('CERTIFICATE', certificate), exchange: encodePem('CERTIFICATE', exchange.der) };
}
