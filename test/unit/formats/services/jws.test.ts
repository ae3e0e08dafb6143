import { constants, createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { toBase64Url, utf8 } from '../../../../src/bytes.ts';
import { decodeJwk } from '../../../../src/crypto/jwk.ts';
import { decodeSpki } from '../../../../src/crypto/public-key.ts';
import {
  buildJws,
  type JwsAlgorithm,
  parseJws,
  type SigningKey,
  verifyJws,
} from '../../../../src/formats/services/jws.ts';
import {
  buildNgcAssertion,
  findNgcAssertionProblem,
  parseNgcAssertion,
} from '../../../../src/formats/windows/ngc-assertion.ts';
import { asyncRefusal, refusal } from '../../../refusal.ts';

const { rsa2048 } = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8'));

/** A key of Node's that signs as key providers do. */
function signingKey(privateKey: KeyObject, publicKey: KeyObject, saltLength = 32): SigningKey {
  return {
    publicKey: decodeSpki(publicKey.export({ format: 'der', type: 'spki' })),
    sign: async ({ data, hash = 'sha256', padding, format = 'der' }) => {
      const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength };
      const how = privateKey.asymmetricKeyType === 'rsa' ? (padding === 'pss' ? pss : {}) : encoding(format);
      return new Uint8Array(sign(hash, data, { key: privateKey, ...how }));
    },
  };
}
const encoding = (format: 'der' | 'raw') => ({ dsaEncoding: format === 'raw' ? 'ieee-p1363' : 'der' }) as const;

const rsaPair = generateKeyPairSync('rsa', { modulusLength: 2048 });
const rsa = signingKey(rsaPair.privateKey, rsaPair.publicKey);
const ec = (namedCurve: string) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve });
  return signingKey(privateKey, publicKey);
};
const p256 = ec('P-256');
const p384 = ec('P-384');
const testKey: SigningKey = {
  ...signingKey(
    createPrivateKey({ key: Buffer.from(rsa2048.pkcs8B64, 'base64'), format: 'der', type: 'pkcs8' }),
    rsaPair.publicKey,
  ),
  publicKey: decodeJwk(rsa2048.jwk),
};

