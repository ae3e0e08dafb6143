import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeStatement } from '../../src/attestation/index.ts';
import { toBase64, toHex } from '../../src/bytes.ts';
import { digest } from '../../src/crypto/kdf.ts';
import { decodeSpkiPem } from '../../src/crypto/public-key.ts';
import { encodePublicBlob, parseKeyRegistration } from '../../src/formats/windows/key-registration.ts';
import { withStoreLock } from '../../src/storage/hold-lock.ts';
import { decode } from '../../src/tpm/codec/index.ts';
import { TPMS_ATTEST } from '../../src/tpm/structures/attest.ts';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { checkoutIsClosed, isRoot, ORDINARY_USER } from '../ordinary-user.ts';
import { missingPrograms } from '../programs.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';
import { environment, keyprovJson, MAIN, startKeyprov } from './support/keyprov.ts';
import { terminalsMissing } from './support/terminal.ts';

const commands = commandLines({ cheapScrypt: true });
const missing = await libtpmsMissing();
/** The contents of a store with one key and its exports; the key itself as `key`. */
const FILES = ['attestation.json', 'key', 'key.pem', 'public.pem', 'request.json'];
const PIN = 'x-S3cret-941027';

const text = (...path: string[]): string => readFileSync(join(...path), 'utf8');
const keyFile = (directory: string): string =>
  readdirSync(directory).find((name) => /^key-.*\.json$/.test(name)) ?? 'none';
const record = (directory: string): Record<string, unknown> => JSON.parse(text(directory, keyFile(directory))).record;
/** The lock of the store aside. */
const namesIn = (directory: string): string[] =>
  readdirSync(directory)
    .filter((name) => !name.startsWith('.'))
    .map((name) => name.replace(/^key-.*\.json$/, 'key'))
    .sort();
const mode = (...path: string[]): number => statSync(join(...path)).mode & 0o777;

