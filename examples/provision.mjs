// @ts-check
// Creates a key for Ada: `node provision.mjs [DIRECTORY]`. The TPM and the identity service run in this process.
import * as keyprov from 'keyprov';
import { joinDevice, startIdentityService } from 'keyprov/testing';

const [directory = 'example'] = process.argv.slice(2);
const ada = { upn: 'ada@contoso.test', password: 'correct horse' };
// The virtual TPM has no certificate from a maker, so the test service is told to ignore the attestation.
const service = await startIdentityService({ users: [ada], pollIntervalS: 1, attestation: 'ignore' });
const { url, ca, tenantId: tenant } = service;
const device = await joinDevice(url, { ca, tenant, user: ada });
const fetch = keyprov.createServiceFetch({ ca, clientCertificate: device });

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
  registrar: await keyprov.openKeyRegistrar({ url, tenant, fetch }),
});
if (outcome.status === 'registered') console.log(outcome.status, outcome.record.id, outcome.record.assurance);

await fetch.close();
await service.close();
