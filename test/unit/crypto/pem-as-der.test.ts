import { expect, it } from 'vitest';
import { parseCertificate, verifyEvidence } from '../../../src/attestation/index.ts';
import { utf8 } from '../../../src/bytes.ts';
import { encodePem } from '../../../src/crypto/pem.ts';
import { decodeSpki, parseCertificateRequest } from '../../../src/formats/x509/index.ts';
import { asyncRefusal } from '../../refusal.ts';

const pem = (label: string, before = '') => utf8(before + encodePem(label, new Uint8Array(900)));
const ROOT = { akRoots: [pem('CERTIFICATE')], challenge: new Uint8Array(32), minTier: 'virtual' } as const;

it.each<[string, string, () => unknown]>([
  ['a certificate', 'certificate-invalid', () => parseCertificate(pem('CERTIFICATE'))],
  ['a certificate below its text', 'certificate-invalid', () => parseCertificate(pem('CERTIFICATE', 'Certificate:\n'))],
  ['a request', 'request-invalid', () => parseCertificateRequest(pem('CERTIFICATE REQUEST'))],
  ['a public key', 'key-invalid', () => decodeSpki(pem('PUBLIC KEY'))],
  ['a root', 'certificate-invalid', () => verifyEvidence(Object({}), ROOT)],
])('PEM text for the DER of %s is called PEM text', async (_, code, read) => {
  const said = await asyncRefusal(async () => read());
  expect(said).toMatch(new RegExp(`^${code}: .*it is PEM text; pass DER, its decoded base64$`));
});
