// @ts-check
// A service learns which keys are in which TPM, without an attestation CA: `node enrol-with-activation.mjs`.
import { randomBytes } from 'node:crypto';
import { definePolicy, openTpm, provisionKey } from 'keyprov';
import {
  answerActivationChallenge,
  buildActivationChallenge,
  certifyOwnCreation,
  createAttestationKey,
  decodeActivationChallenge,
  decodeActivationResponse,
  decodePublicArea,
  encodeActivationChallenge,
  encodeActivationResponse,
  isActivated,
  parseCertificate,
  verifyAttestationKey,
  verifyEvidence,
} from 'keyprov/attestation';
import { openEndorsementKey, verifyEkCertificate } from 'keyprov/attestation/endorsement';
import { buildGoAttestationParameters, parseGoAttestationParameters } from 'keyprov/formats/services';
import { parseKeyRegistration, statementFromKeyRegistration } from 'keyprov/formats/windows';
import { encodeSpki } from 'keyprov/formats/x509';
import { createTestAuthority } from 'keyprov/testing';
import { encode, structures } from 'keyprov/tpm';

/** @param {Uint8Array} bytes */
const toBase64 = (bytes) => Buffer.from(bytes).toString('base64');
/** @param {string} text */
const fromBase64 = (text) => Uint8Array.from(Buffer.from(text, 'base64'));

const maker = await createTestAuthority(); // stands for the TPM's maker, which the service trusts
const ekRoots = [await parseCertificate(maker.root)];

// The client, once: identifies its TPM
const tpm = await openTpm('libtpms');
const ek = await openEndorsementKey(tpm);
// A chip contains this certificate, and `readEkCertificates` reads it. The simulator has none, so it gets one here.
const chip = { manufacturer: 0x53544d20, model: 'ST33', version: 1 };
const certificates = [await maker.issueEkCertificate(ek.publicArea, { tpm: chip })];
const ak = await createAttestationKey(tpm, { algorithm: 'auto' }); // the key with which keyprov attests
const enrolment = JSON.stringify({
  ek: { pubArea: toBase64(encode(structures.TPMT_PUBLIC, ek.publicArea)), certificates: certificates.map(toBase64) },
  ak: buildGoAttestationParameters({ pubArea: ak.pubArea, ...(await certifyOwnCreation(tpm, ak)) }),
});

// The service: checks the TPM's maker, and issues a challenge
const received = JSON.parse(enrolment);
const [certificate = new Uint8Array(0), ...intermediates] = received.ek.certificates.map(fromBase64);
const ekArea = decodePublicArea(fromBase64(received.ek.pubArea));
const trusted = await verifyEkCertificate(certificate, { ek: ekArea, roots: ekRoots, intermediates });
const created = parseGoAttestationParameters(received.ak);
const isAk = verifyAttestationKey(created.pubArea, created);
if (!trusted.ok || !isAk.ok) throw new Error('not a TPM of this maker, or not an attestation key');
const { challenge, secret } = buildActivationChallenge({ ek: ekArea, ak: decodePublicArea(created.pubArea) });
const question = JSON.stringify(encodeActivationChallenge(challenge)); // for the client; keep `secret`

// The client: answers the challenge
const response = await answerActivationChallenge(tpm, decodeActivationChallenge(question), { ek, ak: ak.object });
const answer = JSON.stringify(encodeActivationResponse(response));
await ak.close();
await ek.release();

// The service: checks the answer, and keeps the keys in a database
if (!isActivated(decodeActivationResponse(answer), secret)) throw new Error('the TPM has not answered the challenge');
const row = JSON.stringify({ ek: received.ek, ak: toBase64(created.pubArea) });
const keyChallenge = Uint8Array.from(randomBytes(32)); // for one key of this client

// The client, for each key
const { request } = await provisionKey({
  policy: definePolicy({ hardware: 'required', attestation: 'required' }),
  sources: { tpm: async () => tpm },
  challenge: keyChallenge,
  pin: new TextEncoder().encode('271828'),
});

// The service, for each key
const registration = parseKeyRegistration(request.body, 'attested');
const statement = statementFromKeyRegistration(registration);
if (statement === undefined) throw new Error('the request carries no attestation');
const saved = JSON.parse(row);
const savedEk = { pubArea: fromBase64(saved.ek.pubArea), certificates: saved.ek.certificates.map(fromBase64) };
const activation = { ek: savedEk, ak: { pubArea: fromBase64(saved.ak) } };
const evidence = { ...statement, ek: savedEk };
const options = { challenge: keyChallenge, expectedKey: { spki: encodeSpki(registration.publicKey) } };
const result = await verifyEvidence(evidence, { ...options, activation, ekRoots, minTier: 'activated' });
console.log(result.ok, result.tier);
