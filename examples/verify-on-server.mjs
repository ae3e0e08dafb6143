// @ts-check
// A service checks that a key lives in a TPM: `node verify-on-server.mjs`. Only the client part needs a TPM.
import { randomBytes } from 'node:crypto';
import { definePolicy, isKeyprovError, provisionKey } from 'keyprov';
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

// The service, which has the body, the challenge, and its trusted roots
/** @param {string} body @param {Uint8Array} expected */
async function answer(body, expected) {
  let registration, statement;
  try {
    registration = parseKeyRegistration(body, 'attested');
    statement = statementFromKeyRegistration(registration);
  } catch (error) {
    if (!isKeyprovError(error)) throw error;
    return [400, error.message]; // not a registration with an attestation
  }
  if (statement === undefined) return [400, 'the attestation is empty'];
  const result = await verifyEvidence(statement, {
    challenge: expected,
    expectedKey: { spki: encodeSpki(registration.publicKey) },
    akRoots: [authority.root],
    minTier: 'virtual',
  });
  const failed = result.findings.filter(({ status }) => status === 'fail').map(({ id }) => id);
  return result.ok ? [201, result.tier] : [403, failed];
}

console.log(await answer(request.body, challenge));
console.log(await answer(request.body, Uint8Array.from(randomBytes(32))));
const { kngc } = JSON.parse(request.body); // without the attestation
console.log(await answer(JSON.stringify({ kngc }), challenge));
