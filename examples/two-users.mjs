// @ts-check
// Like provision.mjs, for two users of one device. Each has a key and a PIN; they share the store and the TPM.
import * as keyprov from 'keyprov';
import { joinDevice, startIdentityService } from 'keyprov/testing';

const [directory = 'example-two-users'] = process.argv.slice(2);
const ada = { upn: 'ada@contoso.test', password: 'correct horse' };
const bob = { upn: 'bob@contoso.test', password: 'battery staple' };
// The virtual TPM has no certificate from a maker, so the test service is told to ignore the attestation.
const service = await startIdentityService({ users: [ada, bob], pollIntervalS: 1, attestation: 'ignore' });
const { url, ca, tenantId: tenant } = service;
const device = await joinDevice(url, { ca, tenant, user: ada });
const fetch = keyprov.createServiceFetch({ ca, clientCertificate: device });

const store = await keyprov.openKeyStore(`${directory}/keys`);
for (const { user, pin } of [
  { user: ada, pin: '271828' },
  { user: bob, pin: '314159' },
]) {
  const outcome = await keyprov.provision({
    user: user.upn,
    deviceId: device.deviceId,
    store,
    policy: keyprov.definePolicy({ hardware: 'required', attestation: 'required', pin: { minLength: 6 } }),
    sources: keyprov.keySources({ tpm: `libtpms:${directory}/tpm` }),
    prerequisites: 'skip',
    mfa: keyprov.createMfaPrompt({ url, tenant, fetch, onCode: ({ message }) => console.log(message) }),
    pin: new TextEncoder().encode(pin),
    registrar: await keyprov.openKeyRegistrar({ url, tenant, fetch }),
  });
  if (outcome.status === 'registered') console.log(user.upn, outcome.record.id, outcome.record.assurance);
}

await fetch.close();
await service.close();
