import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { buildEkPublicArea } from '../../../../src/formats/tcg/ek-public-area.ts';
import { signingKeyOf } from '../../../../src/testing/signing-key.ts';
import { decode } from '../../../../src/tpm/codec/index.ts';
import { publicKeyOf } from '../../../../src/tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../../../src/tpm/structures/object.ts';
import { ekTemplate } from '../../../../src/tpm/templates.ts';
import { refusal } from '../../../refusal.ts';

describe('the public area of an endorsement key', () => {
  it.each([
    ['P-256', 'L-2'],
    ['P-384', 'H-3'],
    ['P-521', 'H-4'],
  ] as const)('on %s matches template %s', (namedCurve, template) => {
    const { publicKey } = signingKeyOf(generateKeyPairSync('ec', { namedCurve }).privateKey);
    const area = decode(TPMT_PUBLIC, buildEkPublicArea(publicKey));
    expect(publicKeyOf(area)).toEqual(publicKey);
    expect({ ...area, unique: undefined }).toEqual({ ...ekTemplate(template), unique: undefined });
  });

  it.each([
    [2048, 'L-1'],
    [3072, 'H-6'],
    [4096, 'H-7'],
  ] as const)('of RSA with %i bits matches template %s', (bits, template) => {
    const publicKey = { kty: 'RSA', n: new Uint8Array(bits / 8).fill(0xff), e: new Uint8Array([1, 0, 1]) } as const;
    const area = decode(TPMT_PUBLIC, buildEkPublicArea(publicKey));
    expect(area).toEqual({ ...ekTemplate(template), unique: publicKey.n });
  });

  it('is refused for a key without a template', () => {
    const publicKey = { kty: 'RSA', n: new Uint8Array(128).fill(0xff), e: new Uint8Array([1, 0, 1]) } as const;
    expect(refusal(() => buildEkPublicArea(publicKey))).toMatch(/^request-invalid: endorsement key: /);
  });
});