function pinFile(directory: string, content = `${PIN}\n`): string {
  const path = join(directory, 'pin');
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

/** Every file below a directory, with its content. */
function contents(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
}

describe.skipIf(missing)('keyprov create with a TPM', () => {
  it('writes request, statement, key and record, for the owner only', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'a', 'b');
    const challenge = '00ff'.repeat(32);
    const { status, stdout, stderr } = await commands.run([
      ...['create', '--tpm', `libtpms:${directory.path}/tpm`, '--hardware', 'required', '--user', 'Alice@Example.com'],
      ...['--device-id', '6f5902ac-237f-424a-a1cd-8d2b6d2bbd01', '--challenge', challenge, '--out', out],
    ]);
    expect({ status, warnings: stderr.match(/warning/g) }).toEqual({ status: 0, warnings: null });
    expect(namesIn(out)).toEqual(FILES);
    expect([mode(directory.path, 'a'), mode(out)]).toEqual([0o700, 0o700]);
    expect(FILES.map((name) => mode(out, name === 'key' ? keyFile(out) : name))).toEqual([
      0o600, 0o600, 0o600, 0o600, 0o600,
    ]);

    const publicKey = decodeSpkiPem(text(out, 'public.pem'));
    const { publicKey: registered } = parseKeyRegistration(text(out, 'request.json'), 'attested');
    expect(registered).toEqual(publicKey);
    const keyId = digest('sha256', encodePublicBlob(publicKey));
    const { certInfo } = decodeStatement(JSON.parse(text(out, 'attestation.json')));
    expect(toHex(decode(TPMS_ATTEST, certInfo).extraData)).toBe(challenge);
    expect(text(out, 'key.pem')).toMatch(/^-----BEGIN TSS2 PRIVATE KEY-----\n/);
    expect(record(out)).toMatchObject({
      ...{ user: 'Alice@Example.com', backend: 'tpm', assurance: 'virtual' },
      deviceId: '6f5902ac-237f-424a-a1cd-8d2b6d2bbd01',
      policy: { hardware: 'required', attestation: 'preferred' },
      tpm: { address: `libtpms:${directory.path}/tpm`, manufacturer: 'IBM', virtual: true },
      ...{ exports: ['key.pem'], privateKey: text(out, 'key.pem') },
    });
    expect(JSON.parse(text(out, keyFile(out)))).toMatchObject({ format: 'keyprov-key', version: 2 });
    expect(stdout).toContain('key          rsa-2048 in a virtual TPM, without a PIN\n');
    expect(stdout).toContain(`Key ID       ${toBase64(keyId)}\n`);
    expect(stdout).toContain('request      profile attested, contains the attestation\n');
  });

  it('says why a strict request contains no attestation', async () => {
    using directory = temporaryDirectory();
    const args = ['create', '--tpm', 'libtpms', '--profile', 'strict', '--out', join(directory.path, 'out')];
    expect(await commands.onlyJson(args)).toMatchObject({
      status: 0,
      json: {
        attestation: { status: 'made' },
        request: { profile: 'strict', carriesAttestation: false, reason: expect.stringContaining('strict') },
      },
    });
  });

  it('keeps the key in the store, and its request nowhere, if no directory is given', async () => {
    using directory = temporaryDirectory();
    const store = join(directory.path, 'store');
    const args = ['create', '--tpm', `libtpms:${directory.path}/tpm`, '--algorithm', 'p-256', '--store', store];
    const made = await commands.onlyJson(args);
    expect(made).toMatchObject({
      status: 0,
      json: { store, registered: null, notKept: ['attestation', 'request'] },
    });
    expect(made.json).not.toHaveProperty('files');
    const { status, stdout, stderr } = await commands.run(args);
    expect([status, stderr.includes('challenge:')]).toEqual([0, false]);
    expect(stdout).toContain('not kept     attestation and request; --out keeps');
    expect(await commands.onlyJson([...args, '--challenge', 'aa', '--profile', 'attested'])).toMatchObject({
      status: 2,
      json: {
        error: { problems: ['--challenge works only with --out', '--profile works only with --out'] },
      },
    });
    expect(namesIn(store)).toEqual(['key', 'key']);
    expect(await commands.onlyJson(['status', '--store', store])).toMatchObject({
      status: 0,
      json: { keys: [{}, {}] },
    });
    const advice =
      `select one with --key, or --user and --device-id; keyprov status --store ${store} shows the keys; keyprov remove --store ${store} --key ID removes one ` +
      'that is not registered';
    const sign = ['sign', '--store', store, '--in', 'package.json'];
    expect(await commands.onlyJson(sign)).toMatchObject({
      status: 7,
      json: { error: { code: 'key-ambiguous', remedy: advice } },
    });
    expect((await commands.run(sign)).stderr.replaceAll(/\s+/g, ' ')).toMatch(new RegExp(`^[^;]*; ${advice} $`));
  });

  it('keeps the policy of the environment, and hears of a variable that is misspelled', async () => {
    using directory = temporaryDirectory();
    const args = ['create', '--tpm', 'none', '--out', join(directory.path, 'out')];
    const env = { KEYPROV_POLICY_HARDWARE: 'required' };
    expect(await commands.onlyJson(args, { env })).toMatchObject({
      status: 3,
      json: { error: { code: 'hardware-required' } },
    });
    expect((await commands.run(args, { env: { KEYPROV_POLICY_HARDWEAR: 'required' } })).status).toBe(2);
    const pin = [...args, '--pin-file', pinFile(directory.path, '246813')];
    expect(await commands.onlyJson(pin, { env: { KEYPROV_POLICY_PIN_MIN_LENGTH: '8' } })).toMatchObject({
      status: 5,
      json: { error: { code: 'pin-refused' } },
    });
    expect(existsSync(join(directory.path, 'out'))).toBe(false);
    expect((await commands.run(args)).status).toBe(0);
    const sign = ['sign', '--store', join(directory.path, 'out'), '--in', 'package.json'];
    expect(await commands.onlyJson(sign, { env })).toMatchObject({
      status: 3,
      json: { error: { code: 'hardware-required' } },
    });
    expect(await commands.onlyJson(sign)).toMatchObject({ status: 0 });
  });

  it('prints one object with --json, with the contents of the record and the paths of the files', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'out');
    const args = ['create', '--tpm', `libtpms:${directory.path}/tpm`, '--algorithm', 'p-256', '--out', out];
    const { status, json } = await commands.onlyJson(args);
    expect(status).toBe(0);
    const names = ['request.json', 'attestation.json', 'key.pem', 'public.pem'];
    const { id, attempts, created } = record(out);
    expect(json).toMatchObject({
      ...{ ok: true, id, attempts, created, user: null, deviceId: null, algorithm: 'p-256', store: out, warnings: [] },
      attestation: { status: 'made' },
      request: { profile: 'attested', carriesAttestation: true },
      files: Object.fromEntries(names.map((name) => [name, join(out, name)])),
    });
    expect(parseKeyRegistration(text(out, 'request.json'), 'attested')).toMatchObject({ profile: 'attested' });
  });

  it('prints its random challenge, and the fate of a TPM in memory', async () => {
    using directory = temporaryDirectory();
    const args = ['create', '--tpm', 'libtpms', '--algorithm', 'p-384', '--out', join(directory.path, 'out')];
    const { status, stderr } = await commands.run(args);
    expect(status).toBe(0);
    const [, hex = ''] = /challenge: random, because --challenge is missing: ([0-9a-f]{64})\n/.exec(stderr) ?? [];
    const statement = decodeStatement(JSON.parse(text(directory.path, 'out', 'attestation.json')));
    expect(toHex(decode(TPMS_ATTEST, statement.certInfo).extraData)).toBe(hex);
    expect(stderr).toContain('warning: the key can no longer be used: its TPM was only in memory');
    expect(stderr).not.toContain('next:');
    expect(stderr).not.toContain('\x1b');
  });

  it('does not print a challenge without a key', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'out');
    const args = ['create', '--tpm', 'none', '--hardware', 'required', '--out', out];
    const { status, stderr } = await commands.run(args);
    expect(status).not.toBe(0);
    expect(stderr).toContain('policy requires a TPM');
    expect(stderr).not.toContain('challenge: random');
  });

  it('uses the address in KEYPROV_TPM unless --tpm is given', async () => {
    using directory = temporaryDirectory();
    const env = { KEYPROV_TPM: `libtpms:${directory.path}/tpm` };
    const made = (...args: string[]) =>
      commands.onlyJson(['create', '--algorithm', 'p-256', '--out', join(directory.path, args.join('')), ...args], {
        env,
      });
    expect((await made()).json).toMatchObject({ backend: 'tpm', tpm: { address: env.KEYPROV_TPM } });
    // Nothing failed: software was asked for by name.
    expect((await made('--tpm', 'none')).json).toMatchObject({ backend: 'software', fellBack: false, warnings: [] });
    expect((await made('--tpm', 'libtpms')).json).toMatchObject({
      backend: 'tpm',
      tpm: { address: 'libtpms::memory:' },
    });
  });

  it('follows the policy file, and warns if an option overrides it', async () => {
    using directory = temporaryDirectory();
    const policy = join(directory.path, 'policy.json');
    writeFileSync(policy, '{"hardware": "required", "allowedAlgorithms": ["p-384", "p-256"], "attestation": "none"}');
    const args = ['create', '--tpm', 'libtpms', '--policy', policy, '--profile', 'attested'];
    const one = await commands.onlyJson([...args, '--attestation', 'preferred', '--out', join(directory.path, 'one')]);
    expect(one).toMatchObject({
      status: 0,
      json: {
        algorithm: 'p-384',
        policy: { hardware: 'required', allowedAlgorithms: ['p-384', 'p-256'], attestation: 'preferred' },
        warnings: [`--attestation preferred overrides attestation 'none' from ${policy}`, expect.any(String)],
      },
    });
  });

  it('leaves out the statement if policy forbids it, and says why', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'out');
    const { status, stdout } = await commands.run([
      'create',
      '--tpm',
      'libtpms',
      '--attestation',
      'none',
      '--out',
      out,
    ]);
    expect(status).toBe(0);
    expect(namesIn(out)).toEqual(FILES.filter((name) => name !== 'attestation.json'));
    expect(stdout).toContain('attestation  none: policy turns attestation off\n');
    expect(stdout).toContain('request      profile strict, contains no attestation: policy turns attestation off\n');
  });

  it('makes the key in software if policy allows it and the TPM is unsuitable, and says so', async () => {
    using directory = temporaryDirectory();
    const args = ['create', '--tpm', 'libtpms', '--virtual-tpm', 'refuse', '--out', join(directory.path, 'out')];
    const { status, json } = await commands.onlyJson(args);
    expect(status).toBe(0);
    expect(json).toMatchObject({
      backend: 'software',
      fellBack: true,
      attempts: [
        { backend: 'tpm', outcome: 'failed', code: 'virtual-tpm-refused' },
        { backend: 'software', outcome: 'used' },
      ],
      warnings: [expect.stringMatching(/^the key was made in software: policy refuses virtual TPMs: /)],
    });
    expect(json).not.toHaveProperty('tpm');
  });

  it('refuses a virtual TPM on request, and leaves nothing', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'new', 'out');
    const args = ['create', '--tpm', 'libtpms', '--hardware', 'required', '--virtual-tpm', 'refuse', '--out', out];
    const { status, json } = await commands.onlyJson(args);
    expect(status).toBe(3);
    expect(json).toMatchObject({
      ok: false,
      error: {
        code: 'hardware-required',
        remedy: expect.any(String),
        attempts: [
          { backend: 'tpm', outcome: 'failed', code: 'virtual-tpm-refused' },
          { backend: 'software', outcome: 'passed-over', code: 'hardware-required' },
        ],
      },
    });
    expect(readdirSync(directory.path)).toEqual([]);
  });

  it('refuses to touch the files of an earlier run, unless forced, and then replaces all of them', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'out');
    const args = ['create', '--tpm', `libtpms:${directory.path}/tpm`, '--algorithm', 'p-256', '--out', out];
    expect((await commands.run(args)).status).toBe(0);
    const first = contents(out);
    const again = await commands.onlyJson(args);
    expect(again).toMatchObject({ status: 7, json: { error: { code: 'key-exists' } } });
    expect(contents(out)).toEqual(first);
    expect((await commands.run([...args, '--force', '--hardware', 'required', '--virtual-tpm', 'refuse'])).status).toBe(
      3,
    );
    expect(contents(out)).toEqual(first);
    const replaced = Object(record(out)).id;
    expect(await commands.run([...args, '--force'])).toMatchObject({
      status: 0,
      stderr: expect.stringContaining(`replacing the key ${replaced}`),
    });
    expect(namesIn(out)).toEqual(FILES);
    const kept = contents(out).filter((content) => content !== '' && first.includes(content));
    expect(kept).toEqual([]);
    for (const name of ['key.pem', 'public.pem']) rmSync(join(out, name)); // moved by the user
    expect((await commands.run([...args, '--force'])).status).toBe(0);
    expect(namesIn(out)).toEqual(FILES);
  });

  it('does not go back to software for the same user without a word', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'out');
    const args = ['create', '--out', out, '--force', '--user'];
    expect((await commands.run([...args, 'alice@example.com', '--tpm', 'libtpms'])).status).toBe(0);
    const before = contents(out);
    const refused = await commands.onlyJson([...args, 'Alice@example.com', '--tpm', 'none']);
    expect(refused).toMatchObject({ status: 3, json: { error: { code: 'downgrade-refused' } } });
    expect(contents(out)).toEqual(before);
    const allowed = await commands.onlyJson([...args, 'alice@example.com', '--tpm', 'none', '--allow-downgrade']);
    expect(allowed).toMatchObject({ status: 0, json: { backend: 'software' } });
    expect(namesIn(out)).toEqual(['key', 'key.pem', 'public.pem', 'request.json', 'wrapping.secret']);
  });

  it("does not go back to software after another user's key has replaced the key", async () => {
    using directory = temporaryDirectory();
    const args = ['create', '--out', join(directory.path, 'out'), '--force', '--user'];
    expect((await commands.run([...args, 'alice@example.com', '--tpm', 'libtpms'])).status).toBe(0);
    expect((await commands.run([...args, 'bob@example.com', '--tpm', 'none'])).status).toBe(0);
    const refused = await commands.onlyJson([...args, 'alice@example.com', '--tpm', 'none']);
    expect(refused).toMatchObject({ status: 3, json: { error: { code: 'downgrade-refused' } } });
  });

  it('does not go back to software after the key was removed from its directory', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'out');
    const args = ['create', '--out', out, '--user', 'alice@example.com', '--tpm'];
    expect((await commands.run([...args, 'libtpms'])).status).toBe(0);
    expect((await commands.run(['remove', '--store', out, '--yes'])).status).toBe(0);
    const refused = await commands.onlyJson([...args, 'none']);
    expect(refused).toMatchObject({ status: 3, json: { error: { code: 'downgrade-refused' } } });
    expect((await commands.run([...args, 'none', '--allow-downgrade'])).status).toBe(0);
    expect((await commands.run([...args, 'none', '--force'])).status).toBe(0);
  });

  it.each([
    ['a newline at its end', `${PIN}\n`],
    ['an end of line as Windows has it', `${PIN}\r\n`],
    ['no end of line', PIN],
  ])('reads the PIN from a file with %s', async (_, content) => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'out');
    const tpm = `libtpms:${directory.path}/tpm`;
    const pin = pinFile(directory.path, content);
    const made = await commands.run(['create', '--tpm', tpm, '--algorithm', 'p-256', '--pin-file', pin, '--out', out]);
    expect(made.status).toBe(0);
    expect(record(out)).toMatchObject({
      hasPin: true,
      pinDerivation: { kdf: 'scrypt', salt: expect.stringMatching(/^[0-9a-f]{32}$/), cost: 16384 },
    });
    const signed = await commands.run(['sign', '--store', out, '--in', pin, '--tpm', tpm, '--pin-file', '-'], {
      input: PIN,
    });
    expect(signed.status).toBe(0);
    const told = made.stdout + made.stderr + signed.stdout + signed.stderr;
    for (const content of [told, ...contents(out), ...contents(join(directory.path, 'tpm'))]) {
      expect(content).not.toContain('941027');
    }
  });

  it('warns of a PIN file that others can read', async () => {
    using directory = temporaryDirectory();
    const pin = pinFile(directory.path);
    chmodSync(pin, 0o640);
    const args = ['create', '--tpm', 'libtpms', '--algorithm', 'p-256', '--pin-file', pin];
    const { json } = await commands.onlyJson([...args, '--out', join(directory.path, 'out')]);
    expect(json).toMatchObject({ warnings: [`others can read the PIN file ${pin}; chmod 600 it`, expect.any(String)] });
  });

  it('ends with 130 after Ctrl-C, and leaves nothing', async () => {
    using directory = temporaryDirectory();
    const tpm = join(directory.path, 'tpm');
    const args = ['create', '--tpm', `libtpms:${tpm}`, '--algorithm', 'rsa-3072', '--out', `${directory.path}/a/b`];
    const { child, ended } = startKeyprov(args);
    child.stderr.on('data', (text: string) => {
      if (text.includes('key: making')) child.kill('SIGINT');
    });
    const { status, stdout, stderr } = await ended;
    expect({ status, stdout }).toEqual({ status: 130, stdout: '' });
    expect(stderr).toMatch(/keyprov: ended by SIGINT\n$/);
    expect(readdirSync(directory.path)).toEqual(['tpm']);
    expect((await commands.run(['create', '--tpm', `libtpms:${tpm}`, '--out', `${directory.path}/c`])).status).toBe(0);
  });

  it('names the code of the signal with --json', async () => {
    using directory = temporaryDirectory();
    const tpm = join(directory.path, 'tpm');
    const args = ['create', '--tpm', `libtpms:${tpm}`, '--algorithm', 'rsa-3072', '--out', `${directory.path}/out`];
    const { child, ended } = startKeyprov([...args, '--json']);
    // The state exists once the TPM starts; making the key takes some time after that.
    while (!existsSync(join(tpm, 'tpm2.state'))) await new Promise((resolve) => setTimeout(resolve, 2));
    child.kill('SIGTERM');
    const { status, stdout, stderr } = await ended;
    expect({ status, stderr }).toEqual({ status: 143, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({
      ok: false,
      error: { code: 'interrupted', message: 'ended by SIGTERM' },
      warnings: [],
    });
    expect(readdirSync(directory.path)).toEqual(['tpm']);
  });
});

