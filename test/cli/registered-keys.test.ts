import { generateKeyPairSync } from 'node:crypto';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Intercept, RequestFault } from '../../src/testing/index.ts';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { passwordToken } from '../integration/support/service-client.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';
import { override } from './support/keyprov.ts';
import { ADA, type ServiceWorld, startServiceWorld, storeFiles } from './support/service-world.ts';

const commands = commandLines({ cheapScrypt: true });
const missing = await libtpmsMissing();
const PIN = '730519-Xq';
const NEXT = '905173-Yr';
const GRAPH = 'https://graph.microsoft.com';
const GUID = '6f5902ac-237f-424a-a1cd-8d2b6d2bbd01';
const LOCAL = { SSH_CONNECTION: '' };

describe.skipIf(missing)('a key that keyprov has registered', () => {
  let world: ServiceWorld;
  let inStore: readonly string[];
  let ofTpm: readonly string[];
  let graph: readonly string[];

  beforeAll(async () => {
    world = await startServiceWorld();
    inStore = ['--store', world.store];
    ofTpm = [...inStore, ...world.tpmArgs];
    const args = [
      ...['provision', ...world.runArgs, ...world.tpmArgs, '--pin-file', world.file('pin', `${PIN}\n`)],
      ...['--policy', world.file('policy.json', '{"pin": {"minLength": 9}}')],
    ];
    expect((await commands.run(args, { env: LOCAL })).status).toBe(0);
    const token = world.file('graph-token', await passwordToken(world.service, ADA, { resource: GRAPH }));
    graph = ['--graph-token-command', `cat '${token}'`, '--graph-url', `${world.service.url}/graph`];
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  it('is not removed from the store alone', async () => {
    const { status, stderr } = await commands.run(['remove', ...inStore, '--yes']);
    expect({ status, stderr }).toEqual({ status: 7, stderr: expect.stringContaining('is registered at') });
    expect(stderr).toContain('to remove it from the service and the store, run keyprov unregister');
    expect(stderr).toContain('if your own program registered it, or the service is gone, run keyprov remove');
    expect(storeFiles(world.store)).toContain('key');
  });

  it.each(['unregister', 'reset'])('tells %s, without --service, where it is registered', async (command) => {
    const { status, stderr } = await commands.run([command, ...inStore, '--yes'], { env: LOCAL });
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: expect.stringMatching(/--service is missing: the key is registered at https:\/\/localhost:\d+\//),
    });
  });

  it('is shown by status, and proved by its TPM if that is given', async () => {
    const { status, stdout, stderr } = await commands.run(['status', ...ofTpm]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const names = stdout.split('\n').map((line) => line.slice(0, 12).trim());
    expect(names).toEqual([
      ...['id', 'user', 'device', 'key', 'Key ID', 'registered', 'attestation', 'PIN', 'PIN tries', 'proof', ''],
    ]);
    expect(stdout).toMatch(/\nPIN {10}set \S+ \S+ UTC, no change required\n/);
    expect(stdout).toContain(`proof        the TPM at libtpms:${world.path}/tpm has the key\n`);
    const json = await commands.json(['status', ...inStore]);
    expect(json).toMatchObject({
      status: 0,
      json: {
        ok: true,
        store: world.store,
        runs: [],
        keys: [
          {
            user: ADA.upn,
            pin: { mustChange: [] },
            proof: { status: 'not-asked', detail: expect.stringMatching(/^not checked; to check, pass --tpm \S+:\S+/) },
          },
        ],
      },
    });
  });

  it('is missed in another TPM, and then status fails', async () => {
    const { status, json } = await commands.json(['status', ...inStore, '--tpm', 'libtpms']);
    expect({ status, json }).toMatchObject({
      status: 6,
      json: {
        ok: false,
        error: { code: expect.stringMatching(/^tpm-/) },
        keys: [{ proof: { status: 'failed', error: { code: expect.stringMatching(/^tpm-/) } } }],
      },
    });
    const none = await commands.json(['status', ...inStore, '--tpm', 'tcti:nonsense']);
    expect(none).toMatchObject({ status: 4, json: { keys: [{ proof: { status: 'failed' } }] } });
  });

  it('has a PIN that must be changed if the rules became stricter or it expired', async () => {
    const policy = world.file('stricter.json', '{"pin": {"minLength": 12}}');
    const { status, json } = await commands.json(['status', ...inStore, '--policy', policy]);
    expect({ status, json }).toMatchObject({
      status: 5,
      json: {
        error: { code: 'pin-must-change' },
        keys: [{ pin: { mustChange: [{ code: 'policy-tightened', setting: 'minLength' }] } }],
      },
    });
  });

  it('gets another PIN, and keeps its registration', async () => {
    const newFile = world.file('next', `${NEXT}\n`);
    const files = ['--pin-file', join(world.path, 'pin'), '--new-pin-file', newFile];
    const before = (await commands.json(['status', ...inStore])).json.keys;
    const changed = await commands.run(['change-pin', ...ofTpm, ...files]);
    expect(changed).toEqual({
      status: 0,
      stdout: `changed the PIN of ${ADA.upn}; the key and its registration are the same\n`,
      stderr: '',
    });
    const again = await commands.json(['change-pin', ...ofTpm, ...files]);
    expect(again).toMatchObject({
      status: 5,
      json: { error: { code: 'pin-wrong', triesLeft: expect.any(Number), windows: { code: '0x80090010' } } },
    });
    const after = (await commands.json(['status', ...ofTpm])).json.keys;
    const [{ kid: kidBefore }, { kid, proof }] = [Object(before)[0], Object(after)[0]];
    expect({ kid, proof }).toMatchObject({ kid: kidBefore, proof: { status: 'proved' } });
    expect(world.filesWith(new RegExp(`${PIN}|${NEXT}`))).toEqual(['next', 'pin']);
  });

  it('has no PIN changed to one that the rules forbid; both PINs may come from standard input', async () => {
    // The key's original rules still apply if no others are given.
    const { status, json } = await commands.json(['change-pin', ...ofTpm], { input: `${NEXT}\n135-abcd\n` });
    expect({ status, json }).toMatchObject({
      status: 5,
      json: { error: { code: 'pin-refused', message: expect.stringContaining('at least 9 characters') } },
    });
    const policy = ['--policy', world.file('longer.json', '{"pin": {"minLength": 20}}')];
    const longer = await commands.json(['change-pin', ...ofTpm, ...policy], { input: `${NEXT}\n135-abcdef\n` });
    expect(longer.json.error).toMatchObject({ message: expect.stringContaining('at least 20 characters') });
    const back = await commands.run(['change-pin', ...ofTpm], { input: `${NEXT}\n${PIN}\n` });
    expect(back.status).toBe(0);
  });

  it('is looked for in Microsoft Graph, which says nothing of the directory on premises', async () => {
    const args = ['sync-status', ...inStore, ...graph, '--service-ca', join(world.path, 'ca.pem')];
    const { status, stdout } = await commands.run(args);
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: 'synced       there\n' + 'The PIN works for sign-in to the cloud; on premises it has not been checked.\n',
    });
    const nowhere = await commands.json(['sync-status', ...inStore, '--sync-minutes', '45']);
    expect(nowhere).toMatchObject({ status: 10, json: { state: 'registered', error: { code: 'registered' } } });
    const { registered, estimate } = {
      ...Object(await commands.json(['status', ...inStore])).json.keys[0],
      ...nowhere.json,
    };
    expect(Date.parse(estimate) - Date.parse(registered)).toBe(45 * 60_000);
  });

  it('waits for a scheduler as Windows PowerShell saves it, and for none that says nothing', async () => {
    const file = join(world.path, 'scheduler.txt');
    const schedule = async (text: string, encoding: 'utf8' | 'utf16le' = 'utf8') => {
      writeFileSync(file, text, encoding);
      return await commands.json(['sync-status', ...inStore, '--scheduler', file]);
    };
    const off = await schedule('\ufeffSyncCycleEnabled : False\r\n', 'utf16le');
    expect(off.json).toMatchObject({ obstacles: ['the synchronization is switched off (SyncCycleEnabled)'] });
    const unread = await schedule('SyncCycleEnabled : True\nNextSyncCycleStartTimeInUTC : tomorrow\n');
    expect(unread.json.warnings).toEqual([expect.stringContaining('cannot be read: tomorrow')]);
    for (const text of ['', 'no such command', '0\0']) {
      expect(await schedule(text)).toMatchObject({ status: 2, json: { error: { code: 'usage' } } });
    }
  });

  it('is replaced by reset, when its user has said so', async () => {
    const only = [...world.serviceArgs, ...inStore]; // without --user: there is one key
    const args = ['reset', ...only, ...world.tpmArgs, ...graph, '--pin-file', world.file('pin3', `${NEXT}\n`)];
    const unsure = await commands.json(args, { env: LOCAL });
    expect(unsure).toMatchObject({
      status: 2,
      json: { error: { problems: ['--yes is missing: there is no terminal to ask in'] } },
    });
    const [old] = world.service.keys();
    const { status, json } = await commands.json([...args, '--yes'], { env: LOCAL });
    expect({ status, json }).toMatchObject({
      status: 0,
      json: { status: 'registered', backend: 'tpm', user: ADA.upn },
    });
    const kids = world.service.keys().map(({ kid }) => kid);
    expect(kids).toEqual([json.kid]);
    expect(kids).not.toContain(old?.kid);
    expect(storeFiles(world.store)).toEqual(['key']);
  });

  it('stays if no other key can replace it', async () => {
    const args = ['reset', ...world.runArgs, ...graph, '--pin-file', join(world.path, 'pin'), '--yes'];
    const here = [...args, ...world.tpmArgs, '--skip-prerequisites'];
    const kids = world.service.keys().map(({ kid }) => kid);
    const refused = await commands.json(here, { env: { ...LOCAL, KEYPROV_POLICY_VIRTUAL_TPM: 'refuse' } });
    expect(refused).toMatchObject({
      status: 3,
      json: { error: { attempts: [{ code: 'virtual-tpm-refused' }, { backend: 'software' }] } },
    });
    const none = [...args, '--skip-prerequisites', '--tpm', 'none'];
    expect(await commands.json([...none, '--hardware', 'required'], { env: LOCAL })).toMatchObject({
      status: 3,
      json: { error: { code: 'hardware-required' } },
    });
    expect(await commands.json(none, { env: LOCAL })).toMatchObject({
      status: 3,
      json: { error: { code: 'downgrade-refused' } },
    });
    expect(world.service.keys().map(({ kid }) => kid)).toEqual(kids);
    expect(storeFiles(world.store)).toEqual(['key']);
  });

  it.each([
    ['a short PIN', '1234\n', 'pin-refused'],
    ['an empty line', '\n', 'pin-required'],
    ['nothing', '', 'pin-required'],
  ])('stays if standard input has %s', async (_, input, code) => {
    const [key] = world.service.keys();
    const args = ['reset', ...world.runArgs, ...world.tpmArgs, ...graph, '--yes'];
    const refused = await commands.json(args, { input, env: LOCAL });
    expect(refused).toMatchObject({ status: 5, json: { error: { code }, warnings: [] } });
    expect(world.service.keys()).toEqual([key]);
    expect(storeFiles(world.store)).toEqual(['key']);
  });

  it('is replaced by provision if reset ends too early', async () => {
    await using other = await startServiceWorld();
    const software = ['--hardware', 'discouraged', '--tpm', 'none', '--skip-prerequisites'];
    const args = [...other.runArgs, ...software];
    expect((await commands.run(['provision', ...args], { input: `${PIN}\n`, env: LOCAL })).status).toBe(0);
    const token = other.file('graph-token', await passwordToken(other.service, ADA, { resource: GRAPH }));
    const reset = [
      ...['reset', ...args, '--graph-token-command', `cat '${token}'`, '--graph-url', `${other.service.url}/graph`],
      ...['--yes', '--token-command', 'false'],
    ];
    const early = await commands.run(reset, { input: `${NEXT}\n`, env: LOCAL });
    expect(early.status).toBe(12);
    expect(early.stderr).toContain(
      'warning: the old key is removed; to get the new one, run keyprov provision instead of keyprov reset\n',
    );
    expect(other.service.keys()).toEqual([]);
    const again = await commands.json(reset, { input: `${NEXT}\n`, env: LOCAL });
    expect(again).toMatchObject({
      status: 7,
      json: { error: { code: 'key-not-found', remedy: expect.stringContaining('make a key (keyprov provision, or ') } },
    });
    const made = await commands.json(['provision', ...args], { input: `${NEXT}\n`, env: LOCAL });
    expect(made).toMatchObject({ status: 0, json: { status: 'registered' } });
  });

  it('is never replaced by a software key without a word', async () => {
    const args = ['reset', ...world.runArgs, '--tpm', 'none', ...graph, '--pin-file', join(world.path, 'pin'), '--yes'];
    const { status, json } = await commands.json(args, { env: LOCAL });
    expect({ status, json }).toMatchObject({
      status: 11,
      json: { status: 'blocked', prerequisites: { errorStates: 0x20 } },
    });
    expect(storeFiles(world.store)).toEqual(['key']);
    expect(world.service.keys()).toHaveLength(1);
    const allowed = await commands.json([...args, '--allow-downgrade'], { env: LOCAL });
    expect(allowed).toMatchObject({ status: 0, json: { backend: 'software' } });
  });

  it('is told from a key that the service does not know, by unregister', async () => {
    await using other = await startServiceWorld();
    const software = ['--hardware', 'discouraged', '--tpm', 'none', '--pin-file', other.file('pin', PIN)];
    expect((await commands.run(['provision', ...other.runArgs, ...software], { env: LOCAL })).status).toBe(0);
    const token = other.file('graph-token', await passwordToken(other.service, ADA, { resource: GRAPH }));
    const args = [
      ...['unregister', '--store', other.store, ...other.serviceArgs, '--graph-token-command', `cat '${token}'`],
      ...['--graph-url', `${other.service.url}/nowhere`, '--yes'],
    ];
    const { status, stdout, stderr } = await commands.run(args);
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: `removed the key of ${ADA.upn} from ${other.store} only\n`,
    });
    expect(stderr).toContain('warning: the service has no key ');
    expect(other.service.keys()).toHaveLength(1);
  });

  it('is listed and removed at the service if its store is lost', async () => {
    let answer: RequestFault = 'continue';
    const intercept: Intercept = ({ method, path }) =>
      /^DELETE .graph/.test(`${method} ${path}`) ? answer : 'continue';
    await using other = await startServiceWorld({ intercept });
    const software = ['--hardware', 'discouraged', '--tpm', 'none', '--pin-file', other.file('pin', PIN)];
    expect((await commands.run(['provision', ...other.runArgs, ...software], { env: LOCAL })).status).toBe(0);
    const token = other.file('graph-token', await passwordToken(other.service, ADA, { resource: GRAPH }));
    const toGraph = ['--graph-token-command', `cat '${token}'`, '--graph-url', `${other.service.url}/graph`];
    const unregister = ['unregister', ...other.serviceArgs, ...toGraph, '--user', ADA.upn];
    const kid = String(other.service.keys()[0]?.kid);
    const kept = await commands.json([...unregister, '--store', other.store, '--registration', kid, '--yes']);
    expect(kept).toMatchObject({ status: 7, json: { error: { code: 'key-exists' } } });
    const lost = [...unregister, '--store', join(other.path, 'lost')];
    expect(await commands.json([...lost, '--yes'])).toMatchObject({
      status: 7,
      json: {
        error: {
          code: 'key-not-found',
          remedy: expect.stringContaining("list the user's keys at the service with --list"),
        },
      },
    });
    expect(await commands.json([...lost, '--list'])).toMatchObject({
      status: 0,
      json: { user: ADA.upn, keys: [{ id: kid }] },
    });
    expect((await commands.run([...lost, '--list'])).stdout).toMatch(new RegExp(`^${kid} \\d{4}-\\S+Z `));
    const unsure = await commands.json([...lost, '--registration', kid]);
    expect(unsure).toMatchObject({ status: 2, json: { error: { code: 'usage' } } });
    const nobody = await commands.json([...lost, '--registration', GUID, '--yes']);
    expect(nobody).toMatchObject({
      status: 7,
      json: { error: { code: 'key-not-found', remedy: 'list the keys with --list' } },
    });
    expect(other.service.keys()).toHaveLength(1);
    const dots = await commands.json(override([...lost, '--list'], '--user', '..'));
    expect(dots).toMatchObject({ status: 2, json: { error: { problems: ['--user is not the name of a user'] } } });
    answer = { status: 404 };
    const gone = await commands.run([...lost, '--registration', kid, '--yes']);
    expect(gone).toMatchObject({
      status: 0,
      stdout: `the service has no key ${kid} for ${ADA.upn}; nothing was done\n`,
    });
    answer = 'continue';
    expect(await commands.json([...lost, '--registration', kid, '--yes'])).toMatchObject({
      status: 0,
      json: { id: kid, outcome: 'deleted' },
    });
    expect(other.service.keys()).toEqual([]);
    expect((await commands.run([...lost, '--list'])).stdout).toBe(`the service has no key for ${ADA.upn}\n`);
  });

  it('is removed after the other key of its device, whose store is lost', async () => {
    await using other = await startServiceWorld();
    const software = ['--hardware', 'discouraged', '--tpm', 'none', '--pin-file', other.file('pin', PIN)];
    const stores = [join(other.path, 'lost'), other.store];
    for (const store of stores) {
      const args = override(['provision', ...other.runArgs, ...software], '--store', store);
      expect((await commands.run(args, { env: LOCAL })).status).toBe(0);
    }
    const [lost, own] = other.service.keys().map(({ kid }) => kid);
    const token = other.file('graph-token', await passwordToken(other.service, ADA, { resource: GRAPH }));
    const toGraph = ['--graph-token-command', `cat '${token}'`, '--graph-url', `${other.service.url}/graph`];
    const unregister = ['unregister', ...other.serviceArgs, ...toGraph, '--user', ADA.upn, '--store', other.store];
    expect(await commands.json([...unregister, '--yes'])).toMatchObject({
      json: {
        error: {
          code: 'service-untrusted',
          message: expect.stringContaining(`the key ${own} of ${ADA.upn} may be another key of the same device`),
          remedy:
            "list the user's keys (keyprov unregister --list), remove the other keys of this device " +
            '(keyprov unregister --registration ID), and try again',
        },
      },
    });
    expect((await commands.run([...unregister, '--registration', `${lost}`, '--yes'])).status).toBe(0);
    expect((await commands.run([...unregister, '--yes'])).status).toBe(0);
    expect(other.service.keys()).toEqual([]);
  });

  it('is removed from the store alone with --force, with a warning', async () => {
    const copy = join(world.path, 'copy');
    cpSync(world.store, copy, { recursive: true });
    const { status, stdout, stderr } = await commands.run(['remove', '--store', copy, '--force', '--yes']);
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringMatching(/^removed the key ngc-/) });
    expect(stderr).toMatch(/^warning: https:\S+ still has the key, as [0-9a-f-]{36}; remove it there too\n$/);
    expect(storeFiles(copy)).toEqual([]);
    expect(world.service.keys()).toHaveLength(1);
  });

  it('is taken back by unregister', async () => {
    const args = ['unregister', ...inStore, ...world.serviceArgs, ...graph, '--yes'];
    const { status, stdout, stderr } = await commands.run(args);
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: `removed the key of ${ADA.upn} from the service and from ${world.store}\n`,
    });
    expect(stderr).toMatch(
      /^unregister: [0-9a-f-]{36} at https:.*\nunregister: the service has removed it \(\d+\.\d s\)\n$/,
    );
    expect(world.service.keys()).toEqual([]);
    expect(storeFiles(world.store)).toEqual([]);
    expect(await commands.json(args)).toMatchObject({ status: 7, json: { error: { code: 'key-not-found' } } });
    expect(await commands.json(['status', ...inStore])).toMatchObject({
      status: 7,
      json: { keys: [], runs: [], error: { code: 'key-not-found' } },
    });
  });
});

