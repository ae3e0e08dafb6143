// @ts-check
// A service learns which keys are in which TPM, without an attestation CA: `node enrol-with-activation.mjs`.
import { randomBytes } from 'node:crypto';
import { definePolicy, openTpm, provisionKey } from 'keyprov';
import {
  answerActivationChallenge,
  buildActivationChallenge,
  certifyOwnCreation,
  createAttestationKey,
  decodePublicArea,
  isActivated,
  parseCertificate,
  verifyAttestationKey,
  verifyEvidence,
} from 'keyprov/attestation';
import { openEndorsementKey, verifyEkCertificate } from 'keyprov/attestation/endorsement';
import { parseKeyRegistration, statementFromKeyRegistration } from 'keyprov/formats/windows';
import { encodeSpki } from 'keyprov/formats/x509';
import { createTestAuthority } from 'keyprov/testing';
import { encode, structures } from 'keyprov/tpm';

const maker = await createTestAuthority(); // stands for the TPM's maker, which the service trusts
const ekRoots = [await parseCertificate(maker.root)];

// The client, once: identifies its TPM
const tpm = await openTpm('libtpms');
const ek = await openEndorsementKey(tpm);
// A chip contains this certificate, and `readEkCertificates` reads it. The simulator has none, so it gets one here.
const chip = { manufacturer: 0x53544d20, model: 'ST33', version: 1 };
const certificates = [await maker.issueEkCertificate(ek.publicArea, { tpm: chip })];
const ak = await createAttestationKey(tpm, { algorithm: 'auto' }); // the key with which keyprov attests
const enrolment = {
  ek: { pubArea: encode(structures.TPMT_PUBLIC, ek.publicArea), certificates },
  ak: { pubArea: ak.pubArea },
  akCreation: await certifyOwnCreation(tpm, ak),
};

// The service: checks the TPM's maker, and issues a challenge
const [certificate = new Uint8Array(0), ...intermediates] = enrolment.ek.certificates;
const ekArea = decodePublicArea(enrolment.ek.pubArea);
const trusted = await verifyEkCertificate(certificate, { ek: ekArea, roots: ekRoots, intermediates });
const isAk = verifyAttestationKey(enrolment.ak.pubArea, enrolment.akCreation);
if (!trusted.ok || !isAk.ok) throw new Error('not a TPM of this maker, or not an attestation key');
const { challenge, secret } = buildActivationChallenge({ ek: ekArea, ak: decodePublicArea(enrolment.ak.pubArea) });

// The client: answers the challenge
const answer = await answerActivationChallenge(tpm, challenge, { ek, ak: ak.object });
await ak.close();
await ek.release();

// The service: checks the answer, and keeps the result
if (!isActivated(answer, secret)) throw new Error('the TPM has not answered the challenge');
const kept = { ek: enrolment.ek, activation: { ek: enrolment.ek, ak: enrolment.ak } };
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
const evidence = { ...statement, ek: kept.ek };
const options = { challenge: keyChallenge, expectedKey: { spki: encodeSpki(registration.publicKey) } };
const trust = { activation: kept.activation, ekRoots };
const result = await verifyEvidence(evidence, { ...options, ...trust, minTier: 'activated' });
console.log(result.ok, result.tier);
