// @ts-check
// Like provision.mjs, with a service of your own that registers keys. Here it is a map.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import * as keyprov from 'keyprov';
import { encodeStatement, verifyEvidence } from 'keyprov/attestation';
import { parseKeyRegistration, statementFromKeyRegistration } from 'keyprov/formats/windows';
import { encodeSpki } from 'keyprov/formats/x509';
import { createTestAuthority, joinDevice, startIdentityService } from 'keyprov/testing';

const [directory = 'example-own-registrar'] = process.argv.slice(2);
const ada = { upn: 'ada@contoso.test', password: 'correct horse' };
// The virtual TPM has no certificate from a maker, so the test service is told to ignore the attestation.
const service = await startIdentityService({ users: [ada], pollIntervalS: 1, attestation: 'ignore' });
const { url, ca, tenantId: tenant } = service;
const device = await joinDevice(url, { ca, tenant, user: ada });
const fetch = keyprov.createServiceFetch({ ca, clientCertificate: device });

const authority = await createTestAuthority(); // stands for an attestation CA that knows this TPM
const registered = new Map();
const challenges = new Set(); // a service also stores for whom a challenge is, and until when
const store = await keyprov.openKeyStore(`${directory}/keys`);
const outcome = await keyprov.provision({
  user: ada.upn,
  deviceId: device.deviceId,
  store,
  policy: keyprov.definePolicy({ hardware: 'required', attestation: 'required', pin: { minLength: 6 } }),
  sources: keyprov.keySources({ tpm: `libtpms:${directory}/tpm` }),
  prerequisites: 'skip',
  mfa: keyprov.createMfaPrompt({ url, tenant, fetch, onCode: ({ message }) => console.log(message) }),
  pin: new TextEncoder().encode('271828'),
  enrolAk: async (_tpm, ak) => [await authority.issueAkCertificate(ak.publicArea)],
  registrar: {
    address: 'https://keys.contoso.test', // identifies the service; never change it
    // The audience of the access token. The test service issues tokens for this one; use your own identity provider's.
    resource: 'urn:ms-drs:localhost',
    tenant,
    challenge: async () => {
      const challenge = randomBytes(32);
      challenges.add(challenge.toString('hex'));
      return Uint8Array.from(challenge);
    },
    register: async ({ body, user, clientRequestId }) => {
      const registration = parseKeyRegistration(body, 'attested');
      const statement = statementFromKeyRegistration(registration);
      const challenge = statement && encodeStatement(statement).extraData;
      // A challenge is good for one request.
      if (!statement || !challenge || !challenges.delete(challenge))
        throw new keyprov.ServiceError('service-refused', 'keys: not attested over a challenge of this service');
      const { ok, findings } = await verifyEvidence(statement, {
        challenge: Uint8Array.from(Buffer.from(challenge, 'hex')),
        expectedKey: { spki: encodeSpki(registration.publicKey) },
        akRoots: [authority.root],
        minTier: 'virtual',
      });
      const failed = findings.flatMap(({ id, status }) => (status === 'fail' ? [id] : []));
      if (!ok) throw new keyprov.ServiceError('service-refused', `keys: the attestation fails: ${failed.join(', ')}`);
      // The Key ID: a repeated request has the same key, but another attestation.
      const id = createHash('sha256').update(JSON.parse(body).kngc, 'base64').digest('hex');
      if (!registered.has(id)) registered.set(id, randomUUID());
      return { kid: registered.get(id), upn: user, clientRequestId, further: {} };
    },
    unregister: async ({ kid, keyId }) => {
      const id = Buffer.from(keyId).toString('hex');
      if (registered.get(id) !== kid) return 'absent';
      registered.delete(id);
      return 'deleted';
    },
  },
});
if (outcome.status === 'registered') console.log(outcome.status, outcome.record.id, outcome.record.assurance);

await fetch.close();
await service.close();