it('change-pin names the option of the new PIN if only that one is missing', async () => {
  using directory = temporaryDirectory();
  const pin = join(directory.path, 'pin');
  writeFileSync(pin, PIN, { mode: 0o600 });
  const store = ['--store', join(directory.path, 'store')];
  const create = ['create', ...store, '--tpm', 'none', '--algorithm', 'p-256', '--pin-file', pin];
  expect((await commands.run(create)).status).toBe(0);
  const error = {
    code: 'pin-required',
    message: 'no new PIN: there is no terminal, and standard input has no line with it',
    remedy: 'pass --new-pin-file, or pipe the new PIN in, on its own line',
  };
  expect(await commands.json(['change-pin', ...store, '--pin-file', pin])).toMatchObject({ json: { error } });
  const onlyOne = await commands.json(['change-pin', ...store], { input: `${PIN}\n` });
  expect(onlyOne).toMatchObject({ json: { error } });
  expect(await commands.json(['change-pin', ...store])).toMatchObject({
    json: { error: { code: 'pin-required', remedy: 'pass --pin-file, or pipe the PIN in' } },
  });
});

describe('a key that is not registered', () => {
  it.each(['unregister', 'reset'])('is all that %s reports, whatever else is missing', async (command) => {
    using directory = temporaryDirectory();
    const [store, env] = [['--store', join(directory.path, 'store')], LOCAL];
    const { json: made } = await commands.json(['create', ...store, '--tpm', 'none', '--algorithm', 'p-256']);
    expect(await commands.json([command, ...store], { env })).toMatchObject({
      status: 7,
      json: { error: { code: 'key-not-found', message: expect.stringMatching(`${made.id} in .* is not registered`) } },
    });
    expect(await commands.json([command, ...store], { env })).toMatchObject({
      json: {
        error: { remedy: expect.stringMatching(/run keyprov remove --store \S+ --key \S+; .* keyprov create$/) },
      },
    });
    // What is wrong comes first, together with what is missing.
    const wrong = await commands.json([command, ...store, '--service', 'nonsense'], { env });
    expect(wrong).toMatchObject({ status: 2, json: { error: { code: 'usage' } } });
    expect(Object(wrong.json.error).problems).toEqual(
      expect.arrayContaining([
        '--service is not an https URL, or contains a user name or password',
        '--yes is missing: there is no terminal to ask in',
      ]),
    );
  });
});

