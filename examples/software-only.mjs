// @ts-check
// Like provision.mjs, without a TPM: the key is in a file that the PIN encrypts.
import * as keyprov from 'keyprov';
import { joinDevice, startIdentityService } from 'keyprov/testing';

const [directory = 'example-software-only'] = process.argv.slice(2);
const ada = { upn: 'ada@contoso.test', password: 'correct horse' };
const service = await startIdentityService({ users: [ada], pollIntervalS: 1, attestation: 'ignore' });
const { url, ca, tenantId: tenant } = service;
const device = await joinDevice(url, { ca, tenant, user: ada });
const fetch = keyprov.createServiceFetch({ ca, clientCertificate: device });

const store = await keyprov.openKeyStore(`${directory}/keys`);
const outcome = await keyprov.provision({
  user: ada.upn,
  deviceId: device.deviceId,
  store,
  policy: keyprov.definePolicy({ hardware: 'discouraged', attestation: 'none', pin: { minLength: 6 } }),
  sources: keyprov.keySources({ tpm: 'none', store }),
  prerequisites: 'skip',
  mfa: keyprov.createMfaPrompt({ url, tenant, fetch, onCode: ({ message }) => console.log(message) }),
  pin: new TextEncoder().encode('271828'),
  registrar: await keyprov.openKeyRegistrar({ url, tenant, fetch }),
});
if (outcome.status === 'registered') console.log(outcome.status, outcome.record.id, outcome.record.assurance);

await fetch.close();
await service.close();
