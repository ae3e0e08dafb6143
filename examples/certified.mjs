// @ts-check
// Like provision.mjs, with a service that demands an attestation, and an attestation CA that knows this TPM.

import * as keyprov from 'keyprov';
import { openEndorsementKey } from 'keyprov/attestation/endorsement';
import { attestationCaEnrolment } from 'keyprov/registration';
import { joinDevice, startIdentityService } from 'keyprov/testing';
import { encode, structures } from 'keyprov/tpm';

const [directory = 'example-certified'] = process.argv.slice(2);
const ada = { upn: 'ada@contoso.test', password: 'correct horse' };
const tpm = await keyprov.openTpm(`libtpms:${directory}/tpm`);
const ek = await openEndorsementKey(tpm);
const ekAllowList = [{ pubArea: encode(structures.TPMT_PUBLIC, ek.publicArea) }]; // no maker has certified this TPM
await ek.release();
const service = await startIdentityService({ users: [ada], pollIntervalS: 1, attestation: 'require', ekAllowList });
const { url, ca, tenantId: tenant } = service;
const device = await joinDevice(url, { ca, tenant, user: ada });
const fetch = keyprov.createServiceFetch({ ca, clientCertificate: device });

const store = await keyprov.openKeyStore(`${directory}/keys`);
const outcome = await keyprov.provision({
  user: ada.upn,
  deviceId: device.deviceId,
  store,
  policy: keyprov.definePolicy({ hardware: 'required', attestation: 'required', pin: { minLength: 6 } }),
  sources: { tpm },
  prerequisites: 'skip',
  mfa: keyprov.createMfaPrompt({ url, tenant, fetch, onCode: ({ message }) => console.log(message) }),
  pin: new TextEncoder().encode('271828'),
  registrar: await keyprov.openKeyRegistrar({ url, tenant, fetch }),
  enrolAk: attestationCaEnrolment({ url: `${url}/attestation`, fetch }),
});
if (outcome.status === 'registered') console.log(outcome.status, outcome.record.id, service.keys()[0]?.attestation);

await tpm.close();
await fetch.close();
await service.close();