describe('without a store', () => {
  it.each(['status', 'change-pin', 'sync-status', 'unregister', 'reset', 'remove'])(
    '%s finds no key, and makes no directory',
    async (command) => {
      using directory = temporaryDirectory();
      const store = join(directory.path, 'none');
      const { status, json } = await commands.json([command], { env: { KEYPROV_STORE: store } });
      expect({ status, json }).toMatchObject({
        status: 7,
        json: {
          error: { code: 'key-not-found', message: expect.stringContaining(`there is no key store at ${store}`) },
        },
      });
    },
  );
});

describe.skipIf(missing)('a forgotten PIN', () => {
  it('is reset with the help of a recovery service, and the key stays', async () => {
    await using world = await startServiceWorld();
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const recoveryKey = world.file('recovery.pem', String(publicKey.export({ type: 'spki', format: 'pem' })));
    world.file('service.pem', String(privateKey.export({ type: 'pkcs8', format: 'pem' })));
    const helper = world.file(
      'recover.mjs',
      `import { readFileSync } from 'node:fs';
       import { openRecoverySecret } from ${JSON.stringify(join(process.cwd(), 'dist/src/provisioning/index.js'))};
       const { user, ...texts } = JSON.parse(readFileSync(0, 'utf8'));
       const bytes = Object.fromEntries(Object.entries(texts).map(([n, t]) => [n, new Uint8Array(Buffer.from(t, 'base64'))]));
       const secret = openRecoverySecret({ user, ...bytes }, readFileSync(process.argv[2], 'utf8'));
       process.stdout.write(Buffer.from(secret).toString('base64'));`,
    );
    const command = `'${process.execPath}' '${helper}' '${world.path}/service.pem'`;
    const software = ['--hardware', 'discouraged', '--tpm', 'none', '--recovery-key', recoveryKey];
    const pin = ['--pin-file', world.file('pin', PIN)];
    const made = await commands.json(['provision', ...world.runArgs, ...software, ...pin], { env: LOCAL });
    expect(made.status).toBe(0);
    const reset = ['reset', '--keep-key', ...world.runArgs, ...software, '--pin-file', world.file('next', NEXT)];
    const without = await commands.json(reset);
    expect(without).toMatchObject({
      status: 2,
      json: { error: { problems: ['--recovery-command is missing: --keep-key needs it'] } },
    });
    const failed = await commands.json([...reset, '--recovery-command', 'echo no; exit 0']);
    expect(failed).toMatchObject({ status: 5, json: { error: { code: 'recovery-unavailable' } } });
    const off = { env: { KEYPROV_POLICY_ENABLE_PIN_RECOVERY: 'false' } };
    const why = 'cannot be used: environment sets EnablePinRecovery to false';
    expect(await commands.json([...reset, '--recovery-command', command], off)).toMatchObject({
      status: 2,
      json: { error: { problems: [`--recovery-key ${why}`, `--recovery-command ${why}`] } },
    });
    const change = ['change-pin', '--store', world.store, '--recovery-key', recoveryKey];
    expect(await commands.json(change, off)).toMatchObject({
      status: 2,
      json: { error: { problems: [`--recovery-key ${why}`] } },
    });
    const done = await commands.json([...reset, '--recovery-command', command]);
    expect({ status: done.status, kid: done.json.kid }).toEqual({ status: 0, kid: made.json.kid });
    const changed = await commands.run(['change-pin', '--store', world.store], { input: `${NEXT}\n${PIN}-2\n` });
    expect(changed.status).toBe(0);
    expect(world.service.keys()).toHaveLength(1);
  });
});

