// @ts-check
// Like provision.mjs, in a device management agent: on each start it uses the user's key, or makes it.
import * as keyprov from 'keyprov';
import { listRegistrations, pinMustChangeOf, readTpmFacts } from 'keyprov/provisioning';
import { joinDevice, startIdentityService } from 'keyprov/testing';
import { checkPrerequisites, valuesProbe } from 'keyprov/windows';

const [directory = 'example-mdm-agent'] = process.argv.slice(2);
const ada = { upn: 'ada@contoso.test', password: 'correct horse' };
// The virtual TPM has no certificate from a maker, so the test service is told to ignore the attestation.
const service = await startIdentityService({ users: [ada], pollIntervalS: 1, attestation: 'ignore' });
const { url, ca, tenantId: tenant } = service;
const device = await joinDevice(url, { ca, tenant, user: ada });
const fetch = keyprov.createServiceFetch({ ca, clientCertificate: device });

const store = await keyprov.openKeyStore(`${directory}/keys`);
const sources = keyprov.keySources({ tpm: `libtpms:${directory}/tpm` });
const owner = { user: ada.upn, deviceId: device.deviceId };
const [pin, longer] = ['271828', '27182845'].map((text) => new TextEncoder().encode(text));

/** Runs at each start of the agent. @param {number} minLength the server's requirement @param {boolean} isJoined whether the device has joined */
async function start(minLength, isJoined = true) {
  const sent = { hardware: 'required', attestation: 'required', pin: { minLength } };
  const files = [{ name: 'from-the-server.json', bytes: new TextEncoder().encode(JSON.stringify(sent)) }];
  const { policy, windows } = await keyprov.policyInForce({ files, environment: {} }); // no variable overrides it
  try {
    const record = (await listRegistrations(store, owner))[0]?.record;
    if (record === undefined) return await make(policy, windows, isJoined);
    const key = await keyprov.openKey({ record, store, sources });
    try {
      const { backend, assurance } = await key.prove(); // proves that the TPM has the key; needs no PIN
      const reasons = pinMustChangeOf(record, policy.pin, Date.now());
      if (reasons.length > 0) await key.changePin({ pin, newPin: longer, policy: policy.pin });
      console.log('ready', backend, assurance, ...reasons.map(({ code, setting }) => `${code}: ${setting}`));
    } finally {
      await key.close();
    }
  } catch (error) {
    if (!keyprov.isKeyprovError(error)) throw error;
    console.log('error', error.code);
  }
}

/** Makes the first key, or continues a run. @param {keyprov.Policy} policy @param {keyprov.PolicyInForce['windows']} windows @param {boolean} isJoined */
async function make(policy, windows, isJoined) {
  const facts = { directoryUser: true, policyEnabled: windows.UsePassportForWork, remoteSession: false, pinSet: false };
  const probe = valuesProbe({ ...facts, joinState: isJoined ? 'entra-hybrid' : 'none', certEnrollment: 'none' });
  const outcome = await keyprov.provision({
    ...owner,
    store,
    policy,
    sources,
    prerequisites: async () =>
      checkPrerequisites(await probe.read(), { policy, tpm: await readTpmFacts(sources), takesOver: true }),
    mfa: keyprov.createMfaPrompt({ url, tenant, fetch, onCode: ({ message }) => console.log(message) }),
    pin,
    registrar: await keyprov.openKeyRegistrar({ url, tenant, fetch, maxAttempts: 1 }),
  });
  if (outcome.status === 'registered') {
    const { backend, assurance } = outcome.record;
    console.log('registered', backend, assurance, outcome.resumed);
  } else if (outcome.status === 'pending') console.log('pending', outcome.problem.code);
  else for (const { id, remedy } of outcome.prerequisites.findings) if (remedy) console.log('blocked', id, remedy);
}

await start(6, false); // the device has not joined
service.setIntercept(() => 'drop-before');
await start(6); // the service is down
service.setIntercept(({ path }) => (path.startsWith('/EnrollmentServer/key') ? 'drop-after' : 'continue'));
await start(6); // its answer is lost
service.setIntercept(undefined);
for (const minLength of [6, 6, 8, 8]) await start(minLength); // the run continues; a key; stricter rules; a new PIN

await fetch.close();
await service.close();
