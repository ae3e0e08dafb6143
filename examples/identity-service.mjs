// @ts-check
// An identity service to try commands with: `node identity-service.mjs [DIRECTORY]`. It runs until Ctrl-C.
import { mkdir, writeFile } from 'node:fs/promises';
import { joinDevice, startIdentityService } from 'keyprov/testing';

const [directory = 'example'] = process.argv.slice(2);
await mkdir(directory, { recursive: true }).catch(({ code }) => {
  console.error(`cannot make the directory ${directory}: ${code}`);
  process.exit(1);
});
const ada = { upn: 'ada@contoso.test', password: 'correct horse' };
// No authority has certified the attestation key of a virtual TPM; by default the service would refuse the key.
const service = await startIdentityService({ users: [ada], pollIntervalS: 1, attestation: 'ignore' });
const { url, ca, tenantId: tenant } = service;
const { certificate, privateKey } = await joinDevice(url, { ca, tenant, user: ada });

for (const [name, pem] of Object.entries({ ca, device: certificate, key: privateKey }))
  await writeFile(`${directory}/${name}.pem`, pem, { mode: 0o600 });
const device = `--device-cert ${directory}/device.pem --device-key ${directory}/key.pem`;
const where = `--service ${url} --tenant ${tenant} --service-ca ${directory}/ca.pem ${device}`;
console.log(`keyprov provision ${where} --user ${ada.upn} --skip-prerequisites`);
process.once('SIGINT', () => service.close());
process.once('SIGTERM', () => service.close());
