// @ts-check
// Like provision.mjs, with a key that the TPM makes while the user authenticates.
import * as keyprov from 'keyprov';
import { joinDevice, startIdentityService } from 'keyprov/testing';

const [directory = 'example-key-pool'] = process.argv.slice(2);
const ada = { upn: 'ada@contoso.test', password: 'correct horse' };
// The virtual TPM has no certificate from a maker, so the test service is told to ignore the attestation.
const service = await startIdentityService({ users: [ada], pollIntervalS: 1, attestation: 'ignore' });
const { url, ca, tenantId: tenant } = service;
const device = await joinDevice(url, { ca, tenant, user: ada });
const fetch = keyprov.createServiceFetch({ ca, clientCertificate: device });

const store = await keyprov.openKeyStore(`${directory}/keys`);
const policy = keyprov.definePolicy({ hardware: 'required', attestation: 'required', pin: { minLength: 6 } });
const sources = keyprov.keySources({ tpm: `libtpms:${directory}/tpm` });
const pool = keyprov.createKeyPool({ policy, sources });
const filling = pool.fill();
const outcome = await keyprov.provision({
  user: ada.upn,
  deviceId: device.deviceId,
  store,
  policy,
  sources,
  pool,
  prerequisites: 'skip',
  mfa: keyprov.createMfaPrompt({ url, tenant, fetch, onCode: ({ message }) => console.log(message) }),
  pin: async () => {
    await filling;
    return new TextEncoder().encode('271828');
  },
  registrar: await keyprov.openKeyRegistrar({ url, tenant, fetch }),
});
if (outcome.status === 'registered') console.log(outcome.status, outcome.record.id, outcome.record.assurance);

console.log('made in advance:', await filling, 'left:', pool.size);
await pool.close();
await fetch.close();
await service.close();