describe('keyprov change-pin', () => {
  it('checks a given new PIN before it tries the current one', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'out');
    const made = await commands.run(['create', '--tpm', 'none', '--out', out, '--pin-file', pinFile(directory.path)]);
    expect(made.status).toBe(0);
    const newFile = join(directory.path, 'new');
    const change = ['change-pin', '--store', out, '--new-pin-file', newFile];
    const wrong = { input: 'not-the-PIN\n' };
    expect(await commands.onlyJson(change, wrong)).toMatchObject({ status: 7, json: { error: { code: 'store-io' } } });
    for (const text of ['12\n', '926535\n\n']) {
      writeFileSync(newFile, text, { mode: 0o600 });
      expect(await commands.onlyJson(change, wrong)).toMatchObject({
        status: 5,
        json: { error: { code: 'pin-refused' } },
      });
    }
    writeFileSync(newFile, '926535\n', { mode: 0o600 });
    expect(await commands.onlyJson(change, wrong)).toMatchObject({
      status: 5,
      json: { error: { code: 'pin-wrong', triesLeft: 4 } },
    });
    for (const input of ['not-the-PIN\n', 'not-the-PIN\n12\n']) {
      expect(await commands.onlyJson(['change-pin', '--store', out], { input })).toMatchObject({
        status: 5,
        json: { error: { code: input.endsWith('12\n') ? 'pin-refused' : 'pin-required' } },
      });
    }
    expect((await commands.onlyJson(change, { input: `${PIN}\n` })).status).toBe(0);
  });
});

