import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../../src/bytes.ts';
import { TPM_ALG, TPM_ECC } from '../../../src/tpm/constants.ts';
import { padLeft, publicKeyOf } from '../../../src/tpm/public-key.ts';
import type { TpmtPublicEcc, TpmtPublicRsa } from '../../../src/tpm/structures/object.ts';
import { userKeyTemplate } from '../../../src/tpm/templates.ts';

const template = userKeyTemplate('rsa-2048') as TpmtPublicRsa;
const modulus = fromHex(`c0${'00'.repeat(254)}01`);
const rsa = (changes: Partial<TpmtPublicRsa['parameters']>, unique: Uint8Array = modulus): TpmtPublicRsa => ({
  ...template,
  parameters: { ...template.parameters, ...changes },
  unique,
});

/** The base points of the curves: SP 800-186, 3.2.1. */
const POINTS = {
  'P-256': [
    TPM_ECC.NIST_P256,
    '6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296',
    '4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5',
  ],
  'P-384': [
    TPM_ECC.NIST_P384,
    'aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7',
    '3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f',
  ],
  'P-521': [
    TPM_ECC.NIST_P521,
    '00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66',
    '011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650',
  ],
} as const;
const eccTemplate = userKeyTemplate('p-256') as TpmtPublicEcc;
const ecc = (curveID: TpmtPublicEcc['parameters']['curveID'], x: string, y: string): TpmtPublicEcc => ({
  ...eccTemplate,
  parameters: { ...eccTemplate.parameters, curveID },
  unique: { x: fromHex(x), y: fromHex(y) },
});

describe('publicKeyOf', () => {
  it.each([
    [0, '010001'],
    [3, '03'],
    [65537, '010001'],
    [0xfffffffb, 'fffffffb'],
  ])('reads an RSA key with exponent %i as %s', (exponent, e) => {
    expect(publicKeyOf(rsa({ exponent }))).toEqual({ kty: 'RSA', n: modulus, e: fromHex(e) });
  });

  it.each(Object.entries(POINTS))('reads a key on %s', (crv, [curveID, x, y]) => {
    expect(publicKeyOf(ecc(curveID, x, y))).toEqual({ kty: 'EC', crv, x: fromHex(x), y: fromHex(y) });
  });

  it('pads coordinates that a TPM returns without leading zeros', () => {
    const [curveID, x, y] = POINTS['P-521'];
    expect(publicKeyOf(ecc(curveID, x.slice(2), y))).toEqual({ kty: 'EC', crv: 'P-521', x: fromHex(x), y: fromHex(y) });
  });

  const [curveID, x, y] = POINTS['P-256'];
  it.each([
    ['a modulus shorter than keyBits', rsa({ keyBits: 3072 })],
    ['a modulus with a leading zero', rsa({}, fromHex(`00${'ff'.repeat(255)}`))],
    ['an even modulus', rsa({}, fromHex(`c0${'00'.repeat(255)}`))],
    ['no modulus', rsa({}, new Uint8Array(0))],
    ['exponent 1', rsa({ exponent: 1 })],
    ['an even exponent', rsa({ exponent: 65536 })],
    ['a point that is not on the curve', ecc(curveID, y, x)],
    ['a point on another curve', ecc(TPM_ECC.NIST_P384, x, y)],
    ['a coordinate that is too long', ecc(curveID, `00${x}`, y)],
    ['no point', ecc(curveID, '', '')],
    ['P-192', ecc(TPM_ECC.NIST_P192, x, y)],
    ['SM2', ecc(TPM_ECC.SM2_P256, x, y)],
  ])('refuses %s', (_, area) => {
    expect(() => publicKeyOf(area)).toThrow(expect.objectContaining({ code: 'key-invalid' }));
  });

  it('refuses an object without a public key', () => {
    const { nameAlg, objectAttributes, authPolicy } = template;
    const scheme = { scheme: TPM_ALG.NULL } as const;
    const unique = new Uint8Array(32);
    const sealed = { type: TPM_ALG.KEYEDHASH, nameAlg, objectAttributes, authPolicy, parameters: { scheme }, unique };
    expect(() => publicKeyOf(sealed)).toThrow(/type 0x8/);
  });
});

describe('padLeft', () => {
  it('puts zeros before a number, and leaves one that is too long', () => {
    expect(toHex(padLeft(fromHex('0102'), 4))).toBe('00000102');
    expect(toHex(padLeft(fromHex('0102'), 2))).toBe('0102');
    expect(toHex(padLeft(fromHex('0102'), 1))).toBe('0102');
  });
});