it.each(['RS384', 'PS512', 'ES512', 'HS256', 'none', 'constructor', undefined])(
  'verifyJws refuses %s by name',
  async (alg) => {
    const jws = parseJws(await buildJws({ key: p256, algorithm: 'ES256', payload: utf8('{}') }));
    const other = { ...jws, header: { alg } };
    const verify = verifyJws as (...args: unknown[]) => boolean;
    expect(() => verify(other, p256.publicKey, alg)).toThrow(/^verifyJws: algorithm must be 'RS256/);
  },
);

describe.each([
  ['RS256', rsa, 256],
  ['PS256', rsa, 256],
  ['ES256', p256, 64],
  ['ES384', p384, 96],
] as const)('a JWS with %s', (algorithm, key, size) => {
  const payload = utf8('{"a":1}');
  const sign = (header?: Record<string, unknown>) => buildJws({ key, algorithm, payload, ...(header && { header }) });

  it('verifies only with its key and algorithm', async () => {
    const text = await sign({ kid: 'k' });
    const jws = parseJws(text);
    expect(jws).toMatchObject({ header: { alg: algorithm, kid: 'k' }, payload });
    expect(jws.signature).toHaveLength(size);
    for (const other of ['RS256', 'PS256', 'ES256', 'ES384'] as const) {
      for (const { publicKey } of [rsa, p256, p384, testKey]) {
        const isRight = other === algorithm && publicKey === key.publicKey;
        expect(verifyJws(jws, publicKey, other)).toBe(isRight);
      }
    }
  });

  it('does not verify with another payload, header or signature, or another algorithm in its header', async () => {
    const [header = '', body = '', signature = ''] = (await sign()).split('.');
    const others = [
      `${header}.${toBase64Url(utf8('{"a":2}'))}.${signature}`,
      `${toBase64Url(utf8(JSON.stringify({ alg: algorithm, x: 1 })))}.${body}.${signature}`,
      `${header}.${body}.${toBase64Url(new Uint8Array(size))}`,
      `${header}.${body}.${signature}AA`,
      `${toBase64Url(utf8('{"alg":"none"}'))}.${body}.${signature}`,
    ];
    for (const text of others) expect(verifyJws(parseJws(text), key.publicKey, algorithm)).toBe(false);
  });

  it('is not made for another type of key, or with another alg in its header', async () => {
    const wrong = algorithm === 'ES256' ? rsa : p256;
    await expect(buildJws({ key: wrong, algorithm, payload })).rejects.toThrow(TypeError);
    await expect(sign({ alg: 'none' })).rejects.toThrow(TypeError);
  });
});

describe('buildJws', () => {
  it('refuses signatures that the recipient would refuse', async () => {
    const longSalts = signingKey(rsaPair.privateKey, rsaPair.publicKey, constants.RSA_PSS_SALTLEN_MAX_SIGN);
    const said = await asyncRefusal(() => buildJws({ key: longSalts, algorithm: 'PS256', payload: utf8('') }));
    expect(said).toMatch(/^tpm-unsupported: PS256: .*; use RS256: this TPM's PSS salts/);
    const other = { ...p256, sign: ec('P-256').sign };
    expect(await asyncRefusal(() => buildJws({ key: other, algorithm: 'ES256', payload: utf8('') }))).toMatch(
      /^tpm-unsupported: ES256: the signature does not verify$/,
    );
    const der: SigningKey = { ...p256, sign: (options) => p256.sign({ ...options, format: 'der' }) };
    expect(await asyncRefusal(() => buildJws({ key: der, algorithm: 'ES256', payload: utf8('') }))).toMatch(
      /^tpm-unsupported: ES256: the signature does not verify; make the key's `sign` obey `format: 'raw'`: it returned DER$/,
    );
  });
});

describe('parseJws', () => {
  const header = (json: string) => `${toBase64Url(utf8(json))}.e30.AA`;
  it.each([
    ['nothing', '', /it must have three parts$/],
    ['two parts', 'e30.e30', /it must have three parts$/],
    ['four parts', 'e30.e30.AA.AA', /it must have three parts$/],
    ['no signature', 'e30.e30.', /it must have three parts$/],
    ['padding', 'e30=.e30.AA', /header: not canonical unpadded base64url$/],
    ['white space', 'e30.e30 .AA', /payload: not canonical/],
    ['a header that is no JSON', header('{'), /JWS header: /],
    ['a header that is no object', header('[]'), /not a JSON object$/],
    ['a header that is not UTF-8', `${toBase64Url(new Uint8Array([0xff]))}.e30.AA`, /JWS header: /],
    ['extensions that must be understood', header('{"crit":["b64"]}'), /crit: extensions are not supported$/],
  ])('refuses %s', (_, text, problem) => {
    const said = refusal(() => parseJws(text));
    expect(said).toMatch(/^request-invalid: JWS/);
    expect(said).toMatch(problem);
  });
});

describe('an NGC assertion', () => {
  const { header, payload, jwt } = rsa2048.ngcAssertion;
  const assertion = {
    issuer: payload.iss as string,
    audience: payload.aud as string,
    issuedAt: payload.iat as number,
    expires: payload.exp as number,
    nonce: payload.request_nonce as string,
  };
  const expectations = { publicKey: testKey.publicKey, nonce: assertion.nonce, now: assertion.issuedAt };

  it('is the published one, byte for byte, if signed with the published key', async () => {
    expect(await buildNgcAssertion(assertion, { key: testKey })).toBe(jwt);
    expect(parseNgcAssertion(jwt)).toEqual({ ...assertion, scope: payload.scope, keyId: header.kid });
    expect(findNgcAssertionProblem(jwt, expectations)).toBe(undefined);
  });

  it('is not valid for another key, nonce or time, or with another signature', () => {
    const problem = (change: object) => findNgcAssertionProblem(jwt, { ...expectations, ...change });
    expect(problem({ publicKey: rsa.publicKey })).toBe('it is for another key');
    expect(problem({ nonce: 'other' })).toBe('it is for another nonce');
    expect(problem({ now: assertion.issuedAt - 1 })).toBe('it was issued in the future');
    expect(problem({ now: assertion.expires - 1 })).toBe(undefined);
    expect(problem({ now: assertion.expires })).toBe('it has expired');
    const other = `${jwt.slice(0, -6)}${jwt.slice(-6).replace(/^./, jwt.at(-6) === 'A' ? 'B' : 'A')}`;
    expect(findNgcAssertionProblem(other, expectations)).toBe('its signature does not verify');
  });

  it('is not made with a key that is not RSA', async () => {
    await expect(buildNgcAssertion(assertion, { key: p256 })).rejects.toThrow(TypeError);
  });

  const signed = (head: object, claims: object) =>
    buildJws({
      key: testKey,
      algorithm: 'RS256' as JwsAlgorithm,
      header: { ...head },
      payload: utf8(JSON.stringify(claims)),
    });
  it.each([
    ['use', { ...header, use: 'sig' }, payload, /header: use: not ngc$/],
    ['kid', { ...header, kid: 'AAAA' }, payload, /header: kid: not a Key ID$/],
    ['kid', { ...header, kid: 'x' }, payload, /header: kid: not canonical/],
    ['iss', header, { ...payload, iss: 1 }, /iss: not a string$/],
    ['aud', header, { ...payload, aud: undefined }, /aud: missing$/],
    ['iat', header, { ...payload, iat: 1.5 }, /iat: not a whole number$/],
    ['exp', header, { ...payload, exp: '1' }, /exp: not a whole number$/],
    ['request_nonce', header, { ...payload, request_nonce: null }, /request_nonce: not a string$/],
    ['scope', header, { ...payload, scope: undefined }, /scope: missing$/],
  ])('is refused with a wrong %s', async (_, head, claims, problem) => {
    const text = await signed(head, claims);
    const said = refusal(() => parseNgcAssertion(text));
    expect(said).toMatch(/^request-invalid: NGC assertion/);
    expect(said).toMatch(problem);
  });

  it('is refused if it is not an assertion, or cut off at any byte', () => {
    for (let length = 0; length < jwt.length; length++) {
      const text = jwt.slice(0, length);
      const said = refusal(() => findNgcAssertionProblem(text, expectations));
      if (text.split('.').length < 3 || text.endsWith('.')) expect(said).toMatch(/^request-invalid: /);
      else {
        // The rest of the signature may be base64url, but is not a signature of that key.
        expect(said === 'nothing thrown' ? findNgcAssertionProblem(text, expectations) : said).toMatch(
          /^request-invalid: |^its signature does not verify$/,
        );
      }
    }
  });

  it('may have unknown claims', async () => {
    const text = await signed(header, { ...payload, new: [1] });
    expect(parseNgcAssertion(text).nonce).toBe(assertion.nonce);
  });
});
