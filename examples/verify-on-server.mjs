// @ts-check
// A service checks that a key lives in a TPM: `node verify-on-server.mjs`. Only the client part needs a TPM.
import { randomBytes } from 'node:crypto';
import { definePolicy, provisionKey } from 'keyprov';
import { verifyEvidence } from 'keyprov/attestation';
import { parseKeyRegistration, statementFromKeyRegistration } from 'keyprov/formats/windows';
import { encodeSpki } from 'keyprov/formats/x509';
import { createTestAuthority } from 'keyprov/testing';

const authority = await createTestAuthority(); // stands for an attestation CA that knows this TPM
const challenge = Uint8Array.from(randomBytes(32)); // the service gives each client a new one, for one answer

// The client
const { request } = await provisionKey({
  policy: definePolicy({ hardware: 'required', attestation: 'required' }),
  sources: { tpm: 'libtpms' },
  challenge,
  pin: new TextEncoder().encode('271828'),
  enrolAk: async (_tpm, ak) => [await authority.issueAkCertificate(ak.publicArea)],
});

// The service, which has `request.body`, the challenge, and its trusted roots
const registration = parseKeyRegistration(request.body, 'attested');
const statement = statementFromKeyRegistration(registration);
if (statement === undefined) throw new Error('the request carries no attestation');
for (const expected of [challenge, Uint8Array.from(randomBytes(32))]) {
  const result = await verifyEvidence(statement, {
    challenge: expected,
    expectedKey: { spki: encodeSpki(registration.publicKey) },
    akRoots: [authority.root],
    minTier: 'virtual',
  });
  console.log(
    result.ok,
    result.tier,
    result.findings.filter(({ status }) => status === 'fail').map(({ id }) => id),
  );
}
