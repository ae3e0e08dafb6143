import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/bytes.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { tctiOf } from '../integration/support/swtpm-address.ts';
import { checkoutIsClosed, isRoot, ORDINARY_USER } from '../ordinary-user.ts';
import { missingPrograms } from '../programs.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';
import { type CallOptions, keyprov, keyprovJson, MAIN } from './support/keyprov.ts';

const missing = await libtpmsMissing();

const commands = commandLines();

/** The findings by name. Another user and another library need a process of their own. */
async function doctor({ uid, ...options }: CallOptions = {}, args: readonly string[] = []) {
  const isAlone = uid !== undefined || options.env?.KEYPROV_LIBTPMS !== undefined;
  const line = ['doctor', ...args];
  const { status, json } = isAlone
    ? keyprovJson(line, { ...options, ...(uid !== undefined && { uid }) })
    : await commands.onlyJson(line, options);
  const { ok, tpms, checks } = Object(json);
  const byName = new Map<string, object>(Array.from(checks, (check) => [Object(check).name, Object(check)]));
  return { status, ok, tpms, of: (name: string) => byName.get(name) };
}

/** A machine with its own TPM ends with another command. */
const hasOwnTpm = Object((await doctor()).of('this machine')).status === 'ok';

describe('keyprov doctor', () => {
  it.skipIf(missing)('finds libtpms, with version and path, and starts a TPM of it', async () => {
    const { status, ok, tpms, of } = await doctor();
    expect({ status, ok }).toEqual({ status: hasOwnTpm ? 0 : 1, ok: hasOwnTpm });
    expect(tpms).toContain('libtpms');
    expect(of('libtpms')).toMatchObject({
      status: 'ok',
      detail: expect.stringMatching(/^0\.\d+\.\d+ \(\/.*libtpms\.so\.0\); .* TPM 2\.0 revision 1\.\d\d, virtual$/),
    });
    expect(of('node')).toMatchObject({ status: 'ok', detail: expect.stringContaining(process.versions.node) });
  });

  it.skipIf(missing || hasOwnTpm)('ends with a command that makes a key in a virtual TPM', () => {
    using directory = temporaryDirectory();
    const last = keyprov(['doctor']).stdout.trimEnd().split('\n').at(-1);
    expect(last).toBe('to make a key in a virtual TPM: keyprov create --tpm libtpms:tpm --out key');
    const [, ...words] = (last?.split(': ')[1] ?? '').split(' ');
    expect(keyprov(words, { cwd: directory.path }).status).toBe(0);
  });

  it.skipIf(missing || hasOwnTpm).each([
    ['', 'virtual'],
    ['libtpms', 'virtual'],
    ['libtpms:there', 'virtual'],
    ['libtpms:not there', 'virtual'],
    ['none', 'software'],
    ['device:/nowhere', 'virtual'],
    ['chip', 'virtual'],
  ])('ends with a working command that makes the key in the named TPM: KEYPROV_TPM=%s', async (named, assurance) => {
    using directory = temporaryDirectory();
    const options = { cwd: directory.path, env: { KEYPROV_TPM: named } };
    await commands.run(['create', '--tpm', 'libtpms:there', '--store', 'store'], { cwd: directory.path });
    const { tpms, next } = Object((await commands.onlyJson(['doctor'], options)).json);
    expect(readdirSync(directory.path).sort()).toEqual(['store', 'there']);
    const { status, json } = await commands.onlyJson(next.split(' ').slice(1), options);
    expect({ status, json }).toMatchObject({ status: 0, json: { assurance } });
    expect(JSON.stringify(json)).not.toContain('can no longer be used');
    const where = assurance === 'software' ? 'in software' : 'in a virtual TPM';
    const [message, last] = (await commands.run(['doctor'], options)).stdout.trimEnd().split('\n').slice(-2);
    expect(last).toContain(`${where}: ${next}`);
    // Whether a command without --tpm would have found one
    const another = ['create', '--store', 'another', '--hardware', 'required'];
    const found = (await commands.run(another, options)).status === 0;
    expect(message?.includes('with --tpm')).toBe(!found);
    expect(tpms).toContain('libtpms');
  });

  it.skipIf(missingPrograms('swtpm'))('says that the TPM of a running emulator is virtual', async () => {
    await using swtpm = await startSwtpm();
    const { stdout } = keyprov(['doctor'], { env: { KEYPROV_TPM: swtpm.address } });
    expect(stdout).toMatch(/\nto make a key in a virtual TPM: keyprov create --hardware required --out key\n$/);
  });

  it('names a directory that can be made if none can be made where it runs', () => {
    using directory = temporaryDirectory();
    const { next } = Object(keyprovJson(['doctor'], { cwd: '/proc', env: { HOME: directory.path } }).json);
    expect(next).toMatch(new RegExp(` --out ${join(directory.path, 'key')}$`));
    expect(readdirSync(directory.path)).toEqual([]);
  });

  it('says what to install, and fails, if there is no TPM at all', async () => {
    using directory = temporaryDirectory();
    const env = {
      KEYPROV_LIBTPMS: '/nowhere/libtpms.so',
      KEYPROV_TCTILDR: '/nowhere/tctildr.so',
      PATH: directory.path,
    };
    const { of, tpms, status, ok } = await doctor({ env });
    expect(of('libtpms')).toMatchObject({
      status: 'missing',
      detail: expect.stringContaining('tried /nowhere/libtpms.so'),
      remedy: expect.stringContaining('apt-get install libtpms0'),
    });
    expect(of('swtpm')).toMatchObject({ status: 'missing', remedy: expect.stringContaining('apt-get install swtpm') });
    expect(of('tpm2-tss')).toMatchObject({ status: 'missing', remedy: expect.stringContaining('libtss2-tctildr0') });
    for (const name of ['KEYPROV_LIBTPMS', 'KEYPROV_TCTILDR']) expect(of(name)).toMatchObject({ status: 'problem' });
    // A machine with its own TPM still has one.
    const found = Object(of('this machine')).status === 'ok';
    expect({ status, ok, count: tpms.length }).toEqual({ status: found ? 0 : 1, ok: found, count: found ? 1 : 0 });
    const { stdout, stderr } = keyprov(['doctor'], { env });
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^missing {2}libtpms .*install it \(Debian: apt-get install libtpms0\)/m);
    expect(stdout).toMatch(
      found
        ? /\nTPMs that can be used: /
        : /\nno TPM can be used\nto make a key in software: keyprov create --tpm none --out key\n$/,
    );
  });

  it.skipIf(missing || hasOwnTpm)(
    'fails without a TPM that commands use, although an emulator could be used',
    async () => {
      const message = 'this machine has no usable TPM; TPMs that can be used with --tpm: libtpms';
      expect(await commands.onlyJson(['doctor'])).toMatchObject({
        ...{ status: 1, json: { ok: false, error: { code: 'no-tpm', message: expect.stringContaining(message) } } },
      });
      const { status, stdout } = await commands.run(['doctor']);
      expect({ status, stdout }).toEqual({ status: 1, stdout: expect.stringContaining(`\n${message}`) });
      const named = async (KEYPROV_TPM: string) => await commands.run(['doctor'], { env: { KEYPROV_TPM } });
      expect((await named('device:/nowhere')).stdout).toContain('\nthe TPM of KEYPROV_TPM cannot be used; TPMs that');
      expect((await named('device:/nowhere')).status).toBe(1);
      for (const asked of ['libtpms', 'none']) expect((await named(asked)).status).toBe(0);
    },
  );

  it('reports a misspelled policy variable, which is not a failure', async () => {
    const { KEYPROV_POLICY_HARDWEAR, ...plain } = { KEYPROV_POLICY_HARDWEAR: 'required' };
    const before = await doctor({ env: plain });
    const { status, of } = await doctor({ env: { KEYPROV_POLICY_HARDWEAR } });
    expect(before.of('KEYPROV_POLICY_*')).toMatchObject({ status: 'ok', detail: 'not set' });
    expect(of('KEYPROV_POLICY_*')).toMatchObject({
      status: 'problem',
      detail: expect.stringContaining('KEYPROV_POLICY_HARDWEAR'),
    });
    expect(status).toBe(before.status);
  });

  it('reports a file that is not a library', async () => {
    using directory = temporaryDirectory();
    const library = join(directory.path, 'libtpms.so.0');
    writeFileSync(library, 'no library');
    const { of } = await doctor({ env: { KEYPROV_LIBTPMS: library } });
    expect(of('libtpms')).toMatchObject({ status: 'problem', detail: expect.stringContaining(library) });
    expect(of('KEYPROV_LIBTPMS')).toMatchObject({ status: 'ok', detail: library });
  });

  it.skipIf(missingPrograms('swtpm'))('finds swtpm and its version', async () => {
    expect((await doctor()).of('swtpm')).toMatchObject({
      status: 'ok',
      detail: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    });
  });

  it('is not held up by a swtpm that does not answer', async () => {
    using directory = temporaryDirectory();
    const swtpm = join(directory.path, 'swtpm');
    writeFileSync(swtpm, '#!/bin/sh\nexec sleep 30\n');
    chmodSync(swtpm, 0o755);
    const { of } = await doctor({ env: { PATH: `${directory.path}:${process.env.PATH}` } });
    expect(of('swtpm')).toMatchObject({ status: 'problem' });
  });

  it.skipIf(missingPrograms('swtpm'))('is not held up by a TPM that another client holds', async () => {
    await using swtpm = await startSwtpm();
    await using _other = await swtpm.open();
    const hasTss = (await doctor()).of('tpm2-tss');
    const tcti = Object(hasTss).status === 'ok' ? [`tcti:${tctiOf(swtpm)}`] : [];
    for (const address of [swtpm.address, ...tcti]) {
      const { status, json } = keyprovJson(['doctor', '--tpm', address]);
      expect(status).toBe(1);
      expect(Object(json).checks).toContainEqual({
        ...{ name: '--tpm', status: 'problem', detail: `${address}: the TPM did not answer within 3 s` },
        remedy: expect.stringContaining('stop other programs that hold it'),
      });
    }
  });

  it.skipIf(missingPrograms('swtpm'))(
    'looks for a shorter time than other commands, which say that they wait',
    async () => {
      await using swtpm = await startSwtpm();
      const other = await swtpm.open();
      const child = spawn(process.execPath, [MAIN, 'tpm', '--tpm', swtpm.address], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      const [line] = await once(createInterface({ input: child.stderr }), 'line');
      expect(line).toBe(`tpm: waiting for the TPM at ${swtpm.address}, which another program may be using`);
      await other.close();
      expect(await once(child, 'exit')).toEqual([0, null]);
    },
  );

  describe.skipIf(missingPrograms('swtpm'))('with a TPM that can be opened', () => {
    /** TPM2_HierarchyControl of the platform hierarchy, without a password: disables that hierarchy. */
    const disable = (hierarchy: string): string =>
      `80020000002000000121${'4000000c'}${'00000009'}${'400000090000000000'}${hierarchy}00`;
    /** TPM2_DictionaryAttackParameters of the lockout hierarchy, without a password: allows no wrong try. */
    const lock = '8002000000270000013a4000000a0000000940000009000000000000000000000003e8000003e8';

    it.each([
      [
        'owner hierarchy',
        disable('40000001'),
        1,
        /^the owner hierarchy is disabled, so the TPM makes no keys$/,
        /restart/,
      ],
      [
        'endorsement hierarchy',
        disable('4000000b'),
        0,
        /, virtual; the endorsement hierarchy is disabled, so the TPM does not attest keys$/,
        /restart/,
      ],
      ['lockout', lock, 0, /, virtual; PIN tries: locked: no wrong try is allowed$/, /DictionaryAttackParameters/],
    ])('says what it cannot do: %s', async (_, command, status, detail, remedy) => {
      await using swtpm = await startSwtpm();
      const transport = await swtpm.open();
      expect(toHex(await transport.send(fromHex(command))).slice(12, 20)).toBe('00000000');
      await transport.close();
      const { of, ...found } = await doctor({}, ['--tpm', swtpm.address]);
      const isUsable = status === 0;
      expect(found.status).toBe(status);
      expect(found.tpms.includes(swtpm.address)).toBe(isUsable);
      expect(of('--tpm')).toMatchObject({
        status: isUsable ? 'ok' : 'problem',
        detail: expect.stringMatching(detail),
        remedy: expect.stringMatching(remedy),
      });
    });

    it('says that its self-test failed', async () => {
      using directory = temporaryDirectory();
      await using swtpm = await startSwtpm({ stateDirectory: join(directory.path, 'state') });
      const transport = await swtpm.open();
      rmSync(join(directory.path, 'state'), { recursive: true });
      await transport.send(fromHex(lock)); // cannot be stored
      await transport.close();
      const { of, status } = await doctor({}, ['--tpm', swtpm.address]);
      expect({ status, check: of('--tpm') }).toMatchObject({
        ...{ status: 1, check: { status: 'problem', detail: expect.stringContaining('TPM_RC_FAILURE') } },
      });
    });
  });

  it.skipIf(missing)('opens the TPM that the environment names, but makes none', async () => {
    using directory = temporaryDirectory();
    const state = join(directory.path, 'tpm');
    const env = { KEYPROV_TPM: `libtpms:${state}` };
    expect((await doctor({ env })).of('KEYPROV_TPM')).toMatchObject({
      status: 'ok',
      detail: expect.stringMatching(/does not exist yet/),
    });
    mkdirSync(state);
    expect((await doctor({ env })).of('KEYPROV_TPM')).toMatchObject({ status: 'ok', tpm: env.KEYPROV_TPM });
    expect(readdirSync(state)).toEqual([]);
  });

  it.skipIf(missing || process.platform !== 'linux')(
    'says so if it cannot make a TPM or a store where they are to be, as the commands do',
    async () => {
      using directory = temporaryDirectory();
      const at = (name: string) => join(directory.path, name);
      writeFileSync(at('file'), '');
      mkdirSync(at('open'));
      chmodSync(at('open'), 0o777);
      symlinkSync(at('nowhere'), at('link'));
      for (const [path, problem] of [
        ['/proc/x', 'does not exist'],
        ['/proc/x/y', 'does not exist'],
        [at('file'), 'is not a directory'],
        [at('file/x'), 'is not a directory'],
        [at('link'), 'does not exist|is not a directory'],
        [at('open'), 'is writable by other users'],
        [at('open/x'), 'is writable by other users'],
      ] as const) {
        const env = { KEYPROV_STORE: path };
        const tpm = ['--tpm', `libtpms:${path}`];
        const { status, of } = await doctor({ env }, tpm);
        const found = { status: 'problem', detail: expect.stringMatching(problem) };
        expect({ path, status, tpm: of('--tpm'), store: of('key store') }).toMatchObject({
          ...{ path, status: 1, tpm: found, store: found },
        });
        expect(readdirSync(directory.path).sort()).toEqual(['file', 'link', 'open']);
        expect(readdirSync(at('open'))).toEqual([]);
        const error = { message: expect.stringMatching(problem) };
        for (const args of [
          ['--tpm', 'none'],
          [...tpm, '--hardware', 'required', '--store', at('other')],
        ]) {
          const { json } = await commands.onlyJson(['create', ...args], { env });
          expect({ path, args, json }).toMatchObject({ path, args, json: { ok: false, error } });
        }
        rmSync(at('other'), { recursive: true, force: true });
      }
    },
  );

  it.each([
    ['chip', /^'chip' is not the address of a TPM/],
    ['swtpm:unix:/nowhere/tpm', /^swtpm:unix:\/nowhere\/tpm: /],
    ['device:/nowhere', /^device:\/nowhere: there is no such device/],
  ])('explains the problem with KEYPROV_TPM=%s', async (value, detail) => {
    expect((await doctor({ env: { KEYPROV_TPM: value } })).of('KEYPROV_TPM')).toMatchObject({
      status: 'problem',
      detail: expect.stringMatching(detail),
    });
  });

  it.skipIf(!isRoot || checkoutIsClosed())('tells an ordinary user how to get access to a device', async ({ skip }) => {
    using directory = temporaryDirectory();
    chmodSync(directory.path, 0o755);
    const device = join(directory.path, 'tpmrm0');
    if (spawnSync('mknod', ['-m', '600', device, 'c', '1', '3']).status !== 0) skip('mknod is not allowed here');
    expect(
      (await doctor({ env: { KEYPROV_TPM: `device:${device}` }, uid: ORDINARY_USER.uid })).of('KEYPROV_TPM'),
    ).toMatchObject({
      status: 'problem',
      detail: expect.stringContaining('access denied'),
      remedy: 'join the group that owns the device (usually tss)',
    });
  });

  it.skipIf(!isRoot || checkoutIsClosed() || missing)(
    'distinguishes what an ordinary user may not read from what is missing',
    async () => {
      using directory = temporaryDirectory();
      chmodSync(directory.path, 0o700);
      const at = (name: string) => join(directory.path, name);
      const env = { KEYPROV_TPM: `libtpms:${at('tpm')}`, KEYPROV_STORE: at('store') };
      const options = { env, uid: ORDINARY_USER.uid };
      const denied = { status: 'problem', detail: expect.stringContaining('cannot be accessed by this user') };
      const { of } = await doctor(options);
      const named = await doctor({ uid: ORDINARY_USER.uid }, ['--store', at('store')]);
      expect(named.of('key store')).toMatchObject(denied);
      for (const name of ['KEYPROV_TPM', 'key store']) expect(of(name)).toMatchObject(denied);
      const library = await doctor({ ...options, env: { KEYPROV_LIBTPMS: at('library') } });
      expect(library.of('KEYPROV_LIBTPMS')).toMatchObject(denied);
      expect(library.of('libtpms')).toMatchObject({ status: 'problem', detail: expect.stringContaining('EACCES') });
      for (const [args, code] of [
        [['status'], 7],
        [['sign', '--in', '/etc/hostname'], 7],
        [['tpm'], 4],
      ] as const) {
        const { status, stderr } = keyprov(args, options);
        expect({ status, stderr }).toEqual({
          status: code,
          stderr: expect.stringContaining('cannot be accessed by this user'),
        });
      }
    },
  );

  it.skipIf(missing)('looks at the TPM of --tpm, and its last command makes a key there', () => {
    using directory = temporaryDirectory();
    const [cwd, env] = [directory.path, { KEYPROV_TPM: 'device:/nowhere' }];
    const { status, json } = keyprovJson(['doctor', '--tpm', 'libtpms:new'], { cwd, env });
    expect({ status, json }).toMatchObject({
      status: 0,
      json: { tpms: expect.arrayContaining(['libtpms:new']), next: expect.stringContaining(' --tpm libtpms:new') },
    });
    const words = String(Object(json).next).split(' ').slice(1);
    expect(keyprovJson(words, { cwd, env })).toMatchObject({ status: 0, json: { assurance: 'virtual' } });
    expect(readdirSync(cwd).sort()).toEqual(['key', 'new']);
    const { status: unusable, stdout: shown } = keyprov(['doctor', '--tpm', 'device:/none'], { cwd, env });
    expect(unusable).toBe(1);
    expect(shown).toContain('\nthe TPM of --tpm cannot be used; TPMs that can be used with --tpm: libtpms');
    expect(keyprovJson(['doctor', '--tpm', 'none'], { cwd, env }).status).toBe(0);
    expect(shown).toMatch(/^problem {2}--tpm {11}\S/m);
    expect(shown).not.toContain('/nowhere');
    expect(keyprov(['doctor', '--tpm', 'libtmps'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('did you mean libtpms?'),
    });
  });

  it('refuses arguments that it does not know', () => {
    expect(keyprov(['doctor', '--all'])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/unknown option --all/),
    });
  });

  it('runs from a link, as npm installs it', () => {
    using directory = temporaryDirectory();
    const link = join(directory.path, 'keyprov');
    symlinkSync(join(process.cwd(), 'dist/src/cli/main.js'), link);
    const { stdout } = spawnSync(process.execPath, [link, '--version'], { encoding: 'utf8' });
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