describe('keyprov status', () => {
  it('shows the wrong PINs of a software key, and that it is locked', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'out');
    const made = await commands.run(['create', '--tpm', 'none', '--out', out, '--pin-file', pinFile(directory.path)]);
    expect(made.status).toBe(0);
    const status = ['status', '--store', out];
    expect((await commands.run(status)).stdout).not.toContain('PIN tries');
    expect(readdirSync(join(out, 'pin-attempts'))).toEqual([]);
    const sign = ['sign', '--store', out, '--in', 'package.json'];
    for (let wrong = 1; wrong <= 5; wrong++) {
      expect((await commands.run(sign, { input: 'not-the-PIN\n' })).status).toBe(5);
      const { status: exit, stdout } = await commands.run(status);
      expect([exit, stdout]).toEqual([
        wrong < 5 ? 0 : 5,
        expect.stringMatching(`\nPIN tries    ${wrong} wrong in a row${wrong < 5 ? '' : ', next try in \\d+ s'}\n`),
      ]);
    }
    expect(await commands.onlyJson(status)).toMatchObject({
      status: 5,
      json: {
        error: { code: 'key-locked', message: expect.stringMatching(/ is locked after 5 wrong PINs; wait \d+ s$/) },
        keys: [{ pin: { tries: { failures: 5, triesLeft: 0 } } }],
      },
    });
    writeFileSync(join(out, 'pin-attempts', readdirSync(join(out, 'pin-attempts'))[0] ?? '', 'count.json'), '{}');
    expect(await commands.onlyJson(status)).toMatchObject({
      status: 7,
      json: { error: { code: 'store-invalid' }, keys: [{ pin: { tries: { code: 'store-invalid' } } }] },
    });
  });

  it('reads the wrong PINs without a lock, and writes nothing', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'out');
    const made = await commands.run(['create', '--tpm', 'none', '--out', out, '--pin-file', pinFile(directory.path)]);
    expect(made.status).toBe(0);
    const sign = ['sign', '--store', out, '--in', 'package.json'];
    expect((await commands.run(sign, { input: 'not-the-PIN\n' })).status).toBe(5);
    const counts = join(out, 'pin-attempts');
    const folder = join(counts, readdirSync(counts)[0] ?? '');
    const status = ['status', '--store', out];
    const begun = performance.now();
    const busy = await withStoreLock(folder, () => commands.run(status));
    expect([busy.status, busy.stdout]).toEqual([0, expect.stringContaining('\nPIN tries    1 wrong in a row\n')]);
    expect(performance.now() - begun).toBeLessThan(30_000); // the wait for the lock takes a minute
    rmSync(join(folder, '.keyprov.lock'));
    const before = contents(counts);
    expect((await commands.run(status)).status).toBe(0);
    expect(contents(counts)).toEqual(before);
    rmSync(counts, { recursive: true });
    writeFileSync(counts, '');
    const { status: exit, stdout } = await commands.run(status);
    expect([exit, stdout]).toEqual([
      0,
      expect.stringMatching(/\nPIN tries {4}not known: .*pin-attempts is not a directory/),
    ]);
  });
});

