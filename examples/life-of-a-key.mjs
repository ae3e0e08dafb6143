// @ts-check
// Like provision.mjs, followed by a new PIN, a new key, and the key's removal.
import * as keyprov from 'keyprov';
import { authenticateWithDeviceCode, discoverServices } from 'keyprov/registration';
import { joinDevice, startIdentityService } from 'keyprov/testing';

const [directory = 'example-life-of-a-key'] = process.argv.slice(2);
const ada = { upn: 'ada@contoso.test', password: 'correct horse' };
// The virtual TPM has no certificate from a maker, so the test service is told to ignore the attestation.
const service = await startIdentityService({ users: [ada], pollIntervalS: 1, attestation: 'ignore' });
const { url, ca, tenantId: tenant } = service;
const device = await joinDevice(url, { ca, tenant, user: ada });
const fetch = keyprov.createServiceFetch({ ca, clientCertificate: device });

const store = await keyprov.openKeyStore(`${directory}/keys`);
const graphUrl = `${url}/graph/`; // Microsoft Graph removes registered keys; it requires a separate token
const tokenEndpoint = (await discoverServices(url, { tenant, fetch })).authentication?.tokenEndpoint;
if (tokenEndpoint === undefined) throw new Error('the service does not say where users sign in');
const token = async () => {
  const demand = { tokenEndpoint, clientId: 'example', resource: graphUrl, loginHint: ada.upn };
  return (await authenticateWithDeviceCode(demand, { fetch, onCode: () => {} })).accessToken;
};
const registrar = await keyprov.openKeyRegistrar({ url, tenant, fetch, graph: { token, graphUrl } });
const sources = keyprov.keySources({ tpm: `libtpms:${directory}/tpm` });
const options = {
  user: ada.upn,
  deviceId: device.deviceId,
  store,
  policy: keyprov.definePolicy({ hardware: 'required', attestation: 'required', pin: { minLength: 6 } }),
  sources,
  mfa: keyprov.createMfaPrompt({ url, tenant, fetch, onCode: () => {} }),
  pin: new TextEncoder().encode('271828'),
  registrar,
};

/** Gives the user a key, and prints how many keys there are. */
const make = async () => {
  const { status } = await keyprov.provision({ ...options, prerequisites: 'skip' });
  console.log(status, (await store.list()).records.length, service.keys().length);
};
await make();

// A new PIN: the key and its registration stay
const key = await keyprov.openKey({ store, user: ada.upn, sources });
const [pin, newPin] = ['271828', '314159'].map((text) => new TextEncoder().encode(text));
await key.changePin({ pin, newPin });
await key.sign({ data: new Uint8Array(1), pin: newPin });
await key.close();

// A new key: the old one is removed first, from the service and then from the store
const retire = async () => {
  for (const { id } of (await store.list()).records) {
    console.log(await keyprov.unregisterKey(store, id, { registrar }), service.keys().length);
  }
};
await retire();
await make();

// No key: the device is decommissioned
await retire();

await fetch.close();
await service.close();
