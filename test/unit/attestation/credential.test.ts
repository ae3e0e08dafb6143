import { constants, createDecipheriv, createECDH, generateKeyPairSync, privateDecrypt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { type Credential, makeCredential, protectCredential } from '../../../src/attestation/credential.ts';
import { concat, fromBase64Url, fromHex, toHex, utf8, view } from '../../../src/bytes.ts';
import { type HashName, hmac, kdfa, kdfe } from '../../../src/crypto/kdf.ts';
import { decode } from '../../../src/tpm/codec/index.ts';
import { TPM_ALG } from '../../../src/tpm/constants.ts';
import { objectName } from '../../../src/tpm/names.ts';
import { publicKeyOf } from '../../../src/tpm/public-key.ts';
import { agreeOnSecret } from '../../../src/tpm/shared-secret.ts';
import { TPMS_ECC_POINT } from '../../../src/tpm/structures/algorithm.ts';
import { TPM2B_PUBLIC, TPMS_ID_OBJECT, type TpmtPublic } from '../../../src/tpm/structures/object.ts';
import { akTemplate, type EkTemplateName, ekTemplate } from '../../../src/tpm/templates.ts';
import { refusal } from '../../refusal.ts';

const vectors = JSON.parse(readFileSync('test/vectors/make-credential.json', 'utf8'));
const objectNameBytes = fromHex(vectors.objectName);
const secret = fromHex(vectors.secret);
const sized = (bytes: Uint8Array): string => toHex(concat(new Uint8Array([bytes.length >>> 8, bytes.length]), bytes));

describe('the published credentials', () => {
  it('come out for P-256, from the ephemeral key on', () => {
    const { ekPublic, ekName, ephemeral, seed, credentialBlob, encryptedSecret } = vectors.p256;
    const ek = decode(TPM2B_PUBLIC, fromHex(ekPublic));
    expect(toHex(objectName(ek))).toBe(ekName);
    const key = publicKeyOf(ek);
    if (key.kty !== 'EC') throw new Error('a key on a curve is expected');
    const agreed = agreeOnSecret(key, 'sha256', 32, 'IDENTITY', fromHex(ephemeral));
    expect(toHex(agreed.secret)).toBe(seed);
    expect(sized(agreed.encrypted)).toBe(encryptedSecret);
    expect(sized(protectCredential({ ek, objectName: objectNameBytes, secret }, agreed.secret))).toBe(credentialBlob);
  });

  it.each(['rsa2048', 'p384'])('come out for %s, from the seed on', (name) => {
    const { template, seed, credentialBlob } = vectors[name];
    const ek = ekTemplate(template as EkTemplateName);
    expect(sized(protectCredential({ ek, objectName: objectNameBytes, secret }, fromHex(seed)))).toBe(credentialBlob);
  });
});

const CURVES = {
  'L-2': { curve: 'prime256v1', size: 32, hash: 'sha256', bits: 256, keyBits: 128 },
  'H-2': { curve: 'prime256v1', size: 32, hash: 'sha256', bits: 256, keyBits: 128 },
  'H-3': { curve: 'secp384r1', size: 48, hash: 'sha384', bits: 384, keyBits: 256 },
  'H-4': { curve: 'secp521r1', size: 66, hash: 'sha512', bits: 512, keyBits: 256 },
} as const;

/** The secret that a TPM with this seed recovers. Part 1, 24.4 and 24.5, written a second time. */
function recover(
  { credentialBlob }: Credential,
  seed: Uint8Array,
  hash: HashName,
  bits: number,
  keyBits: number,
): string {
  const { integrityHMAC, encIdentity } = decode(TPMS_ID_OBJECT, credentialBlob);
  const none = new Uint8Array(0);
  const hmacKey = kdfa(hash, seed, 'INTEGRITY', none, none, bits);
  expect(toHex(integrityHMAC)).toBe(toHex(hmac(hash, hmacKey, encIdentity, objectNameBytes)));
  const key = kdfa(hash, seed, 'STORAGE', objectNameBytes, none, keyBits);
  return toHex(createDecipheriv(`aes-${keyBits}-cfb`, key, new Uint8Array(16)).update(encIdentity));
}

describe('makeCredential', () => {
  it.each(['L-2', 'H-2', 'H-3', 'H-4'] as const)('can be opened with the private key of an %s', (template) => {
    const { curve, size, hash, bits, keyBits } = CURVES[template];
    const ecdh = createECDH(curve);
    const point = view(ecdh.generateKeys());
    const [x, y] = [point.subarray(1, 1 + size), point.subarray(1 + size)];
    const ek = { ...ekTemplate(template), unique: { x, y } } as TpmtPublic;
    const credential = makeCredential({ ek, objectName: objectNameBytes, secret });
    const ephemeral = decode(TPMS_ECC_POINT, credential.encryptedSecret);
    expect([ephemeral.x.length, ephemeral.y.length]).toEqual([size, size]);
    const z = view(ecdh.computeSecret(concat(new Uint8Array([4]), ephemeral.x, ephemeral.y)));
    const seed = kdfe(hash, z, 'IDENTITY', ephemeral.x, x, bits);
    expect(recover(credential, seed, hash, bits, keyBits)).toBe(`0020${vectors.secret}`);
  });

  it.each([
    ['L-1', 2048, 'sha256', 256, 128],
    ['H-6', 3072, 'sha384', 384, 256],
  ] as const)('can be opened with the private key of an %s', (template, modulusLength, hash, bits, keyBits) => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength });
    const unique = fromBase64Url(String(publicKey.export({ format: 'jwk' }).n));
    const ek = { ...ekTemplate(template), unique } as TpmtPublic;
    const credential = makeCredential({ ek, objectName: objectNameBytes, secret });
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    const options = { key: privateKey, padding, oaepHash: hash, oaepLabel: Buffer.from(utf8('IDENTITY\0')) };
    const seed = view(privateDecrypt(options, credential.encryptedSecret));
    expect(seed.length).toBe(bits / 8);
    expect(recover(credential, seed, hash, bits, keyBits)).toBe(`0020${vectors.secret}`);
  });

  it('makes another one each time', () => {
    const input = { ek: decode(TPM2B_PUBLIC, fromHex(vectors.p256.ekPublic)), objectName: objectNameBytes, secret };
    const [first, second] = [makeCredential(input), makeCredential(input)];
    expect(toHex(first.credentialBlob)).not.toBe(toHex(second.credentialBlob));
    expect(toHex(first.encryptedSecret)).not.toBe(toHex(second.encryptedSecret));
  });

  it("accepts secrets from 1 byte to the size of the name algorithm's digest", () => {
    const ek = decode(TPM2B_PUBLIC, fromHex(vectors.p256.ekPublic));
    const make = (length: number) =>
      makeCredential({ ek, objectName: objectNameBytes, secret: new Uint8Array(length) });
    expect(make(1).credentialBlob.length).toBe(2 + 32 + 2 + 1);
    expect(make(32).credentialBlob.length).toBe(2 + 32 + 2 + 32);
    const message = (length: number) => `a secret for this endorsement key must have 1 to 32 bytes, not ${length}`;
    for (const length of [0, 33]) expect(() => make(length)).toThrow(new RangeError(message(length)));
  });

  const template = ekTemplate('L-2');
  const ecc = template.type === TPM_ALG.ECC ? template : undefined;
  const withCipher = (symmetric: object) => ({ ...ecc, parameters: { ...ecc?.parameters, symmetric } }) as TpmtPublic;
  const withAttribute = (attribute: object) =>
    ({ ...template, objectAttributes: { ...template.objectAttributes, ...attribute } }) as TpmtPublic;
  const hashKey = { ...template, type: TPM_ALG.KEYEDHASH } as unknown as TpmtPublic;
  const sm3 = { ...template, nameAlg: TPM_ALG.SM3_256 } as TpmtPublic;
  const { AES, CAMELLIA, CBC, CFB } = TPM_ALG;
  it.each<[string, TpmtPublic, string]>([
    ['a signing key', akTemplate('p-256'), 'it is not a storage key'],
    ['a key that decrypts without limits', withAttribute({ restricted: false }), 'it is not a storage key'],
    ['a key that does not decrypt', withAttribute({ decrypt: false }), 'it is not a storage key'],
    ['a key of another kind', hashKey, 'it is not an RSA or ECC key'],
    ['a key with an unknown name algorithm', sm3, 'its name algorithm is 0x12'],
    ['a key without a cipher', withCipher({ algorithm: TPM_ALG.NULL }), 'its cipher is not AES-CFB'],
    [
      'a key with another cipher',
      withCipher({ algorithm: CAMELLIA, keyBits: 128, mode: CFB }),
      'its cipher is not AES-CFB',
    ],
    ['a key with another mode', withCipher({ algorithm: AES, keyBits: 128, mode: CBC }), 'its cipher is not AES-CFB'],
    ['a key with another size', withCipher({ algorithm: AES, keyBits: 127, mode: CFB }), 'its cipher is not AES-CFB'],
  ])('refuses %s', (_, ek, why) => {
    const make = () => makeCredential({ ek, objectName: objectNameBytes, secret });
    expect(refusal(make)).toContain(`key-invalid: no credential can be made for this endorsement key: ${why}`);
    expect(make).toThrow(
      expect.objectContaining({
        remedy: 'pass the public area of a key that was made from an endorsement key template',
      }),
    );
  });

  it('refuses a key that is not a point on its curve', () => {
    const make = () => makeCredential({ ek: template, objectName: objectNameBytes, secret });
    expect(refusal(make)).toMatch(/^key-invalid: /);
  });

  it('accepts a cipher of 192 bits', () => {
    const seed = fromHex(vectors.p256.seed);
    const ek = withCipher({ algorithm: AES, keyBits: 192, mode: CFB });
    const credentialBlob = protectCredential({ ek, objectName: objectNameBytes, secret }, seed);
    expect(recover({ credentialBlob, encryptedSecret: seed }, seed, 'sha256', 256, 192)).toBe(`0020${vectors.secret}`);
  });

  it('wipes the seed, the keys made of it and the secret', () => {
    const fill = vi.spyOn(Uint8Array.prototype, 'fill');
    const ek = decode(TPM2B_PUBLIC, fromHex(vectors.p256.ekPublic));
    try {
      protectCredential({ ek, objectName: objectNameBytes, secret }, fromHex(vectors.p256.seed));
      const inProtect = fill.mock.contexts.map((bytes) => (bytes as Uint8Array).length);
      expect(inProtect).toEqual(expect.arrayContaining([16, 32, 34]));
      fill.mockClear();
      makeCredential({ ek, objectName: objectNameBytes, secret });
      expect(fill.mock.contexts.length).toBeGreaterThan(inProtect.length);
    } finally {
      fill.mockRestore();
    }
  });
});
