import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MADE_FORMATS } from '../../src/cli/commands/formats/made-formats.ts';
import { REQUEST_FORMATS } from '../../src/cli/commands/formats/request-formats.ts';
import { FORMATS } from '../../src/inspect/index.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';

const commands = commandLines();
const KAST: string = JSON.parse(readFileSync('test/vectors/kast.json', 'utf8')).composed.kastHex;

describe('keyprov inspect', () => {
  it('says what a file is, for people', async () => {
    using directory = temporaryDirectory();
    const path = join(directory.path, 'statement');
    writeFileSync(path, Buffer.from(KAST, 'hex'));
    const { status, stdout, stderr } = await commands.run(['inspect', path]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^Windows key attestation statement \(KAST\), \d+ bytes\n\nclaim: authority and subject\n/);
    expect(stdout).toContain('\n    nameAlg: TPM_ALG_SHA256\n');
  });

  it('says it for programs, of standard input', async () => {
    const { status, json } = await commands.onlyJson(['inspect', '-'], {
      input: Buffer.from(KAST, 'hex').toString('base64'),
    });
    expect(status).toBe(0);
    expect(json).toMatchObject({
      ...{ ok: true, format: 'kast', confidence: 'certain', encodings: ['base64'], problems: [], warnings: [] },
      fields: [{ name: 'claim', value: 'authority and subject' }, {}, {}, {}],
    });
  });

  it('shows a text of a file as it is, even if it is one that errors put in options', async () => {
    const input = JSON.stringify({ kty: 'EC', use: 'use the TPM at (allowDowngrade)', crv: 'Ed25519', x: 'AA' });
    const shown = '"use the TPM at (allowDowngrade)"';
    expect((await commands.run(['inspect', '-'], { input })).stdout).toContain(`use: ${shown}\n`);
    const { json } = await commands.onlyJson(['inspect', '-'], { input });
    expect(json).toMatchObject({ fields: expect.arrayContaining([{ name: 'use', value: shown }]) });
  });

  it('ends with 9 if it recognizes nothing or finds damage, and says so', async () => {
    const cut = await commands.run(['inspect', '-'], { input: '{"format": "keyprov-key", "id": "ngc-' });
    expect(cut.stdout).toMatch(/\nproblem: not JSON: Unterminated string/);
    const unknown = await commands.onlyJson(['inspect', '-'], { input: '246813' });
    expect(unknown.status).toBe(9);
    expect(unknown.json).toMatchObject({ ok: false, error: { code: 'not-read' }, format: 'unknown' });
    expect(JSON.stringify(unknown.json)).not.toContain('246813');
    const damaged = await commands.onlyJson(['inspect', '-'], { input: KAST.slice(0, -2) });
    expect(damaged).toMatchObject({ status: 9, json: { ok: false, format: 'kast', confidence: 'damaged' } });
  });

  it('accepts a hint, and lists the possible hints', async () => {
    const { status, stdout } = await commands.run(['inspect', '--formats']);
    expect(status).toBe(0);
    expect(stdout.split('\n').map((line) => line.split(' ')[0])).toEqual([...FORMATS.map(({ format }) => format), '']);
    const hinted = await commands.run(['inspect', '-', '--as', 'tpmt-public'], { input: '0001000b' });
    expect(hinted.status).toBe(9);
    expect(hinted.stdout).toMatch(
      /^TPMT_PUBLIC \(damaged\), 4 bytes in hex\nproblem: it cannot be read: TPMT_PUBLIC\./,
    );
  });

  it('takes the names with which request and attest make a format', async () => {
    const names = FORMATS.map(({ format }) => format);
    expect(Object.keys(MADE_FORMATS)).toEqual(Object.keys(REQUEST_FORMATS));
    for (const [name, [format, ...others]] of Object.entries(MADE_FORMATS)) {
      expect(names, name).toEqual(expect.arrayContaining([format, ...others]));
      const { json } = await commands.onlyJson(['inspect', '-', '--as', name], { input: '246813' });
      expect(json, name).toMatchObject({ error: { code: 'not-read' } });
    }
    const dn = 'B:0::CN=a';
    expect((await commands.run(['inspect', '-', '--as', 'key-credential-link'], { input: dn })).stdout).toContain(
      'DN-Binary',
    );
    const { stdout } = await commands.run(['inspect', '--formats']);
    expect(stdout).toMatch(/^certificate-request .* \(made as csr, csr-lamps, csr-wcce\)$/m);
    expect(stdout).toMatch(/^jwk {26}JSON Web Key$/m);
  });

  it('ends with 9 if a private key is expected to be a public key', async () => {
    for (const cipher of [{}, { cipher: 'aes-256-cbc', passphrase: 'x' }]) {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const input = String(privateKey.export({ type: 'pkcs8', format: 'pem', ...cipher }));
      expect((await commands.onlyJson(['inspect', '-', '--as', 'spki'], { input })).status).toBe(9);
    }
  });

  it('ends with 9 if the file is of another format than the expected one', async () => {
    const input = Buffer.from(KAST, 'hex').toString('base64');
    const { status, json } = await commands.onlyJson(['inspect', '-', '--as', 'certificate'], { input });
    const problem = 'it is not in the expected format, certificate';
    expect({ status, json }).toMatchObject({
      status: 9,
      json: { ok: false, format: 'kast', problems: [problem], error: { code: 'not-read' } },
    });
  });

  it('reads no more of a file than it needs to see that it is too large', async () => {
    const { status, stdout } = await commands.run(['inspect', '/dev/zero']);
    expect(status).toBe(9);
    expect(stdout).toContain('problem: 1048577 bytes; the limit is 1048576\n');
  });

  it.each([
    [[], 2, 'pass one file, or - for standard input'],
    [['a', 'b'], 2, 'pass one file, or - for standard input'],
    [['a', '--as', 'kest'], 2, "--as 'kest' is unknown here, did you mean 'kast'?\n"],
    [['a', '--as', 'csr-lamp'], 2, "did you mean 'csr-lamps'?\n"],
    [['a', '--as', 'zzz'], 2, "--as 'zzz' is unknown here; --formats lists the names\n"],
    [['--jsn', 'a'], 2, 'unknown option --jsn, did you mean --json?'],
    [['/nowhere/file'], 7, '/nowhere/file does not exist'],
  ])('refuses %j', async (args, exit, problem) => {
    const { status, stdout, stderr } = await commands.run(['inspect', ...args]);
    expect({ status, stdout }).toEqual({ status: exit, stdout: '' });
    expect(stderr).toContain(problem);
  });
});
