import { createPrivateKey } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeStatement } from '../../../attestation/index.ts';
import { concatSecrets, toHex, utf8, wipe } from '../../../bytes.ts';
import { splitCertificates } from '../../../crypto/certificate-bytes.ts';
import { encodePem } from '../../../crypto/pem.ts';
import { encodeSpkiPem } from '../../../crypto/public-key.ts';
import { SelectionError } from '../../../errors/selection-error.ts';
import { isKeyprovError, sayError, withCleanup } from '../../../errors.ts';
import type { SigningKey } from '../../../formats/services/jws.ts';
import { type KeyStore, openKeyStore } from '../../../keys/key-store.ts';
import { sayPlace } from '../../../keys/provider.ts';
import type { PolicyInForce } from '../../../policy/index.ts';
import { AUTHENTICATION_BROKER } from '../../../provisioning/mfa-prompt.ts';
import { openKey } from '../../../provisioning/open-key.ts';
import type { NewPinPrompt } from '../../../provisioning/pin-entry.ts';
import type { RegisteredKey } from '../../../provisioning/registration-record.ts';
import { dsregSection, formatDsregStatus } from '../../../provisioning/windows/dsregcmd.ts';
import { discoverServices } from '../../../registration/discovery.ts';
import type { KeyRegistrar } from '../../../registration/key-registrar.ts';
import { ldapReader } from '../../../registration/ldap-reader.ts';
import { findLdapUser } from '../../../registration/ldap-user.ts';
import { signInWithKey } from '../../../registration/sign-in.ts';
import { describeSyncStatus, waitForSync } from '../../../registration/sync-status.ts';
import { shellWord } from '../../../storage/shell-word.ts';
import type { Context } from '../../command.ts';
import { withKeyPlaces } from '../../key-places.ts';
import { keyJson, keyLines } from '../../key-report.ts';
import type { ServiceArguments } from '../../options/service-option.ts';
import { type RunArguments, type RunContext, runWith } from '../../provision-run.ts';
import { type ServiceConnection, withService } from '../../service-connection.ts';
import { newPinPrompt, readCurrentPin } from '../../terminal/pin-input.ts';
import { type DemoWorld, demoTpm, withDemoWorld } from './demo-world.ts';

/** The input of the demo. */
export interface StoryContext extends Context {
  /** The directory for all files; it exists and is empty. */
  readonly directory: string;
  readonly merged: PolicyInForce;
  /** Undefined: the user is asked. */
  readonly pin: Uint8Array | undefined;
  /** Whether a page asks for it. */
  readonly web: boolean;
  /** Whether a browser opens that page. */
  readonly open: boolean;
}

/** The result of the demo. */
export interface Told {
  readonly lines: readonly string[];
  readonly json: object;
}

const POLL_MS = 500;
/** The maker that the demo's attestation CA finds in the TPM, which is not registered. */
const MAKER = 'id:00000000';

/** Shows the whole run, from the join of the device to the first sign-in, and writes its files. */
export async function tellStory(context: StoryContext): Promise<Told> {
  const { directory, report, prompter, signal } = context;
  const { progress } = report;
  return await withDemoWorld(directory, { progress, signal }, async (world) => {
    const { user, service, device } = world;
    const word = (name: string) => shellWord(join(directory, name));
    const write = (name: string, text: string) => writeFile(join(directory, name), text, { mode: 0o600 });
    await write('device.pem', device.certificate);
    await write('device-key.pem', device.privateKey);
    await write('service-ca.pem', service.ca);
    await write('dsregcmd.txt', dsregcmdText(world));
    const store = await openKeyStore(join(directory, 'store'));
    const connectTo = argumentsFor(world);
    const asking = context.web ? await askInWindow(user, context) : undefined;
    const demo = { ...context, world, store, write, asking };
    return await withService(connectTo, { user, prompter, signal, onCode: asking?.onCode }, async (connection) => {
      const found = await provisionFor(connection, connectTo, demo);
      await awaitSync(found, demo);
      await signIn(found, connection, { ...demo, pin: asking?.pin() ?? demo.pin });
      const lines = [
        ...keyLines(found),
        '',
        'The user has signed in: the service has verified the assertion with the key from the directory. Next, try:',
        `  keyprov status --store ${shellWord(store.directory)} --tpm ${shellWord(`libtpms:${join(directory, 'tpm')}`)}`,
        `  keyprov verify --in ${word('attestation.json')} --challenge "$(cat ${word('challenge.hex')})" ` +
          `--ak-roots ${word('service-ca.pem')} --allow-maker ${MAKER}`,
      ];
      return { lines, json: keyJson(found) };
    }).finally(() => asking?.wipe());
  });
}

