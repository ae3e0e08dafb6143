import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDirectory, type TestDirectory } from '../../src/testing/index.ts';
import { CHEAP_SERVICE } from '../cheap-service-option.ts';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { missingPrograms } from '../programs.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import {
  environment,
  keyprov,
  keyprovBeside,
  keyprovJsonBeside,
  MAIN,
  override,
  startKeyprov,
} from './support/keyprov.ts';
import { addressOf, openPage } from './support/page-client.ts';
import { ADA, type ServiceWorld, startServiceWorld } from './support/service-world.ts';

/** The complete run is tested without it. */
const env = { NODE_OPTIONS: CHEAP_SERVICE };
const missing = (await libtpmsMissing()) ?? missingPrograms('slapd');

/** Every file below a directory, and its content. */
function contents(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => readFileSync(path, 'latin1'));
}

describe.skipIf(missing)('keyprov provision --demo', () => {
  it('asks for the PIN in a page with --web, and signs in with it', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'demo');
    const command = startKeyprov(['provision', '--demo', '--web', '--out', out], { env });
    const page = await openPage(await addressOf(command));
    const view = (wanted: string) =>
      page.stateThat(({ view }) => (Object(view).name === wanted ? Object(view) : undefined));
    await view('welcome');
    expect(await page.post('begin')).toBe(204);
    expect(await view('code')).toMatchObject({ verificationUrl: expect.stringContaining('/oauth2/deviceauth') });
    await view('pin');
    expect(await page.post('pin', '941-Xq-830\n941-Xq-830')).toBe(204);
    await view('done');
    expect(await page.post('seen')).toBe(204);
    const { status, stdout, stderr } = await command.ended;
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: expect.stringContaining('sign-in: the service has verified'),
    });
    for (const text of [stdout, stderr, ...contents(out)]) expect(text).not.toContain('941-Xq-830');
  });

  it('ends, and leaves nothing, when the window is closed by its user', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'demo');
    const command = startKeyprov(['provision', '--demo', '--web', '--out', out, '--json'], { env });
    const page = await openPage(await addressOf(command));
    await page.post('begin');
    await page.stateThat(({ view }) => (Object(view).name === 'pin' ? true : undefined));
    expect(await page.post('cancel')).toBe(204);
    await page.stateThat(({ view }) => (Object(view).name === 'failed' ? true : undefined));
    await page.post('seen');
    const { status, stdout } = await command.ended;
    expect({ status, json: JSON.parse(stdout) }).toMatchObject({
      status: 5,
      json: { error: { code: 'pin-required' } },
    });
    expect(existsSync(out)).toBe(false);
  });

  it('does the complete run, and leaves files for other commands', () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'demo');
    const { status, stdout, stderr } = keyprov(['provision', '--demo', '--out', out]);
    expect({ status, failed: stderr.match(/failed|warning/g) }).toEqual({ status: 0, failed: null });
    const steps = [...new Set([...stderr.matchAll(/^([\w-]+): /gm)].map(([, step]) => step))];
    expect(steps).toEqual([
      ...['tpm', 'directory', 'service', 'join', 'prerequisites', 'mfa', 'pin', 'key', 'attestation', 'request'],
      ...['registration', 'record', 'sync', 'sync-status', 'sign-in'],
    ]);
    expect(stderr).toContain('sync-status: pending\n');
    expect(stderr).toContain('sync: The PIN works for sign-in at the service and on premises.');
    expect(stderr).toContain('sign-in: the service has verified it with the key from the directory');
    expect(stdout).toContain('attestation  by the TPM, attestation key certified\n');
    const list = readFileSync(join(out, 'README.txt'), 'utf8');
    const listed = [...list.matchAll(/^ {2}(\S+\.\w+|\w+\/) {2,}\w/gm)].map(([, name = '']) => name.replace('/', ''));
    expect(listed.sort()).toEqual(readdirSync(out).sort());
    expect(stdout + stderr).not.toContain('\x1b');

    for (const text of [stdout, stderr, ...contents(out)]) {
      expect(text).not.toContain('271828');
      expect(text).not.toMatch(/eyJ[\w-]{10,}\.eyJ/);
    }
    const challenge = readFileSync(join(out, 'challenge.hex'), 'utf8').trim();
    expect(keyprov(['verify', '--in', join(out, 'attestation.json'), '--challenge', challenge]).status).toBe(0);
    for (const name of ['request.json', 'attestation.json', 'key-credential-link.txt', 'device.pem']) {
      expect({ name, status: keyprov(['inspect', join(out, name)]).status }).toEqual({ name, status: 0 });
    }
    expect(keyprov(['status', '--store', join(out, 'store'), '--tpm', `libtpms:${out}/tpm`]).status).toBe(0);

    // The advice is typed exactly as printed.
    const advised = stdout.split('\n').filter((line) => line.startsWith('  keyprov '));
    expect(advised).toHaveLength(2);
    for (const line of advised) {
      const shell = `keyprov() { '${process.execPath}' '${MAIN}' "$@"; }; ${line}`;
      const typed = spawnSync('bash', ['-c', shell], { encoding: 'utf8', env: environment() });
      expect(typed).toMatchObject({ status: 0, stderr: '' });
      if (line.includes('--ak-roots')) expect(typed.stdout).toContain('tier             tpm-no-ek-certificate');
    }
    const refused = ['verify', '--in', join(out, 'attestation.json'), '--challenge', challenge, '--ak-roots'];
    expect(keyprov([...refused, join(out, 'service-ca.pem')])).toMatchObject({
      status: 8,
      stdout: expect.stringContaining('In tests, --allow-maker ID accepts it.'),
    });

    const again = keyprov(['provision', '--demo', '--out', out]);
    expect(again.status).toBe(7);
    expect(again.stderr).toContain(`${out} contains an earlier demo; pass --force to replace it`);
    for (const place of [out, join(out, 'store')]) {
      writeFileSync(Buffer.concat([Buffer.from(`${place}/`), Buffer.from([0xff])]), '');
    }
    const forced = keyprov(['provision', '--demo', '--out', out, '--force', '--json'], { env });
    expect({ status: forced.status, json: JSON.parse(forced.stdout) }).toMatchObject({
      status: 0,
      json: { ok: true, aikStatus: 'certified', directory: out },
    });
  });

  it('keeps the policy of the environment, before it makes anything', () => {
    using directory = temporaryDirectory();
    const args = ['provision', '--demo', '--out', join(directory.path, 'demo'), '--json'];
    const call = (env: Readonly<Record<string, string>>) => {
      const { status, stdout } = keyprov(args, { env });
      return { status, json: JSON.parse(stdout) };
    };
    expect(call({ KEYPROV_POLICY_HARDWEAR: 'required' })).toMatchObject({
      status: 2,
      json: { error: { code: 'usage' } },
    });
    expect(call({ KEYPROV_POLICY_PIN_MIN_LENGTH: '8' })).toMatchObject({
      status: 5,
      json: { error: { code: 'pin-refused' } },
    });
    expect(readdirSync(directory.path)).toEqual([]);
  });

  it('touches no files that do not belong to a demo', () => {
    using directory = temporaryDirectory();
    writeFileSync(join(directory.path, 'mine'), 'x');
    const { status, stderr } = keyprov(['provision', '--demo', '--out', directory.path, '--force']);
    expect(status).toBe(7);
    expect(stderr).toContain('contains files that do not belong to a demo');
    expect(readdirSync(directory.path)).toEqual(['mine']);
  });

  it('leaves nothing and no process after Ctrl-C', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'demo');
    const { child, ended } = startKeyprov(['provision', '--demo', '--out', out], { env });
    let slapd = 0;
    child.stderr.on('data', (text: string) => {
      if (!text.includes('Waiting for the sign-in')) return;
      const { stdout } = spawnSync('ps', ['-o', 'pid=,args=', '--ppid', String(child.pid)], { encoding: 'utf8' });
      slapd = Number(/^\s*(\d+) .*slapd/m.exec(stdout)?.[1] ?? 0);
      child.kill('SIGINT');
    });
    const { status } = await ended;
    expect(status).toBe(130);
    expect(existsSync(out)).toBe(false);
    expect(slapd).toBeGreaterThan(0);
    expect(() => process.kill(slapd, 0)).toThrow('ESRCH');
  });
});

