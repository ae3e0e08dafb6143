import '../cheap-scrypt.mjs';
import { spawnSync } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copy, toHex, utf8 } from '../../src/bytes.ts';
import { encodeSpkiPem } from '../../src/crypto/public-key.ts';
import { verifySignature } from '../../src/crypto/verify-signature.ts';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { openPinTryLog } from '../../src/keys/pin-try-log.ts';
import type { ChangePinOptions, ProvidedKey } from '../../src/keys/provider.ts';
import { openSoftwareKeyProvider } from '../../src/keys/software-provider.ts';
import type { KeyAlgorithm } from '../../src/policy/index.ts';
import { loopTurnsDuring } from '../event-loop.ts';
import { keyRecord } from '../key-record.ts';
import { asyncRefusal } from '../refusal.ts';

const provider = openSoftwareKeyProvider();
const pin = () => utf8('314159');
const data = utf8('what is signed');

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'keyprov-software-'));
});
afterAll(() => rm(directory, { recursive: true }));

const file = async (name: string, content: string | Uint8Array) => {
  await writeFile(join(directory, name), content);
  return join(directory, name);
};
const openssl = (...args: string[]) => spawnSync('openssl', args, { encoding: 'utf8' });

const KINDS: readonly (readonly [KeyAlgorithm, string, 'sha256' | 'sha384'])[] = [
  ['rsa-2048', 'Public-Key: (2048 bit)', 'sha256'],
  ['rsa-3072', 'Public-Key: (3072 bit)', 'sha384'],
  ['p-256', 'ASN1 OID: prime256v1', 'sha256'],
  ['p-384', 'ASN1 OID: secp384r1', 'sha384'],
];

describe.each(KINDS)('a software key %s with a PIN', (algorithm, described, hash) => {
  let key: ProvidedKey;
  beforeAll(async () => {
    key = await provider.create({ algorithm, pin: pin() });
  });

  it('is of that kind, for OpenSSL too', async () => {
    expect(key).toMatchObject({ backend: 'software', algorithm, hasPin: true });
    const pem = await file('public.pem', encodeSpkiPem(key.publicKey));
    const { stdout } = openssl('pkey', '-pubin', '-in', pem, '-noout', '-text');
    expect(stdout).toContain(described);
    if (key.publicKey.kty === 'RSA') expect(toHex(key.publicKey.e)).toBe('010001');
  });

  it('makes signatures that Node and OpenSSL verify', async () => {
    const secret = pin();
    const signature = await provider.sign(key, { data, hash, pin: secret });
    expect(toHex(secret)).toBe(toHex(pin()));
    const pem = encodeSpkiPem(key.publicKey);
    expect(verify(hash, data, createPublicKey(pem), signature)).toBe(true);
    const args = ['-verify', await file('public.pem', pem), '-signature', await file('signature', signature)];
    const { stdout, status } = openssl('dgst', `-${hash}`, ...args, await file('data', data));
    expect([stdout, status]).toEqual(['Verified OK\n', 0]);
  });

  it('signs in its other signature form', async () => {
    if (key.publicKey.kty === 'RSA') {
      const signature = await provider.sign(key, { data, hash, padding: 'pss', pin: pin() });
      expect(verifySignature(key.publicKey, hash, data, signature, 'pss')).toBe(true);
      expect(verifySignature(key.publicKey, hash, data, signature, 'pkcs1')).toBe(false);
    } else {
      const signature = await provider.sign(key, { data, hash, format: 'raw', pin: pin() });
      expect(verifySignature(key.publicKey, hash, data, signature, 'raw')).toBe(true);
    }
  });

  it('wants its PIN, and tells a wrong one', async () => {
    expect(await asyncRefusal(() => provider.sign(key, { data }))).toBe(
      'pin-required: the software key needs its PIN; pass it as pin',
    );
    expect(await asyncRefusal(() => provider.sign(key, { data, pin: utf8('314158') }))).toBe(
      "pin-wrong: the software key's PIN is wrong; try again with the right PIN",
    );
  });
});

