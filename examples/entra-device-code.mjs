// @ts-check
// Like provision.mjs, with a service that is already running and knows the device; the user signs in with a code in a browser.
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import * as keyprov from 'keyprov';

const [directory, url, tenant, user, certificateFile, keyFile, tpm = 'auto', caFile] = process.argv.slice(2);
if (keyFile === undefined) {
  console.error('usage: node entra-device-code.mjs DIRECTORY URL TENANT USER DEVICE.pem DEVICE.key [TPM] [CA.pem]');
  process.exit(2);
}
process.on('uncaughtException', (error) => {
  console.error([error.message, keyprov.isKeyprovError(error) && error.remedy].filter(Boolean).join('; '));
  process.exit(1);
});
const device = { certificate: await readFile(certificateFile, 'utf8'), privateKey: await readFile(keyFile, 'utf8') };
const ca = caFile === undefined ? undefined : await readFile(caFile, 'utf8');
const fetch = keyprov.createServiceFetch({ ca, clientCertificate: device });
const [, deviceId = ''] = /CN=([0-9a-f-]{36})/.exec(new X509Certificate(device.certificate).subject) ?? [];

const store = await keyprov.openKeyStore(`${directory}/keys`);
const outcome = await keyprov.provision({
  user,
  deviceId,
  store,
  policy: keyprov.definePolicy({ hardware: 'required', attestation: 'required', pin: { minLength: 6 } }),
  sources: keyprov.keySources({ tpm }),
  prerequisites: 'skip',
  mfa: keyprov.createMfaPrompt({ url, tenant, fetch, onCode: ({ message }) => console.log(message) }),
  pin: new TextEncoder().encode('271828'),
  registrar: await keyprov.openKeyRegistrar({ url, tenant, fetch }),
});
if (outcome.status === 'registered') console.log(outcome.status, outcome.record.id, outcome.record.assurance);

await fetch.close();
