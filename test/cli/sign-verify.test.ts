import { createPublicKey, verify } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keyprov, keyprovJson, libtpmsMissing, temporaryDirectory } from './support/keyprov.ts';

const missing = await libtpmsMissing();
const CHALLENGE = '5a'.repeat(20);
const PIN = '731902';

describe.skipIf(missing)('a key in a TPM', () => {
  const directory = temporaryDirectory();
  const path = (name: string) => join(directory.path, name);
  const tpm = `libtpms:${path('tpm')}`;
  const data = path('data');
  const sign = ['sign', '--in', data, '--store'];

  beforeAll(() => {
    writeFileSync(data, 'what is signed');
    const args = ['create', '--tpm', tpm, '--challenge', CHALLENGE, '--out'];
    expect(keyprov([...args, path('rsa')]).status).toBe(0);
    expect(keyprov([...args, path('ec'), '--algorithm', 'p-256', '--pin-file', '-'], { input: PIN }).status).toBe(0);
  });
  afterAll(() => directory[Symbol.dispose]());

  const verifies = (key: string, signature: Buffer) =>
    verify('sha256', readFileSync(data), createPublicKey(readFileSync(join(path(key), 'public.pem'))), signature);

  it('signs, in base64 on standard output', () => {
    const { status, stdout } = keyprov([...sign, path('rsa'), '--tpm', tpm]);
    expect(status).toBe(0);
    expect(verifies('rsa', Buffer.from(stdout, 'base64'))).toBe(true);
  });

  it('signs with its PIN, into a file', () => {
    const args = [...sign, path('ec'), '--tpm', tpm, '--out', path('signature'), '--pin-file', '-'];
    const { status, json } = keyprovJson(args, { input: `${PIN}\n` });
    expect(status).toBe(0);
    const signature = readFileSync(path('signature'));
    expect(json).toEqual({
      ...{ ok: true, id: expect.stringMatching(/^ngc-[0-9a-f]{32}$/), backend: 'tpm', warnings: [] },
      ...{ signature: signature.toString('base64'), file: path('signature') },
    });
    expect(verifies('ec', signature)).toBe(true);
  });

  it('does not sign without its PIN or with another one, and counts only the latter', () => {
    const args = [...sign, path('ec'), '--tpm', tpm];
    expect(keyprovJson(args)).toMatchObject({ status: 5, json: { error: { code: 'pin-required' } } });
    const wrong = keyprovJson([...args, '--pin-file', '-'], { input: '731903' });
    expect(wrong).toMatchObject({ status: 5, json: { error: { code: 'pin-wrong', triesLeft: 2 } } });
    expect(keyprov([...args, '--pin-file', '-'], { input: PIN }).status).toBe(0);
  });

  it('is told to be in another TPM than the one at hand', () => {
    const other = keyprovJson([...sign, path('rsa'), '--tpm', 'libtpms']);
    expect(other).toMatchObject({ status: 6, json: { error: { code: 'tpm-identity-changed' } } });
    const none = keyprovJson([...sign, path('rsa'), '--tpm', 'none']);
    expect(none).toMatchObject({ status: 4, json: { error: { code: 'no-tpm' } } });
  });

  it('does not lead to an emulator that nobody has named', () => {
    const { status, json } = keyprovJson([...sign, path('rsa')]);
    expect(status).not.toBe(0);
    expect(json).toMatchObject({
      error: { message: expect.stringContaining(`was made in the TPM at ${tpm}`), remedy: `name the TPM at ${tpm}` },
    });
  });

  it('verifies, with the attestation key of the statement', () => {
    const { status, stdout } = keyprov(['verify', '--store', path('rsa'), '--challenge', CHALLENGE]);
    expect(status).toBe(0);
    expect(stdout).toContain('pass     challenge: extraData is what was asked for\n');
    expect(stdout).not.toContain('\nfail ');
    expect(stdout).toMatch(/nothing here proves yet that it is one of a TPM/);
  });

  it('does not verify over another challenge, nor for another key', () => {
    const other = keyprovJson(['verify', '--store', path('rsa'), '--challenge', '5b']);
    expect(other).toMatchObject({ status: 8, json: { ok: false, error: { code: 'not-verified' } } });
    const args = ['verify', '--challenge', CHALLENGE, '--in', join(path('ec'), 'attestation.json')];
    expect(keyprov(args).status).toBe(0);
    const { status, stdout } = keyprov([...args, '--store', path('rsa')]);
    expect(status).toBe(8);
    expect(stdout.match(/^fail .*$/gm)).toEqual(['fail     public-key: it is not the expected key']);
  });

  it('warns where it has no PIN and one is given', () => {
    const args = [...sign, path('rsa'), '--tpm', tpm, '--pin-file', '-'];
    expect(keyprovJson(args, { input: PIN })).toMatchObject({
      status: 0,
      json: { warnings: ['the key has no PIN: --pin-file is not used'] },
    });
  });

  it('is missed, and said to be damaged, where it is', () => {
    const [record = ''] = readdirSync(path('ec')).filter((name) => name.startsWith('key-'));
    const text = readFileSync(join(path('ec'), record), 'utf8');
    writeFileSync(join(path('ec'), record), text.slice(0, -20));
    expect(keyprovJson([...sign, path('ec')])).toMatchObject({ status: 7, json: { error: { code: 'store-invalid' } } });
    rmSync(join(path('ec'), record));
    expect(keyprovJson([...sign, path('ec')])).toMatchObject({ status: 7, json: { error: { code: 'key-not-found' } } });
    writeFileSync(join(path('rsa'), 'attestation.json'), '{"version": 1');
    const broken = keyprovJson(['verify', '--store', path('rsa'), '--challenge', CHALLENGE]);
    expect(broken).toMatchObject({ status: 7, json: { error: { code: 'statement-invalid' } } });
    const nothing = keyprovJson(['verify', '--store', path('nothing'), '--challenge', CHALLENGE]);
    expect(nothing).toMatchObject({ status: 7, json: { error: { code: 'key-not-found' } } });
  });

  it.each([
    [['sign'], ['--in is missing']],
    [['verify', '--challenge'], ['--challenge needs a value']],
  ])('wants all arguments of %j', (args, problems) => {
    expect(keyprovJson(args)).toMatchObject({ status: 2, json: { error: { code: 'usage', problems } } });
  });
});

describe('a software key', () => {
  it('is of no use without the secret beside it, which is not made anew', () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'out');
    expect(keyprov(['create', '--tpm', 'none', '--algorithm', 'p-256', '--out', out]).status).toBe(0);
    rmSync(join(out, 'wrapping.secret'));
    const { status, json } = keyprovJson(['sign', '--store', out, '--in', join(out, 'public.pem')]);
    expect(status).toBe(7);
    expect(json).toMatchObject({ error: { code: 'store-invalid' } });
    expect(() => readFileSync(join(out, 'wrapping.secret'))).toThrow('ENOENT');
  });
});