type Write = (name: string, text: string) => Promise<void>;

/** A window for the demo, which keeps the PIN for the sign-in. The page is loaded only if it is shown. */
async function askInWindow(user: string, options: StoryContext) {
  const { inWindow } = await import('../../web/provision-in-window.ts');
  const { ProvisionWindow } = await import('../../web/provision-window.ts');
  const window = new ProvisionWindow(user);
  let chosen: Uint8Array | undefined;
  const prompt: NewPinPrompt = async (request, by) => {
    const pin = await window.pin(request, by);
    wipe(chosen);
    chosen = concatSecrets(pin);
    return pin;
  };
  return {
    onCode: window.onCode,
    pin: () => chosen,
    wipe: () => wipe(chosen),
    run: (connection: ServiceConnection, wish: RunArguments, context: RunContext) =>
      inWindow(window, options, () =>
        runWith(window.connection(connection), { ...wish, ...window.wish, prompt }, context),
      ),
  };
}

/** As the options of `keyprov provision --service` would say it. */
function argumentsFor({ service, device }: DemoWorld): ServiceArguments {
  return {
    ...{ url: new URL(service.url), tenant: service.tenantId, trustedResources: undefined, ca: service.ca },
    proxy: undefined,
    ...{ device, deviceId: device.deviceId, clientId: AUTHENTICATION_BROKER },
    ...{ tokenCommand: undefined, graphTokenCommand: undefined, graphUrl: new URL(`${service.url}/graph/`) },
    attestationCa: new URL(`${service.url}/attestation/`),
    ekService: false,
  };
}

/** The text that dsregcmd would print for this device and user. */
function dsregcmdText({ device, service }: DemoWorld): string {
  return formatDsregStatus([
    dsregSection('Device State', { AzureAdJoined: 'YES', EnterpriseJoined: 'NO', DomainJoined: 'YES' }),
    dsregSection('Device Details', { DeviceId: device.deviceId, TpmProtected: 'NO', DeviceAuthStatus: 'SUCCESS' }),
    dsregSection('Tenant Details', { TenantId: service.tenantId, KeySrvVersion: '1.0' }),
    dsregSection('User State', { NgcSet: 'NO' }),
    dsregSection('SSO State', { AzureAdPrt: 'YES' }),
    dsregSection('Ngc Prerequisite Check', {
      ...{ IsDeviceJoined: 'YES', IsUserAzureAD: 'YES', PolicyEnabled: 'YES', PostLogonEnabled: 'YES' },
      ...{ DeviceEligible: 'YES', SessionIsNotRemote: 'YES', CertEnrollment: 'none', PreReqResult: 'WillProvision' },
    }),
  ]);
}

/** What the parts of the story share. */
interface Demo extends StoryContext {
  readonly world: DemoWorld;
  readonly store: KeyStore;
  readonly write: Write;
  readonly asking: Awaited<ReturnType<typeof askInWindow>> | undefined;
}

