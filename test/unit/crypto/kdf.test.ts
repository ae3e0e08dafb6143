import { createCipheriv, createECDH, createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { concat, fromHex, toHex, utf8 } from '../../../src/bytes.ts';
import { type HashName, kdfa, kdfe } from '../../../src/crypto/kdf.ts';

const NONE = new Uint8Array(0);
/** The attestation key that the credentials are for, and the secret inside. */
const NAME = fromHex('000b0ea2bc4e5363f972fae4d9e52118921c6fd6adf5304d9280ed3e6de01afeb20e');
const SECRET = fromHex('6b9a437f51eddcbc1d2f6600807067f220b1d0c48a435d116afa16d8cd0164c1');

/** Credentials that swtpm 0.7.1 activates, from their seeds on (Part 1, 24). */
const CREDENTIALS: readonly [string, HashName, number, string, string, string, string][] = [
  [
    'P-256 with SHA-256 and AES-128',
    'sha256',
    128,
    'f103792070125493c67abbbfde0bcf4ac02d9b41ffea914abdcfe9bf9598ffdd',
    '48ad16c5651efc591da1c1bf23b89d53',
    'a1bcdee0185b819550a5d8ace2b50f01a223bc667d5de610768bb51be754fae8',
    '00440020104040034b63a7492b1374d7a81cca29fdd2b53060913db6f08d10e2bd7ff0ce9cd98b75e34a45569f038fe2448db90ba55e6289e7643ed0d47f35f3609ca08bea49',
  ],
  [
    'RSA 2048 with SHA-256 and AES-128',
    'sha256',
    128,
    '235be5ab8ea6a27a89e1b5c8b98a53eac4a791f3263c173420aba8dea3283363',
    'e04f55dabf7010791d3fa5b0151e5ae0',
    '0072ab95ffd441118ad0385515f878517e27bac9b86e1af67562a619f48cabdc',
    '0044002041cfc06c08d0391d082b4330a8d725ea2bda007bd885c62a069c19ff0b954387154f7db2aae00cc397bc53e8d2fe22464f58244c6d305384382d138a5ee6fc55d481',
  ],
  [
    'P-384 with SHA-384 and AES-256',
    'sha384',
    256,
    '195270499ba6da0df2e1ebc1a5d7e3bb134f8ea0a6c1c93ca789f9e7f6f67b8ff69b13bf1c9873cc0407de91cbde2341',
    '6669874de84e7859beaaedfe622e831c37e55e3cfaf858f93585b7037bb36fc3',
    '246b6b5cd49cd91c686116413a443af5f88b862bb0f295aff62b89fda9f82187edf1356a923968d51173b2ba609e8e6e',
    '00540030525b71ecf701000dc51b0499d7f0e5837784c5710bc4745b89a01ca2d1ad880268c5f1d2fc4c7059ee8c3086216cef8c831494b774f73045fea75f4a9cb20f00e435335387c66c5c71fde1d3eee2f0028b33',
  ],
];

describe('kdfa', () => {
  it('gives the known answer', () => {
    const key = new Uint8Array(32).fill(1);
    expect(toHex(kdfa('sha256', key, 'STORAGE', utf8('ab'), utf8('cd'), 256))).toBe(
      '04825012887205562f55d779725bb71bb984c679083f0380a906bf6467991569',
    );
  });

  it("matches OpenSSL 3's KBKDF over several blocks", () => {
    const key = new Uint8Array(32).fill(1);
    expect(toHex(kdfa('sha256', key, 'STORAGE', utf8('ab'), utf8('cd'), 576))).toBe(
      '6a40d89f2bd64ed970dbf78e8d0304f54f7127ea60e645dc06dab3fe6c2ffbe2139b8a77d55beec84c6b9a1595b7ce0b3945c138407727eb57a4ccaccb8effe3ba2b409b5b815fce',
    );
  });

  it.each(CREDENTIALS)(
    'makes the keys of a credential that a TPM activates: %s',
    (_, hash, bits, seed, sym, mac, blob) => {
      const symKey = kdfa(hash, fromHex(seed), 'STORAGE', NAME, NONE, bits);
      expect(toHex(symKey)).toBe(sym);
      const hmacKey = kdfa(hash, fromHex(seed), 'INTEGRITY', NONE, NONE, mac.length * 4);
      expect(toHex(hmacKey)).toBe(mac);
      const cipher = createCipheriv(`aes-${bits}-cfb`, symKey, new Uint8Array(16));
      const encIdentity = cipher.update(concat(new Uint8Array([0, 32]), SECRET));
      const integrity = createHmac(hash, hmacKey).update(encIdentity).update(NAME).digest();
      const idObject = concat(new Uint8Array([0, integrity.length]), integrity, encIdentity);
      expect(toHex(concat(new Uint8Array([0, idObject.length]), idObject))).toBe(blob);
    },
  );

  it('clears the highest bits if the length is not a multiple of 8', () => {
    const bits = (length: number) => kdfa('sha512', fromHex('05'), 'X', NONE, NONE, length);
    expect(bits(521).length).toBe(66);
    for (const length of [1, 9, 521]) expect(bits(length)[0]).toBeLessThan(2);
  });

  it('gives nothing for no bits', () => {
    expect(kdfa('sha256', fromHex('05'), 'X', NONE, NONE, 0)).toStrictEqual(new Uint8Array(0));
  });
});

describe('kdfe', () => {
  it('makes the seed of a credential that a TPM activates', () => {
    const ephemeral = createECDH('prime256v1');
    ephemeral.setPrivateKey(Buffer.from('7cae0dd4b9ba950236a9ee52e7a9e0f1bab7fe5e20a4b77d8e89e9c6923b9662', 'hex'));
    const x = fromHex('2dfe159528df031d21b6cc4f3ecacc2575e12e6c622315e2c603ca1783875358');
    const y = fromHex('58467a590699aa0d1f6291a392d98978a1bec7237d9d0fbea25a748fd5a3333e');
    const z = ephemeral.computeSecret(concat(new Uint8Array([4]), x, y));
    expect(z.toString('hex')).toBe('08c4c653f137c70f0f310c9fc55760c79fa2c4a58b11fed0b2986822b28ead27');
    const ours = fromHex('816864c0c9abb1178965d83e370b66ca5f000d579af3d7c82b95c7f93dcbca05');
    expect(ephemeral.getPublicKey('hex').slice(2, 66)).toBe(toHex(ours));
    expect(toHex(kdfe('sha256', z, 'IDENTITY', ours, x, 256))).toBe(
      'f103792070125493c67abbbfde0bcf4ac02d9b41ffea914abdcfe9bf9598ffdd',
    );
  });
});
