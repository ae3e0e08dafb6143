import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/bytes.ts';
import { decodeKeyFile, encodeKeyFile, type KeyFile } from '../../src/keys/key-file.ts';
import { PYTHON, pythonLacks } from '../programs.ts';
import { LineChild } from './support/line-child.ts';

/** A TPM2B_PUBLIC and a TPM2B_PRIVATE that a TPM made, in a blob of Windows' form. */
const blob = fromHex(JSON.parse(readFileSync('test/vectors/pcp.json', 'utf8')).vectors[0].blobHex);
const publicArea = blob.slice(56, 56 + 312);
const privateArea = blob.slice(56 + 312, 56 + 312 + 224);

const FILES: readonly (readonly [string, KeyFile])[] = [
  ['a key under a persistent handle', { publicArea, privateArea, parent: 0x81000001, emptyAuth: true }],
  ['a key with a PIN', { publicArea, privateArea, parent: 0x81000001, emptyAuth: false }],
  ['a key under the owner hierarchy', { publicArea, privateArea, parent: 0x40000001, emptyAuth: true }],
];

describe('OpenSSL', () => {
  it.each(FILES)('parses the file of %s as the draft has it', async (_, file) => {
    const { stdout, status } = spawnSync('openssl', ['asn1parse', '-i'], {
      input: await encodeKeyFile(file),
      encoding: 'utf8',
    });
    expect(status).toBe(0);
    const values = stdout
      .trimEnd()
      .split('\n')
      .map((line) =>
        line
          .replace(/^ *\d+:d=(\d+) .*?l= *\d+ (?:prim|cons): +/, '$1 ')
          .replace(/ +:/, ':')
          .trimEnd(),
      );
    const parent = file.parent.toString(16).toUpperCase();
    expect(values).toEqual([
      '0 SEQUENCE',
      expect.stringMatching(/^1 OBJECT:(?:2\.23\.133\.10\.1\.3|Loadable Key)/),
      '1 cont [ 0 ]',
      `2 BOOLEAN:${file.emptyAuth ? 255 : 0}`,
      `1 INTEGER:${parent}`,
      `1 OCTET STRING      [HEX DUMP]:${toHex(publicArea).toUpperCase()}`,
      `1 OCTET STRING      [HEX DUMP]:${toHex(privateArea).toUpperCase()}`,
    ]);
  });
});

describe.skipIf(pythonLacks('tpm2_pytss.tsskey'))('tpm2-pytss', () => {
  let pytss: LineChild;
  beforeAll(() => {
    pytss = new LineChild(PYTHON, ['test/integration/children/tsskey.py']);
  });
  afterAll(() => pytss[Symbol.asyncDispose]());

  it.each(FILES)('reads the file of %s', async (_, file) => {
    const expected = { ...file, publicArea: toHex(publicArea), privateArea: toHex(privateArea) };
    expect(await pytss.ask([{ pem: await encodeKeyFile(file) }])).toEqual([expected]);
  });

  it.each(FILES)('writes a file of %s that we read', async (_, file) => {
    const request = { ...file, publicArea: toHex(publicArea), privateArea: toHex(privateArea) };
    const [answer] = (await pytss.ask([request])) as { pem: string }[];
    expect(await decodeKeyFile(answer?.pem ?? '')).toEqual(file);
  });
});
