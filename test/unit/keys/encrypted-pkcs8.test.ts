import { createCipheriv, generateKeyPairSync, scryptSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { concat, fromHex, toHex, utf8 } from '../../../src/bytes.ts';
import { DerNode } from '../../../src/crypto/der-read.ts';
import { TAG } from '../../../src/crypto/der-write.ts';
import { decodePem, encodePem } from '../../../src/crypto/pem.ts';
import { decryptPkcs8, encryptPkcs8 } from '../../../src/keys/encrypted-pkcs8.ts';
import { asyncRefusal } from '../../refusal.ts';

const LABEL = 'ENCRYPTED PRIVATE KEY';
const COST = 2 ** 10;
const secret = utf8('314159');
const pkcs8 = new Uint8Array(
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'der' }),
);

describe('encryptPkcs8', () => {
  it('writes PBES2 with scrypt and AES-256-GCM that Node’s own functions make the same of', async () => {
    const info = DerNode.strict(decodePem(await encryptPkcs8(pkcs8, secret, COST), LABEL), 'file').fields(TAG.SEQUENCE);
    const algorithm = info.next().fields(TAG.SEQUENCE);
    expect(algorithm.next().oid()).toBe('1.2.840.113549.1.5.13');
    const parameters = algorithm.next().fields(TAG.SEQUENCE);
    const kdf = parameters.next().fields(TAG.SEQUENCE);
    expect(kdf.next().oid()).toBe('1.3.6.1.4.1.11591.4.11');
    const kdfParameters = kdf.next().fields(TAG.SEQUENCE);
    const salt = kdfParameters.next().octets();
    expect(salt.length).toBe(16);
    const numbers = Array.from({ length: 4 }, () => toHex(kdfParameters.next().unsigned()));
    expect(numbers).toEqual(['0400', '08', '01', '20']);
    const scheme = parameters.next().fields(TAG.SEQUENCE);
    expect(scheme.next().oid()).toBe('2.16.840.1.101.3.4.1.46');
    const gcm = scheme.next().fields(TAG.SEQUENCE);
    const nonce = gcm.next().octets();
    expect(nonce.length).toBe(12);
    expect(toHex(gcm.next().unsigned())).toBe('10');
    const encrypted = info.next().octets();
    for (const fields of [info, algorithm, parameters, kdf, kdfParameters, scheme, gcm]) fields.end();
    const cipher = createCipheriv('aes-256-gcm', scryptSync(secret, salt, 32, { N: COST, r: 8, p: 1 }), nonce);
    expect(toHex(encrypted)).toBe(toHex(concat(cipher.update(pkcs8), cipher.final(), cipher.getAuthTag())));
  });

  it('uses a fresh salt and nonce each time', async () => {
    expect(await encryptPkcs8(pkcs8, secret, COST)).not.toBe(await encryptPkcs8(pkcs8, secret, COST));
  });
});

describe('decryptPkcs8', () => {
  it('returns the key for the secret, and undefined for any other', async () => {
    const pem = await encryptPkcs8(pkcs8, secret, COST);
    expect(toHex((await decryptPkcs8(pem, secret)) ?? new Uint8Array())).toBe(toHex(pkcs8));
    for (const wrong of ['314158', '31415', '3141590', '']) {
      expect(await decryptPkcs8(pem, utf8(wrong))).toBeUndefined();
    }
  });

  it('refuses a file cut off at any byte', async () => {
    const der = decodePem(await encryptPkcs8(pkcs8, secret, COST), LABEL);
    for (let length = 0; length < der.length; length++) {
      const cut = encodePem(LABEL, der.subarray(0, length));
      expect(await asyncRefusal(() => decryptPkcs8(cut, secret))).toMatch(
        /^key-invalid: encrypted private key: (?:cut off|a part is missing|it has tag) /,
      );
    }
    const longer = encodePem(LABEL, concat(der, new Uint8Array(1)));
    expect(await asyncRefusal(() => decryptPkcs8(longer, secret))).toMatch(
      /^key-invalid: encrypted private key: 1 byte left over/,
    );
  });

  it('never returns a key from a file with one changed bit', async () => {
    const der = decodePem(await encryptPkcs8(pkcs8, secret, 2), LABEL);
    for (let at = 0; at < der.length; at++) {
      const changed = encodePem(
        LABEL,
        der.map((value, index) => (index === at ? value ^ 1 : value)),
      );
      let outcome: unknown;
      const said = await asyncRefusal(async () => {
        outcome = await decryptPkcs8(changed, secret);
      });
      expect(outcome).toBeUndefined();
      expect(said).toMatch(/^(?:key-invalid: encrypted private key: .*|nothing thrown)$/);
    }
  });

  it.each([
    ['a cost that is no power of two', '02030186a0', /these scrypt parameters are not valid: N = 100000,/],
    ['a cost of one', '0203000001', /not in its shortest form/],
    ['a negative cost', '0203ff0000', /an INTEGER is negative/],
    ['a cost above the limit', '0203200000', /these scrypt parameters exceed the limits: N = 2097152,/],
  ])('refuses %s', async (_, cost, message) => {
    const der = toHex(decodePem(await encryptPkcs8(pkcs8, secret, 2 ** 16), LABEL));
    expect(der).toContain('0203010000020108020101020120');
    const changed = encodePem(LABEL, fromHex(der.replace('0203010000020108', `${cost}020108`)));
    expect(await asyncRefusal(() => decryptPkcs8(changed, secret))).toMatch(message);
  });

  it('refuses other scrypt parameters than those that are written', async () => {
    const der = toHex(decodePem(await encryptPkcs8(pkcs8, secret, COST), LABEL));
    const changed = encodePem(LABEL, fromHex(der.replace('020108020101020120', '020108020110020120')));
    expect(await asyncRefusal(() => decryptPkcs8(changed, secret))).toContain('not PBES2 with scrypt (r 8, p 1)');
  });
});
