import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/bytes.ts';
import { verifySignature } from '../../../src/crypto/verify-signature.ts';
import { openSoftwareKeyProvider } from '../../../src/keys/software-provider.ts';
import { asyncRefusal } from '../../refusal.ts';

const wrappingSecret = randomBytes(32);
const provider = openSoftwareKeyProvider({ wrappingSecret });
const data = utf8('to be signed');
const key = await provider.create({ algorithm: 'p-256' });

describe('the software provider', () => {
  it('describes itself and what it makes', async () => {
    expect(provider).toMatchObject({ backend: 'software', assurance: 'software' });
    for (const algorithm of ['rsa-2048', 'rsa-3072', 'p-256', 'p-384'] as const) {
      expect(await provider.supports(algorithm)).toBe(true);
    }
  });

  it('reveals only public and encrypted parts', () => {
    expect(Object.keys(key).sort()).toEqual(['algorithm', 'backend', 'hasPin', 'privateKey', 'publicKey']);
    expect(key).toMatchObject({ backend: 'software', algorithm: 'p-256', hasPin: false });
    expect(key.privateKey).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/);
    expect(Object.keys(provider).sort()).toEqual(['assurance', 'backend', 'changePin', 'create', 'sign', 'supports']);
  });

  it('signs with a key without a PIN, as DER and raw', async () => {
    for (const format of ['der', 'raw'] as const) {
      const signature = await provider.sign(key, { data, format });
      expect(signature.constructor).toBe(Uint8Array);
      expect(verifySignature(key.publicKey, 'sha256', data, signature, format)).toBe(true);
    }
    const byDefault = await provider.sign(key, { data });
    expect(verifySignature(key.publicKey, 'sha256', data, byDefault, 'der')).toBe(true);
  });

  it('leaves the wrapping secret as it was', async () => {
    const before = Buffer.from(wrappingSecret).toString('hex');
    await provider.sign(key, { data });
    expect(Buffer.from(wrappingSecret).toString('hex')).toBe(before);
  });

  it('refuses a key that another wrapping secret encrypted, and one of a TPM', async () => {
    const other = openSoftwareKeyProvider({ wrappingSecret: randomBytes(32) });
    expect(await asyncRefusal(() => other.sign(key, { data }))).toMatch(/^key-invalid: .*another wrapping secret/);
    expect(await asyncRefusal(() => openSoftwareKeyProvider().sign(key, { data }))).toMatch(
      /^pin-required: the software key needs the wrapping secret/,
    );
    expect(await asyncRefusal(() => provider.sign({ ...key, backend: 'tpm' }, { data }))).toMatch(
      /^key-invalid: a TPM/,
    );
  });

  it('refuses a private key that does not belong to the public key', async () => {
    const other = await provider.create({ algorithm: 'p-256' });
    const mixed = { ...key, publicKey: other.publicKey };
    expect(await asyncRefusal(() => provider.sign(mixed, { data }))).toMatch(/^key-invalid: .*does not belong/);
    const rsa = {
      ...key,
      publicKey: { kty: 'RSA', n: new Uint8Array(256).fill(0xc5), e: new Uint8Array([1, 0, 1]) },
    } as const;
    expect(await asyncRefusal(() => provider.sign(rsa, { data }))).toMatch(/^key-invalid: .*does not belong/);
  });

  it('makes no key that nothing would encrypt', async () => {
    const bare = openSoftwareKeyProvider();
    expect(await asyncRefusal(() => bare.create({ algorithm: 'p-256' }))).toMatch(/^pin-required: /);
    await expect(bare.create({ algorithm: 'p-256', pin: new Uint8Array(0) })).rejects.toThrow(RangeError);
    expect(() => openSoftwareKeyProvider({ wrappingSecret: new Uint8Array(31) })).toThrow(RangeError);
  });

  it('does nothing once it is aborted', async () => {
    const signal = AbortSignal.abort(new Error('no longer wanted'));
    await expect(provider.create({ algorithm: 'rsa-3072', signal })).rejects.toThrow('no longer wanted');
    await expect(provider.sign(key, { data, signal })).rejects.toThrow('no longer wanted');
  });

  it('stops between two steps when it is aborted on the way', async () => {
    const controller = new AbortController();
    const signing = provider.sign(key, { data, signal: controller.signal });
    controller.abort(new Error('changed my mind'));
    await expect(signing).rejects.toThrow('changed my mind');
  });
});