describe('the PIN of a software key', () => {
  const newPin = utf8('271828');
  const signs = async (of: ProvidedKey, secret: Uint8Array) =>
    verifySignature(of.publicKey, 'sha256', data, await provider.sign(of, { data, pin: secret }), 'der');

  it('can be changed without changing the key', async () => {
    const key = await provider.create({ algorithm: 'p-256', pin: pin() });
    const secrets = [pin(), copy(newPin)] as const;
    const changed = await provider.changePin(key, { pin: secrets[0], newPin: secrets[1] });
    expect(secrets).toEqual([pin(), newPin]);
    expect({ ...changed, privateKey: '' }).toEqual({ ...key, privateKey: '' });
    expect(await signs(changed, newPin)).toBe(true);
    expect(await asyncRefusal(() => provider.sign(changed, { data, pin: pin() }))).toMatch(/^pin-wrong: /);
    expect(await signs(key, pin())).toBe(true);
  });

  it('is used with a fresh salt and nonce each time, even if it stays the same', async () => {
    const key = await provider.create({ algorithm: 'p-256', pin: pin() });
    const again = await provider.changePin(key, { pin: pin(), newPin: pin() });
    const octets = [key, again].map(({ privateKey }) => {
      const { stdout } = spawnSync('openssl', ['asn1parse'], { input: privateKey, encoding: 'utf8' });
      return [...stdout.matchAll(/\[HEX DUMP\]:([0-9A-F]+)/g)].map(([, hex]) => hex);
    });
    const [before, after] = octets;
    expect(before?.map((hex) => hex?.length)).toEqual([32, 24, expect.any(Number)]);
    expect(after?.filter((hex, i) => hex === before?.[i])).toEqual([]);
  });

  it('stays when the change is refused', async () => {
    const key = await provider.create({ algorithm: 'p-256', pin: pin() });
    const change = (of: ProvidedKey, options: ChangePinOptions) => asyncRefusal(() => provider.changePin(of, options));
    expect(await change(key, { pin: newPin, newPin })).toMatch(/^pin-wrong: /);
    expect(await change(key, { pin: pin(), newPin: new Uint8Array(0) })).toBe('foreign: RangeError: the PIN is empty');
    expect(await change({ ...key, hasPin: false }, { pin: pin(), newPin })).toMatch(
      /^key-invalid: the key was made without a PIN/,
    );
    expect(await change({ ...key, backend: 'tpm' }, { pin: pin(), newPin })).toMatch(/^key-invalid: a TPM key/);
    const signal = AbortSignal.abort(new Error('changed my mind'));
    expect(await change(key, { pin: pin(), newPin, signal })).toBe('foreign: Error: changed my mind');
    expect(await signs(key, pin())).toBe(true);
  });

  it('can be changed within an update of the store that holds its tries too', async () => {
    const store = await openKeyStore(join(directory, 'store'));
    const counting = openSoftwareKeyProvider({ pinTries: await openPinTryLog(store.directory) });
    const { pinDerivation: _, parent: __, ...record } = keyRecord('user', { backend: 'software' });
    await store.save({ ...record, ...(await counting.create({ algorithm: 'p-256', pin: pin() })) });
    const change = (from: Uint8Array) =>
      store.update('user', async (key) => ({ ...key, ...(await counting.changePin(key, { pin: from, newPin })) }));
    await expect(change(newPin)).rejects.toMatchObject({ code: 'pin-wrong', triesLeft: 4 });
    expect(await signs(await store.load('user'), pin())).toBe(true);
    await change(pin());
    expect(await signs(await store.load('user'), newPin)).toBe(true);
  });
});

describe('an encrypted key file', () => {
  it('is parsed by OpenSSL, but not decrypted', async () => {
    const { privateKey } = await provider.create({ algorithm: 'p-256', pin: pin() });
    const pem = await file('key.pem', privateKey);
    const parsed = openssl('asn1parse', '-in', pem);
    expect(parsed.status).toBe(0);
    for (const name of ['PBES2', '1.3.6.1.4.1.11591.4.11|scrypt', 'aes-256-gcm', 'INTEGER +:020000']) {
      expect(parsed.stdout).toMatch(new RegExp(name));
    }
    const read = openssl('pkey', '-in', pem, '-passin', 'pass:314159', '-noout');
    expect(read.status).not.toBe(0);
    expect(read.stderr).toContain('cipher parameter error');
  });
});

describe('making an RSA key', () => {
  it('leaves the event loop running', async () => {
    expect(await loopTurnsDuring(() => provider.create({ algorithm: 'rsa-3072', pin: pin() }))).toBeGreaterThan(20);
  });
});
