// @ts-check
// The client's part of ACME with device-attest-01, and the server's check: `node acme-certificate.mjs`.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { definePolicy, openKey, openTpm, provisionKey } from 'keyprov';
import { buildAcmeDeviceAttest, computeAcmeExtraData, verifyAcmeDeviceAttest } from 'keyprov/formats/services';
import {
  buildCertificateRequest,
  encodeSpki,
  parseCertificateRequest,
  verifyCertificateRequest,
} from 'keyprov/formats/x509';
import { createTestAuthority, signingKeyOf } from 'keyprov/testing';

const authority = await createTestAuthority(); // stands for an attestation CA that knows this TPM
const { publicKey: accountKey } = signingKeyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
const token = randomBytes(32).toString('base64url'); // of the ACME challenge

// The client: a key without a PIN, an answer to the challenge, and a certificate request
const tpm = await openTpm('libtpms');
const policy = definePolicy({ hardware: 'required', algorithm: 'p-256' });
const challenge = computeAcmeExtraData(token, accountKey);
const { record } = await provisionKey({ policy, sources: { tpm }, challenge });
const key = await openKey({ record, sources: { tpm } });
const statement = await key.attest({
  challenge,
  enrolAk: async (_tpm, ak) => [await authority.issueAkCertificate(ak.publicArea)],
});
const answer = buildAcmeDeviceAttest(statement);
const signer = { publicKey: key.publicKey, sign: key.sign.bind(key) };
const csr = await buildCertificateRequest(
  { subject: [], alternativeNames: [{ kind: 'dns', value: 'device-1.contoso.test' }] },
  signer,
);
await key.close();
await tpm.close();

// The server
const akRoots = [authority.root];
const result = await verifyAcmeDeviceAttest(answer, { token, accountKey, akRoots, minTier: 'virtual' });
console.log('challenge:', result.ok, result.ok && result.tier);
const request = parseCertificateRequest(csr);
const isAttested = result.ok && Buffer.from(encodeSpki(result.publicKey)).equals(request.spki);
console.log('request:', verifyCertificateRequest(request) && isAttested);
