// @ts-check
// Like provision.mjs, in a device management agent: policy from its server, prerequisites, an outcome for its console.
import * as keyprov from 'keyprov';
import { readTpmFacts } from 'keyprov/provisioning';
import { joinDevice, startIdentityService } from 'keyprov/testing';
import { checkPrerequisites, valuesProbe } from 'keyprov/windows';

const [directory = 'example-mdm-agent'] = process.argv.slice(2);
const ada = { upn: 'ada@contoso.test', password: 'correct horse' };
// This TPM has no certificate from a maker, so the service does not judge the attestation that it gets.
const service = await startIdentityService({ users: [ada], pollIntervalS: 1, attestation: 'ignore' });
const { url, ca, tenantId: tenant } = service;
const device = await joinDevice(url, { ca, tenant, user: ada });
const fetch = keyprov.createServiceFetch({ ca, clientCertificate: device });

const store = await keyprov.openKeyStore(`${directory}/keys`);
const sent = new TextEncoder().encode('{"hardware": "required", "attestation": "required", "pin": {"minLength": 6}}');
const { policy } = await keyprov.policyInForce({ files: [{ name: 'from-the-server.json', bytes: sent }] });
const sources = keyprov.keySources({ tpm: `libtpms:${directory}/tpm` });
const registrar = await keyprov.openKeyRegistrar({ url, tenant, fetch, maxAttempts: 1 });

/** One run of the agent. @param {boolean} isJoined what its inventory knows */
async function run(isJoined) {
  const probe = valuesProbe({
    joinState: isJoined ? 'entra-hybrid' : 'none',
    directoryUser: true,
    policyEnabled: true,
    remoteSession: false,
    certEnrollment: 'none',
    pinSet: false,
  });
  const outcome = await keyprov.provision({
    user: ada.upn,
    deviceId: device.deviceId,
    store,
    policy,
    sources,
    prerequisites: async () =>
      checkPrerequisites(await probe.read(), { policy, tpm: await readTpmFacts(sources), takesOver: true }),
    mfa: keyprov.createMfaPrompt({ url, tenant, fetch, onCode: ({ message }) => console.log(message) }),
    pin: new TextEncoder().encode('271828'),
    registrar,
  });
  switch (outcome.status) {
    case 'registered':
      return console.log(outcome.status, outcome.record.backend, outcome.record.assurance, outcome.resumed);
    case 'blocked':
      // A locked TPM has a `retryAfterSeconds`: run it again then.
      for (const { id, status, remedy } of outcome.prerequisites.findings) if (remedy) console.log(id, status, remedy);
      return console.log(outcome.status);
    case 'pending': // run it again later: it continues
      return console.log(outcome.status, outcome.problem.code);
  }
}

await run(false); // the device has not joined
service.setIntercept(({ path }) => (path.startsWith('/EnrollmentServer/key') ? 'drop-after' : 'continue'));
await run(true); // the answer of the service is lost
service.setIntercept(undefined);
await run(true);

await fetch.close();
await service.close();
