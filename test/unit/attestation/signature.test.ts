import { constants, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { decodeBareSignature, encodeBareSignature, findSignatureProblem } from '../../../src/attestation/signature.ts';
import { fromHex, toHex, utf8 } from '../../../src/bytes.ts';
import { decode, encode } from '../../../src/tpm/codec/index.ts';
import { TPM_ALG } from '../../../src/tpm/constants.ts';
import { TPMT_SIGNATURE, type TpmtSignature } from '../../../src/tpm/structures/algorithm.ts';
import type { TpmtPublic } from '../../../src/tpm/structures/object.ts';
import { akTemplate, userKeyTemplate } from '../../../src/tpm/templates.ts';
import { flipped, paperKey, signAs } from './paper-tpm.ts';

const hash = TPM_ALG.SHA256;
const ecdsa = (r: string, s: string): TpmtSignature => ({
  sigAlg: TPM_ALG.ECDSA,
  signature: { hash, signatureR: fromHex(r), signatureS: fromHex(s) },
});

describe('encodeBareSignature', () => {
  it('is the bytes of an RSA signature', () => {
    const sig = fromHex('00c0ffee');
    for (const sigAlg of [TPM_ALG.RSASSA, TPM_ALG.RSAPSS]) {
      expect(toHex(encodeBareSignature({ sigAlg, signature: { hash, sig } }))).toBe('00c0ffee');
    }
  });

  it.each([
    ['01', '02', '3006020101020102'],
    [`${'00'.repeat(31)}7f`, `${'00'.repeat(30)}0080`, '300702017f02020080'],
    ['ff'.repeat(32), '00'.repeat(32), `3026022100${'ff'.repeat(32)}020100`],
  ])('is DER with the shortest numbers for r %s, s %s', (r, s, der) => {
    expect(toHex(encodeBareSignature(ecdsa(r, s)))).toBe(der);
  });

  it('is refused for other algorithms', () => {
    for (const bytes of ['0010', `0005000b${'00'.repeat(32)}`, `001b000b${'000101'.repeat(2)}`]) {
      const signature = decode(TPMT_SIGNATURE, fromHex(bytes));
      expect(() => encodeBareSignature(signature)).toThrow(expect.objectContaining({ code: 'tpm-unsupported' }));
    }
  });
});

describe('decodeBareSignature', () => {
  it.each(['rsa-2048', 'p-256'] as const)('turns the signature of a %s attestation key back', (kind) => {
    const key = paperKey(akTemplate(kind), 'ak');
    const bytes = signAs(key, utf8('data'));
    const bare = encodeBareSignature(decode(TPMT_SIGNATURE, bytes));
    expect(encode(TPMT_SIGNATURE, decodeBareSignature(key.area, bare))).toEqual(bytes);
  });

  it('pads r and s to the size of the field', () => {
    const { area } = paperKey(akTemplate('p-256'), 'ak');
    const signature = decodeBareSignature(area, fromHex('300702017f02020080'));
    expect(signature).toEqual(ecdsa(`${'00'.repeat(31)}7f`, `${'00'.repeat(31)}80`));
  });

  it.each([
    ['a number longer than the field', `3026022101${'ff'.repeat(32)}020101`],
    ['a number with a needless zero', '300702020001020102'],
    ['a negative number', '3006020181020102'],
    ['bytes left over', '300602010102010200'],
    ['raw r and s', '01'.repeat(64)],
    ['nothing', ''],
  ])('refuses %s', (_, bare) => {
    const { area } = paperKey(akTemplate('p-256'), 'ak');
    expect(() => decodeBareSignature(area, fromHex(bare))).toThrow(expect.objectContaining({ code: 'key-invalid' }));
  });

  it('refuses a signer that names no scheme', () => {
    const { area } = paperKey(userKeyTemplate('rsa-2048'), 'user');
    const message = 'the signing key has no signing scheme in its public area';
    expect(() => decodeBareSignature(area, new Uint8Array(256))).toThrow(
      expect.objectContaining({ code: 'statement-invalid', message }),
    );
  });

  it('refuses ECDSA by a key that is not on a curve', () => {
    const { area } = paperKey(akTemplate('rsa-2048'), 'ak');
    const scheme = { scheme: TPM_ALG.ECDSA, details: { hashAlg: hash } };
    const odd = { ...area, parameters: { ...area.parameters, scheme } } as unknown as TpmtPublic;
    expect(() => decodeBareSignature(odd, fromHex('3006020101020102'))).toThrow(
      expect.objectContaining({ code: 'statement-invalid', message: 'ECDSA with a key that is not an ECC key' }),
    );
  });
});

describe('findSignatureProblem', () => {
  const data = utf8('data');
  const [rsa, ec] = [paperKey(akTemplate('rsa-2048'), 'ak'), paperKey(akTemplate('p-256'), 'ak')];
  const problem = (key: typeof rsa, bytes: Uint8Array, of = data) =>
    findSignatureProblem(key.area, decode(TPMT_SIGNATURE, bytes), of);

  it('is none for a good signature', () => {
    for (const key of [rsa, ec]) expect(problem(key, signAs(key, data))).toBeUndefined();
  });

  it('is none for a good signature by a key without scheme, whatever the hash', () => {
    const key = paperKey(userKeyTemplate('p-256'), 'user');
    for (const alg of [TPM_ALG.SHA1, TPM_ALG.SHA256, TPM_ALG.SHA384, TPM_ALG.SHA512]) {
      expect(problem(key, signAs(key, data, alg))).toBeUndefined();
    }
  });

  it('is none for a good RSAPSS signature, with a salt of any length', () => {
    const scheme = { scheme: TPM_ALG.RSAPSS, details: { hashAlg: hash } };
    const { area, privateKey: key } = rsa;
    if (area.type !== TPM_ALG.RSA) return expect.unreachable();
    const pss = { ...area, parameters: { ...area.parameters, scheme } };
    for (const saltLength of [0, 32, constants.RSA_PSS_SALTLEN_MAX_SIGN]) {
      const sig = sign('sha256', data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
      const signature = { sigAlg: TPM_ALG.RSAPSS, signature: { hash, sig } };
      expect(findSignatureProblem(pss, signature, data)).toBeUndefined();
      expect(findSignatureProblem(pss, signature, flipped(data, 0))).toBe('it does not verify');
      expect(findSignatureProblem(area, signature, data)).toMatch(/differ from the signing key's public area/);
    }
  });

  it('is said of other data, another key, another kind of key and another scheme', () => {
    for (const key of [rsa, ec]) {
      expect(problem(key, signAs(key, data), flipped(data, 0))).toBe('it does not verify');
      const another = paperKey(key.area, 'another');
      expect(problem(another, signAs(key, data))).toBe('it does not verify');
      expect(problem(key, signAs(key, data, TPM_ALG.SHA512))).toMatch(/differ from the signing key's public area/);
    }
    expect(problem(ec, signAs(rsa, data))).toMatch(/differ from the signing key's public area/);
    const user = paperKey(userKeyTemplate('p-256'), 'user');
    expect(problem(user, signAs(rsa, data))).toMatch(/its type does not match the signing key/);
  });

  it.each([
    ['0010', /algorithm 0x10/],
    [`0005000b${'00'.repeat(32)}`, /algorithm 0x5/],
    ['00180012000101000101', /hash 0x12/],
  ])('is said of a signature %s', (bytes, message) => {
    expect(problem(ec, fromHex(bytes))).toMatch(message);
  });

  it.each(['000100' + '000101', `0021${'01'.repeat(33)}000101`, '00000000'])('is said of r and s %s', (numbers) => {
    expect(problem(ec, fromHex(`0018000b${numbers}`))).toBe('it does not verify');
  });
});
