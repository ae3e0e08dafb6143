import { expect, it } from 'vitest';
import { parseCertificate, verifyEvidence } from '../../../src/attestation/index.ts';
import { utf8 } from '../../../src/bytes.ts';
import { encodePem } from '../../../src/crypto/pem.ts';
import { decodeSpki, parseCertificateRequest } from '../../../src/formats/x509/index.ts';
import { enrolAttestationKey } from '../../../src/registration/index.ts';
import { asyncRefusal } from '../../refusal.ts';

const pem = (label: string, before = '') => utf8(before + encodePem(label, new Uint8Array(900)));
const CERTIFICATE =
  'for CA certificates, call loadTpmRoots\\(file\\) of keyprov/registration; for any other, pass ' +
  'new X509Certificate\\(pem\\).raw of node:crypto';
const ROOT = { akRoots: [pem('CERTIFICATE')], challenge: new Uint8Array(32), minTier: 'virtual' } as const;

it.each<[string, string, string, () => unknown]>([
  ['a certificate', 'certificate-invalid', CERTIFICATE, () => parseCertificate(pem('CERTIFICATE'))],
  [
    'a certificate below its text',
    'certificate-invalid',
    CERTIFICATE,
    () => parseCertificate(pem('CERTIFICATE', 'Certificate:\n')),
  ],
  [
    'a request',
    'request-invalid',
    'pass DER, its decoded base64',
    () => parseCertificateRequest(pem('CERTIFICATE REQUEST')),
  ],
  ['a public key', 'key-invalid', 'call decodeSpkiPem', () => decodeSpki(pem('PUBLIC KEY'))],
  ['a root', 'certificate-invalid', CERTIFICATE, () => verifyEvidence(Object({}), ROOT)],
])('PEM text for the DER of %s is called PEM text, and what reads it is named', async (_, code, advice, read) => {
  const said = await asyncRefusal(async () => read());
  expect(said).toMatch(new RegExp(`^${code}: .*it is PEM text; ${advice}$`));
});

it('a PEM string in place of certificates gets the function that reads it in that place', async () => {
  const text = encodePem('CERTIFICATE', new Uint8Array(9));
  const roots = verifyEvidence(Object({}), { ...ROOT, ...Object({ akRoots: [text] }) });
  await expect(roots).rejects.toThrow(/akRoots .*; to read PEM, call loadTpmRoots\(file\) of keyprov\/registration$/);
  await expect(parseCertificate(Object(text).valueOf())).rejects.toThrow(
    /not a string; for PEM, pass new X509Certificate/,
  );
  const ca = enrolAttestationKey(Object({}), Object({ url: 'https://ca.test', ekCertificates: text }));
  await expect(ca).rejects.toThrow(
    /ekCertificates .*; to read PEM, use new X509Certificate\(pem\)\.raw of node:crypto$/,
  );
});
