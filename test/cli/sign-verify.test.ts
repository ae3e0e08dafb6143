import { createPublicKey, createVerify, verify } from 'node:crypto';
import { createReadStream, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';

const commands = commandLines({ cheapScrypt: true });
const missing = await libtpmsMissing();
const CHALLENGE = '5a'.repeat(20);
const PIN = '731902';

describe.skipIf(missing)('a key in a TPM', () => {
  const directory = temporaryDirectory();
  const path = (name: string) => join(directory.path, name);
  const tpm = `libtpms:${path('tpm')}`;
  const data = path('data');
  const sign = ['sign', '--in', data, '--store'];

  beforeAll(async () => {
    writeFileSync(data, 'what is signed');
    const args = ['create', '--tpm', tpm, '--challenge', CHALLENGE, '--out'];
    expect((await commands.run([...args, path('rsa')])).status).toBe(0);
    expect(
      (await commands.run([...args, path('ec'), '--algorithm', 'p-256', '--pin-file', '-'], { input: PIN })).status,
    ).toBe(0);
  });
  afterAll(() => directory[Symbol.dispose]());

  const verifies = (key: string, signature: Buffer) =>
    verify('sha256', readFileSync(data), createPublicKey(readFileSync(join(path(key), 'public.pem'))), signature);

  it('signs, in base64 on standard output', async () => {
    const { status, stdout } = await commands.run([...sign, path('rsa'), '--tpm', tpm]);
    expect(status).toBe(0);
    expect(verifies('rsa', Buffer.from(stdout, 'base64'))).toBe(true);
  });

  it('signs a file of more than 2 GiB, which nothing holds in one piece', async () => {
    const big = path('big');
    writeFileSync(big, '');
    truncateSync(big, 2_200_000_000);
    const soft = ['--tpm', 'none', '--algorithm', 'p-256', '--out', path('soft')];
    expect((await commands.run(['create', ...soft])).status).toBe(0);
    const { stdout } = await commands.run(['sign', '--in', big, '--store', path('rsa'), '--tpm', tpm]);
    const check = createVerify('sha256');
    for await (const piece of createReadStream(big, { highWaterMark: 2 ** 24 })) check.update(piece);
    const publicKey = createPublicKey(readFileSync(join(path('rsa'), 'public.pem')));
    expect(check.verify(publicKey, stdout, 'base64')).toBe(true);
    const bySoftware = await commands.onlyJson(['sign', '--in', big, '--store', path('soft')]);
    expect(bySoftware).toMatchObject({ status: 0, json: { backend: 'software' } });
  }, 120_000);

  it('does not replace an input by its signature, whatever the file is called', async () => {
    symlinkSync('data', path('link'));
    for (const out of [data, path('link'), join(directory.path, '.', 'rsa', '..', 'data')]) {
      expect(await commands.onlyJson([...sign, path('rsa'), '--tpm', tpm, '--out', out])).toMatchObject({
        ...{ status: 2, json: { error: { problems: ['--out would replace the file of --in: choose another file'] } } },
      });
    }
    writeFileSync(path('pin'), PIN);
    const pinFile = ['--pin-file', path('pin'), '--out', path('pin')];
    expect((await commands.run([...sign, path('ec'), '--tpm', tpm, ...pinFile])).stderr).toContain('of --pin-file');
    const csr = ['request', '--format', 'csr', '--store', path('ec'), '--tpm', tpm, ...pinFile];
    expect((await commands.run(csr)).stderr).toContain('of --pin-file');
    const roots = ['tpm', '--tpm', tpm, '--ek-roots', data, '--out', data];
    expect((await commands.run(roots)).stderr).toContain('of --ek-roots');
    expect([readFileSync(data, 'utf8'), readFileSync(path('pin'), 'utf8')]).toEqual(['what is signed', PIN]);
  });

  it('asks for no PIN if it cannot read the file', async () => {
    const args = ['sign', '--store', path('ec'), '--tpm', tpm, '--in', path('nothing')];
    expect(await commands.onlyJson(args)).toMatchObject({ json: { error: { code: 'store-io' } } });
  });

  it('signs with its PIN, into a file', async () => {
    const args = [...sign, path('ec'), '--tpm', tpm, '--out', path('signature'), '--pin-file', '-'];
    const { status, json } = await commands.onlyJson(args, { input: `${PIN}\n` });
    expect(status).toBe(0);
    const signature = readFileSync(path('signature'));
    expect(json).toEqual({
      ...{ ok: true, id: expect.stringMatching(/^ngc-[0-9a-f]{32}$/), backend: 'tpm', warnings: [] },
      ...{ signature: signature.toString('base64'), file: path('signature') },
    });
    expect(verifies('ec', signature)).toBe(true);
  });

  it('signs standard input, from which then no PIN can come, and verifies a statement from it', async () => {
    const input = readFileSync(data, 'utf8');
    const signIn = ['sign', '--in', '-', '--tpm', tpm, '--store'];
    const { status, stdout } = await commands.run([...signIn, path('rsa')], { input });
    expect([status, verifies('rsa', Buffer.from(stdout, 'base64'))]).toEqual([0, true]);
    expect(await commands.onlyJson([...signIn, path('ec')], { input })).toMatchObject({
      status: 2,
      json: { error: { problems: ['--pin-file is missing: standard input is the file to sign'] } },
    });
    expect(await commands.onlyJson([...signIn, path('ec'), '--pin-file', '-'], { input })).toMatchObject({
      status: 2,
      json: { error: { problems: ['--in and --pin-file cannot both be standard input'] } },
    });
    const statement = readFileSync(join(path('rsa'), 'attestation.json'), 'utf8');
    const verifyIn = ['verify', '--in', '-', '--challenge', CHALLENGE];
    expect((await commands.run(verifyIn, { input: statement })).status).toBe(0);
  });

  it('does not sign without its PIN or with another one, and counts only the latter', async () => {
    const args = [...sign, path('ec'), '--tpm', tpm];
    expect(await commands.onlyJson(args)).toMatchObject({ status: 5, json: { error: { code: 'pin-required' } } });
    const wrong = await commands.onlyJson([...args, '--pin-file', '-'], { input: '731903' });
    expect(wrong).toMatchObject({ status: 5, json: { error: { code: 'pin-wrong', triesLeft: 2 } } });
    expect((await commands.run([...args, '--pin-file', '-'], { input: PIN })).status).toBe(0);
  });

  it('is reported as being in another TPM', async () => {
    const other = await commands.onlyJson([...sign, path('rsa'), '--tpm', 'libtpms']);
    expect(other).toMatchObject({ status: 6, json: { error: { code: 'tpm-identity-changed' } } });
    const none = await commands.onlyJson([...sign, path('rsa'), '--tpm', 'none']);
    expect(none).toMatchObject({ status: 4, json: { error: { code: 'no-tpm' } } });
  });

  it('is lost with its TPM, and the message says what to do then', async () => {
    using other = temporaryDirectory();
    const [key, address] = [join(other.path, 'key'), `libtpms:${join(other.path, 'gone')}`];
    expect((await commands.run(['create', '--tpm', address, '--algorithm', 'p-256', '--out', key])).status).toBe(0);
    const use = ['sign', '--store', key, '--in', data, '--tpm'];
    rmSync(join(other.path, 'gone'), { recursive: true });
    const said = `; pass --tpm ${address} keyprov: (keyprov doctor .*; )?if the key's TPM is gone or was cleared, the key is lost: remove it with`;
    for (const tpm of [address, 'libtpms']) {
      expect((await commands.run([...use, tpm])).stderr.replaceAll(/\s+/g, ' ')).toMatch(new RegExp(said));
    }
    expect((await commands.run(['remove', '--store', key, '--yes'])).status).toBe(0);
  });

  it('does not open an emulator unasked', async () => {
    const { status, json } = await commands.onlyJson([...sign, path('rsa')]);
    expect(status).not.toBe(0);
    expect(json).toMatchObject({
      error: { message: expect.stringContaining(`was made in the TPM at ${tpm}`), remedy: `pass --tpm ${tpm}` },
    });
  });

  it('verifies, with the attestation key of the statement: the verdict first, the checks on demand', async () => {
    const args = ['verify', '--store', path('rsa'), '--challenge', CHALLENGE];
    const { status, stdout } = await commands.run(args);
    expect(status).toBe(0);
    const [, count] =
      /^verified: (\d+) of \1 checks passed; --all shows them\n\nkey +Name [0-9a-f]{68}\n/.exec(stdout) ?? [];
    expect(Number(count)).toBeGreaterThan(10);
    expect(stdout).not.toContain('pass ');
    expect(stdout).toMatch(/\nNot checked: whether the attestation key in the statement is in a TPM\. .*\n$/);
    const all = (await commands.run([...args, '--all'])).stdout;
    expect(all).toMatch(/^verified: .* checks passed\n/);
    expect(all).toContain('pass     challenge: extraData is the challenge\n');
    expect(all.match(/^pass /gm)).toHaveLength(Number(count));
  });

  it('does not verify with another challenge or for another key', async () => {
    const other = await commands.onlyJson(['verify', '--store', path('rsa'), '--challenge', '5b']);
    expect(other).toMatchObject({ status: 8, json: { ok: false, error: { code: 'not-verified' } } });
    const args = ['verify', '--challenge', CHALLENGE, '--in', join(path('ec'), 'attestation.json')];
    expect((await commands.run(args)).status).toBe(0);
    const { status, stdout } = await commands.run([...args, '--store', path('rsa')]);
    expect(status).toBe(8);
    expect(stdout).toMatch(/^NOT verified: \d+ of \d+ checks passed; --all shows them\nfail {5}public-key: /);
    expect(stdout.match(/^fail .*$/gm)).toEqual(['fail     public-key: it is not the expected key']);
    expect(stdout).not.toContain('Not checked:');
  });

  it('warns if a PIN is given for a key without one', async () => {
    const args = [...sign, path('rsa'), '--tpm', tpm, '--pin-file', '-'];
    expect(await commands.onlyJson(args, { input: PIN })).toMatchObject({
      status: 0,
      json: { warnings: ['the key has no PIN: --pin-file is not used'] },
    });
  });

  it('is reported as missing or damaged', async () => {
    const [record = ''] = readdirSync(path('ec')).filter((name) => name.startsWith('key-'));
    const text = readFileSync(join(path('ec'), record), 'utf8');
    writeFileSync(join(path('ec'), record), text.slice(0, -20));
    expect(await commands.onlyJson([...sign, path('ec')])).toMatchObject({
      status: 7,
      json: { error: { code: 'store-invalid' } },
    });
    rmSync(join(path('ec'), record));
    expect(await commands.onlyJson([...sign, path('ec')])).toMatchObject({
      status: 7,
      json: { error: { code: 'key-not-found' } },
    });
    writeFileSync(join(path('rsa'), 'attestation.json'), '{"version": 1');
    const broken = await commands.onlyJson(['verify', '--store', path('rsa'), '--challenge', CHALLENGE]);
    expect(broken).toMatchObject({ status: 7, json: { error: { code: 'statement-invalid' } } });
    const nothing = await commands.onlyJson(['verify', '--store', path('nothing'), '--challenge', CHALLENGE]);
    expect(nothing).toMatchObject({ status: 7, json: { error: { code: 'key-not-found' } } });
  });

  it.each([
    [['sign'], ['--in is missing']],
    [['verify', '--challenge'], ['--challenge needs a value']],
  ])('wants all arguments of %j', async (args, problems) => {
    expect(await commands.onlyJson(args)).toMatchObject({ status: 2, json: { error: { code: 'usage', problems } } });
  });
});

describe('a software key', () => {
  it('is useless without the secret next to it, which is not made again', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'out');
    expect((await commands.run(['create', '--tpm', 'none', '--algorithm', 'p-256', '--out', out])).status).toBe(0);
    rmSync(join(out, 'wrapping.secret'));
    const { status, json } = await commands.onlyJson(['sign', '--store', out, '--in', join(out, 'public.pem')]);
    expect(status).toBe(7);
    expect(json).toMatchObject({ error: { code: 'store-invalid' } });
    expect(() => readFileSync(join(out, 'wrapping.secret'))).toThrow('ENOENT');
  });
});
