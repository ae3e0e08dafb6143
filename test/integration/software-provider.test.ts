import { spawnSync } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex, utf8 } from '../../src/bytes.ts';
import { encodeSpkiPem } from '../../src/crypto/public-key.ts';
import { verifySignature } from '../../src/crypto/verify-signature.ts';
import type { ProvidedKey } from '../../src/keys/provider.ts';
import { openSoftwareKeyProvider } from '../../src/keys/software-provider.ts';
import type { KeyAlgorithm } from '../../src/policy/index.ts';
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

  it('signs in the other form that it can', async () => {
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
      'pin-required: the software key needs its PIN; give it',
    );
    expect(await asyncRefusal(() => provider.sign(key, { data, pin: utf8('314158') }))).toBe(
      'pin-wrong: the PIN of the software key is wrong; give the right one',
    );
  });
});

describe('an encrypted key file', () => {
  it('is parsed by OpenSSL as what it says it is, but not decrypted', async () => {
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
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await provider.create({ algorithm: 'rsa-3072', pin: pin() });
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(20);
  });
});