describe.skipIf(missing)('keyprov sync-status', () => {
  let directory: TestDirectory;
  let world: ServiceWorld;
  let ldap: readonly string[];

  beforeAll(async () => {
    directory = await startDirectory();
    await directory.addUser({ upn: ADA.upn });
    world = await startServiceWorld({ onPremises: directory.connection, syncIntervalMs: 0 });
    const args = ['provision', ...world.runArgs, '--hardware', 'discouraged', '--tpm', 'none'];
    expect((await keyprovBeside(args, { input: '730519-Xq', env: { SSH_CONNECTION: '' } })).status).toBe(0);
    const { url, base, reader } = directory.connection;
    ldap = [
      ...['sync-status', '--store', world.store, '--ldap', url, '--ldap-base', base, '--ldap-bind-dn', reader.dn],
      ...['--ldap-password-file', world.file('ldap-password', `${reader.password}\n`)],
    ];
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    await directory.close();
  });

  it('says that the key is not in the directory yet, and waits for it', async () => {
    const now = await keyprovJsonBeside(ldap);
    expect(now).toMatchObject({
      status: 10,
      json: { ok: false, state: 'pending', place: 'active-directory', error: { code: 'pending' }, user: ADA.upn },
      stderr: '',
    });
    const { child, ended } = startKeyprov([...ldap, '--wait', '--poll-seconds', '1']);
    child.stderr.once('data', () => void world.service.runSyncCycle());
    const { status, stdout, stderr } = await ended;
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: expect.stringMatching(/^(sync: not there yet\n)+sync: there\n$/),
    });
    expect(stdout).toBe('synced       there\nThe PIN works for sign-in at the service and on premises.\n');
  });

  it('says that the account may not read, or that there is no directory', async () => {
    const wrong = world.file('wrong-password', 'not it\n');
    const refused = await keyprovJsonBeside(override(ldap, '--ldap-password-file', wrong));
    expect(refused).toMatchObject({ status: 13, json: { error: { code: 'service-refused' } } });
    expect(JSON.stringify(refused)).not.toContain('not it');
    const nobody = await keyprovJsonBeside(override(ldap, '--ldap', 'ldap://127.0.0.1:9'));
    expect(nobody).toMatchObject({ status: 13, json: { error: { code: 'service-unreachable' } } });
  });

  it('reports wrong arguments at once', async () => {
    const { status, json } = await keyprovJsonBeside([
      ...['sync-status', '--ldap', 'http://x', '--graph-token-command', 'x', '--sync-minutes', '0', '--wait'],
    ]);
    expect({ status, json }).toMatchObject({
      status: 2,
      json: {
        error: {
          problems: [
            '--ldap and --graph-token-command cannot be used together',
            '--ldap is not an ldap or ldaps URL',
            '--sync-minutes is not a whole number from 1 to 999999999',
            '--ldap-base is missing',
            '--ldap-bind-dn is missing',
            '--ldap-password-file is missing',
          ],
        },
      },
    });
  });

  it('does not lead from one directory to the other', async () => {
    const { json } = await keyprovJsonBeside(['sync-status', '--graph-token-command', 'x', '--ldap-base', 'dc=x']);
    expect(json).toMatchObject({
      error: { problems: ['--ldap-base cannot be used with --graph-token-command'] },
    });
  });
});