describe.skipIf(missing)('a TPM that accepts no PIN at present', () => {
  it('lets reset keep the key that is there', async () => {
    await using world = await startServiceWorld();
    const pin = ['--pin-file', world.file('pin', PIN)];
    const made = await commands.json(['provision', ...world.runArgs, ...world.tpmArgs, ...pin], { env: LOCAL });
    expect(made.status).toBe(0);
    const change = ['change-pin', '--force', '--store', world.store, ...world.tpmArgs];
    const codes: unknown[] = [];
    while (codes.length < 40 && !codes.includes('tpm-lockout') && !codes.includes('key-locked')) {
      const { json } = await commands.json(change, { input: `${NEXT}\n${PIN}-2\n` });
      codes.push(Object(json.error).code);
    }
    const graph = ['--graph-token-command', 'echo unused', '--graph-url', `${world.service.url}/graph`];
    const reset = ['reset', ...world.runArgs, ...world.tpmArgs, ...graph, ...pin, '--yes', '--skip-prerequisites'];
    const { status, json } = await commands.json(reset, { env: LOCAL });
    expect({ status, json }).toMatchObject({
      json: { error: { code: 'tpm-unavailable', attempts: [{ code: 'tpm-lockout' }, { backend: 'software' }] } },
    });
    expect(world.service.keys().map(({ kid }) => kid)).toEqual([made.json.kid]);
    expect(storeFiles(world.store)).toEqual(['key']);
  });
});