describe('keyprov create in software', () => {
  it('says that the key has no PIN although there are PIN rules, and that its user already has a key', async () => {
    using directory = temporaryDirectory();
    const args = ['create', '--tpm', 'none', '--user', 'ada', '--store', join(directory.path, 'store')];
    const env = { KEYPROV_POLICY_PIN_MIN_LENGTH: '6' };
    const first = await commands.run(args, { env });
    expect(first.stdout).toContain(' in software, without a PIN\n');
    expect(first.stderr).toContain('warning: the policy has rules for PINs, but the key has no PIN');
    expect(first.stderr).not.toContain('already');
    const { json } = await commands.onlyJson([...args, '--pin-file', pinFile(directory.path)], { env });
    expect(json).toMatchObject({
      hasPin: true,
      warnings: [expect.stringContaining('ada already has a key in the store')],
    });
  });

  it('keeps a key without PIN encrypted with a secret beside it', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'out');
    const { status, json } = await commands.onlyJson(['create', '--hardware', 'discouraged', '--out', out]);
    expect(status).toBe(0);
    expect(json).toMatchObject({
      backend: 'software',
      assurance: 'software',
      fellBack: false,
      attempts: [
        { backend: 'tpm', outcome: 'passed-over', reason: 'policy discourages hardware' },
        { backend: 'software', outcome: 'used' },
      ],
      attestation: { status: 'none', reason: 'a software key cannot be attested' },
      warnings: [],
    });
    expect(namesIn(out)).toEqual(['key', 'key.pem', 'public.pem', 'request.json', 'wrapping.secret']);
    expect([mode(out, 'wrapping.secret'), statSync(join(out, 'wrapping.secret')).size]).toEqual([0o600, 32]);
    expect(text(out, 'key.pem')).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/);
    expect((await commands.run(['sign', '--store', out, '--in', join(out, 'public.pem')])).status).toBe(0);
  });

  it.skipIf(missingPrograms('script') ?? terminalsMissing()).each([
    ['with a spinner and colors on a terminal', {}, true, true],
    ['in plain lines with NO_COLOR', { NO_COLOR: '1' }, false, false],
    ['in plain lines on a dumb terminal', { TERM: 'dumb' }, false, false],
    ['in lines with colors in continuous integration', { CI: 'true' }, false, true],
  ])('shows its steps %s', (_, more, live, colored) => {
    using directory = temporaryDirectory();
    const command = `'${process.execPath}' '${MAIN}' create --tpm none --algorithm p-256 --out '${directory.path}/out'`;
    const { status, stdout } = spawnSync('script', ['-qec', command, '/dev/null'], {
      encoding: 'utf8',
      // With a warning, whose first word has a color: the key has no PIN.
      env: environment({ TERM: 'xterm', KEYPROV_POLICY_PIN_MIN_LENGTH: '6', ...more }),
    });
    expect(status).toBe(0);
    const colorless = [31, 32, 33, 39].reduce((text, color) => text.replaceAll(`\x1b[${color}m`, ''), stdout);
    expect(colorless.includes('\x1b[2K✓ key          p-256 in software (')).toBe(live);
    expect(colorless.includes('\r\nkey: p-256 in software (')).toBe(!live);
    expect(colorless.includes('\x1b')).toBe(live);
    expect(colorless !== stdout).toBe(colored);
  });

  it('encrypts a key with a PIN by that, and says when it takes over from a TPM', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'out');
    const args = [
      'create',
      '--tpm',
      'device:/dev/keyprov-no-such-tpm',
      '--algorithm',
      'p-256',
      '--pin-file',
      '-',
      '--out',
      out,
    ];
    const { status, stderr } = await commands.run(args, { input: PIN });
    expect(status).toBe(0);
    expect(stderr).toMatch(
      /warning: the key was made in software: device:\/dev\/keyprov-no-such-tpm: there is no such device/,
    );
    expect(parseKeyRegistration(text(out, 'request.json'), 'attested')).not.toHaveProperty('attestation');
    expect(readdirSync(out)).not.toContain('wrapping.secret');
    for (const content of contents(out)) expect(content).not.toContain('941027');
  });

  it('makes no key in software if the TPM is only temporarily unusable, unless the user asks for it', async () => {
    using directory = temporaryDirectory();
    const args = ['create', '--tpm', 'swtpm:unix:/nowhere', '--out', join(directory.path, 'out')];
    const { status, json } = await commands.onlyJson(args);
    expect({ status, json }).toMatchObject({
      status: 4,
      json: {
        error: {
          code: 'tpm-unavailable',
          attempts: [{ code: 'transport-unreachable' }, { backend: 'software', outcome: 'passed-over' }],
        },
      },
    });
    expect((await commands.run(args)).stderr).toContain('or allow a software key (--fall-back any)');
    expect(await commands.onlyJson([...args, '--fall-back', 'any'])).toMatchObject({
      status: 0,
      json: { fellBack: true },
    });
  });

  it('removes the secret and the directories that it made when it fails', async () => {
    using directory = temporaryDirectory();
    mkdirSync(join(directory.path, 'out', 'other'), { recursive: true });
    const args = ['create', '--tpm', 'none', '--hardware', 'required', '--out'];
    for (const out of ['out', 'out/a/b']) {
      expect((await commands.run([...args, join(directory.path, out)])).status).toBe(3);
      expect(readdirSync(join(directory.path, 'out'))).toEqual(['other']);
    }
  });

  it.each([
    ['', 'There is no PIN in standard input.'],
    ['\n', 'There is no PIN in standard input.'],
    ['1'.repeat(1025), 'The text in standard input is longer than a PIN can be.'],
    ['1'.repeat(5000), 'The text in standard input is longer than a PIN can be.'],
  ])('refuses the PIN %j', async (input, problem) => {
    using directory = temporaryDirectory();
    const args = ['create', '--tpm', 'none', '--pin-file', '-', '--out', join(directory.path, 'out')];
    const { status, stderr } = await commands.run(args, { input });
    expect({ status, stderr }).toEqual({ status: 5, stderr: `keyprov: the PIN is refused: ${problem}\n` });
    expect(existsSync(join(directory.path, 'out'))).toBe(false);
  });

  it('refuses a directory in which others may write', async () => {
    using directory = temporaryDirectory();
    chmodSync(directory.path, 0o777);
    const { status, json } = await commands.onlyJson(['create', '--tpm', 'none', '--out', directory.path]);
    expect(status).toBe(7);
    expect(json).toMatchObject({
      error: {
        code: 'not-private',
        remedy: expect.stringMatching(/^choose another directory, or, if only keyprov uses this one, chmod go-w /),
      },
    });
  });

  it.skipIf(!isRoot || checkoutIsClosed())('tells an ordinary user which file it may not read or write', async () => {
    using directory = temporaryDirectory();
    const pin = pinFile(directory.path);
    chmodSync(directory.path, 0o755);
    const options = { uid: ORDINARY_USER.uid };
    const pinned = keyprovJson(['create', '--tpm', 'none', '--pin-file', pin, '--out', '/tmp/unused'], options);
    expect(pinned).toMatchObject({ status: 7, json: { error: { code: 'store-io' } } });
    const unwritable = keyprovJson(['create', '--tpm', 'none', '--out', join(directory.path, 'out')], options);
    expect(unwritable).toMatchObject({ status: 7, json: { error: { code: 'store-io' } } });
    expect(readdirSync(directory.path)).toEqual(['pin']);
  });

  it('reports the damaged record of an earlier version instead of guessing what its key was', async () => {
    using directory = temporaryDirectory();
    writeFileSync(join(directory.path, 'record.json'), '{"format": "keyprov-record"');
    const { status, json } = await commands.onlyJson(['create', '--tpm', 'none', '--force', '--out', directory.path]);
    expect(status).toBe(7);
    expect(json).toMatchObject({ error: { code: 'store-invalid' } });
    expect(readdirSync(directory.path)).toEqual(['record.json']);
  });
});