async function provisionFor(
  connection: ServiceConnection,
  service: ServiceArguments,
  { world, store, write, pin, merged, asking, ...context }: Demo,
): Promise<RegisteredKey> {
  const { user, device } = world;
  const { prompter, report } = context;
  prompter.say('The simulated authenticator approves after a second.');
  const wish: RunArguments = {
    ...{ service, user, deviceId: device.deviceId, tpm: { address: demoTpm(context.directory) } },
    profile: 'attested',
    ...{ merged, pinFile: undefined, hasPin: true, recovery: undefined },
    ...{ dsregcmd: dsregcmdText(world), prerequisites: 'check', allowDowngrade: false },
    prompt: pin === undefined ? newPinPrompt(user, { file: undefined, prompter, report }) : fixed(pin),
  };
  const registrar = keeping(connection.registrar, write);
  const run = asking?.run ?? runWith;
  const outcome = await run({ ...connection, registrar }, wish, { ...context, store });
  if (outcome.status === 'pending') throw outcome.problem;
  if (outcome.status === 'blocked' || outcome.attestation?.status !== 'made') {
    throw new SelectionError('attestation-unavailable', 'the demo did not get an attested key', []);
  }
  const { statement } = outcome.attestation;
  await write('attestation.json', `${JSON.stringify(encodeStatement(statement), undefined, 2)}\n`);
  await write('public.pem', encodeSpkiPem(outcome.record.publicKey));
  const certificates = statement.ak.certificates ?? [];
  await write('ak-certificate.pem', certificates.map((der) => encodePem('CERTIFICATE', der)).join(''));
  return outcome;
}

const fixed =
  (pin: Uint8Array): NewPinPrompt =>
  async () =>
    concatSecrets(pin);

/** The registrar, which also writes requests and challenges to files. Tokens are not kept. */
function keeping(registrar: KeyRegistrar, write: Write): KeyRegistrar {
  return {
    ...registrar,
    challenge: async (options) => {
      const challenge = await registrar.challenge(options);
      await write('challenge.hex', `${toHex(challenge)}\n`);
      return challenge;
    },
    register: async (request, options) => {
      await write('request.json', request.body);
      return await registrar.register(request, options);
    },
  };
}

async function awaitSync({ registration }: RegisteredKey, { world, write, report, signal }: Demo): Promise<void> {
  const { bindDirectory } = await import('../../../testing/index.ts');
  const { connection } = world.directory;
  const { user } = registration;
  const bound = await bindDirectory(connection, connection.reader, { signal });
  await withCleanup(
    async () => {
      report.progress.begin('sync', 'waiting until the key is in the directory, which takes two seconds');
      const status = await waitForSync(registration, {
        ...{ reader: ldapReader(bound.client, { base: connection.base }), pollMs: POLL_MS, signal },
        onProgress: ({ state }) => report.progress.note(`sync-status: ${state}`),
      });
      report.progress.end(describeSyncStatus(status));
      const { values } = await findLdapUser(bound.client, { base: connection.base, user, signal });
      await write('key-credential-link.txt', `${values.join('\n')}\n`);
    },
    () => bound.close(),
  );
}

async function signIn(
  { record, registration }: RegisteredKey,
  { fetch }: ServiceConnection,
  { world, store, pin: given, ...context }: Demo,
): Promise<void> {
  const { report, prompter, signal } = context;
  const { signingKeyOf } = await import('../../../testing/index.ts');
  const { service, device } = world;
  const { user } = registration;
  const { authentication } = await discoverServices(service.url, { fetch, tenant: service.tenantId, signal });
  const tokenEndpoint = authentication?.tokenEndpoint ?? service.url;
  const key = signingKeyOf(createPrivateKey(device.privateKey));
  const certificates = splitCertificates(utf8(device.certificate));
  const input = { file: undefined, prompter, report };
  for (;;) {
    const pin =
      given === undefined ? await readCurrentPin(`PIN of ${user}, to sign in`, input, signal) : concatSecrets(given);
    report.progress.begin('sign-in', `with an assertion that the key signs ${sayPlace(record.assurance)}`);
    try {
      await withKeyPlaces({ address: demoTpm(context.directory) }, store, async ({ sources }) => {
        const stored = await openKey({ record, store, sources });
        const sign: SigningKey['sign'] = (what) => stored.sign({ ...what, pin, signal });
        const userKey = { publicKey: record.publicKey, sign };
        const request = {
          tokenEndpoint,
          user,
          audience: service.tenantId,
          key: userKey,
          device: { key, certificates },
        };
        await signInWithKey(request, { fetch, signal });
      });
      report.progress.end('the service has verified it with the key from the directory');
      return;
    } catch (error) {
      if (given !== undefined || !isKeyprovError(error, 'pin-wrong')) throw error;
      report.progress.fail();
      prompter.say(`Not accepted: ${sayError(error)}`);
    } finally {
      wipe(pin);
    }
  }
}
