// @ts-check
// Like provision.mjs, with a PIN window of your own. Here it is two lines of standard input.
import { createInterface } from 'node:readline';
import * as keyprov from 'keyprov';
import { joinDevice, startIdentityService } from 'keyprov/testing';

const [directory = 'example-own-pin-window'] = process.argv.slice(2);
const ada = { upn: 'ada@contoso.test', password: 'correct horse' };
// The virtual TPM has no certificate from a maker, so the test service is told to ignore the attestation.
const service = await startIdentityService({ users: [ada], pollIntervalS: 1, attestation: 'ignore' });
const { url, ca, tenantId: tenant } = service;
const device = await joinDevice(url, { ca, tenant, user: ada });
const fetch = keyprov.createServiceFetch({ ca, clientCertificate: device });

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const store = await keyprov.openKeyStore(`${directory}/keys`);
const outcome = await keyprov.provision({
  user: ada.upn,
  deviceId: device.deviceId,
  store,
  policy: keyprov.definePolicy({ hardware: 'required', attestation: 'required', pin: { minLength: 6 } }),
  sources: keyprov.keySources({ tpm: `libtpms:${directory}/tpm` }),
  prerequisites: 'skip',
  mfa: keyprov.createMfaPrompt({ url, tenant, fetch, onCode: ({ message }) => console.log(message) }),
  pin: async ({ step, rules, problems }) => {
    for (const { message } of problems) console.log(message);
    console.log(step === 'confirm' ? 'The same PIN again:' : `${rules.join('. ')}. New PIN:`);
    const { done, value } = await lines.next();
    if (!done) return new TextEncoder().encode(value); // provision wipes these bytes
    console.error('usage: node own-pin-window.mjs [DIRECTORY], and type a PIN when it asks');
    process.exit(2);
  },
  registrar: await keyprov.openKeyRegistrar({ url, tenant, fetch }),
});
if (outcome.status === 'registered') console.log(outcome.status, outcome.record.id, outcome.record.assurance);

process.stdin.destroy();
await fetch.close();
await service.close();
