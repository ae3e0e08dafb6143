import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fromHex } from '../../../src/bytes.ts';
import { algorithmOf, checkKeyId, decodeKeyRecord, encodeKeyRecord } from '../../../src/keys/key-record.ts';
import { keyRecord } from '../../key-record.ts';
import { refusal } from '../../refusal.ts';

const record = keyRecord('first');
const read = (text: string) => decodeKeyRecord(text, '/store/key-first.json');

/** The text with a changed record and a new digest, as an attacker who knows the format would write it. */
function forged(change: (json: Record<string, unknown>) => void): string {
  const file = JSON.parse(encodeKeyRecord(record));
  change(file.record);
  file.sha256 = createHash('sha256').update(JSON.stringify(file.record)).digest('hex');
  return `${JSON.stringify(file, undefined, 2)}\n`;
}

describe('a key record', () => {
  it.each([
    ['of a TPM key with a PIN', record],
    ['of a software key', keyRecord('second', { backend: 'software', assurance: 'software', hasPin: false })],
    ['with the PIN derivation of Windows', { ...record, pinDerivation: { kdf: 'pcp-sha256' } as const }],
    [
      'with anything in its annotations',
      { ...record, annotations: { 2: [1, 'é', null], 1: { b: true }, '': -0.5, ['__proto__']: 'x', constructor: {} } },
    ],
  ])('%s comes back as it was', (_, value) => {
    const text = encodeKeyRecord(value);
    expect(read(text)).toEqual(value);
    expect(encodeKeyRecord(read(text))).toBe(text);
  });

  it('says its format and version, and shows the public key as SPKI', () => {
    const file = JSON.parse(encodeKeyRecord(record));
    expect(Object.keys(file)).toEqual(['format', 'version', 'record', 'sha256']);
    expect(file).toMatchObject({ format: 'keyprov-key', version: 2 });
    expect(file.record.publicKey).toMatch(/^MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE/);
  });

  it('is not for JSON.stringify, but the members that the documentation logs are', () => {
    expect(() => JSON.stringify(record)).toThrow('Do not know how to serialize a BigInt');
    const { id, user, backend, assurance, attempts, created } = record;
    const logged = { id, user, backend, assurance, attempts, created };
    expect(JSON.parse(JSON.stringify(logged))).toEqual(logged);
  });

  it('is refused when cut off at any character, with the name of the file', () => {
    const text = encodeKeyRecord(record);
    for (let length = 0; length < text.length; length++) {
      expect(refusal(() => read(text.slice(0, length)))).toMatch(
        /^store-invalid: the key record \/store\/key-first\.json is damaged: /,
      );
    }
  });

  it('is refused when any one character was changed', () => {
    const text = encodeKeyRecord(record);
    for (let at = 0; at < text.length; at++) {
      for (const by of ['0', '1', ' ']) {
        if (text[at] === by) continue;
        const changed = text.slice(0, at) + by + text.slice(at + 1);
        expect(refusal(() => read(changed))).toMatch(/^store-invalid: /);
      }
    }
  });

  it('of a newer version is refused as that', () => {
    const newer = encodeKeyRecord(record).replace('"version": 2', '"version": 3');
    expect(refusal(() => read(newer))).toBe(
      'store-invalid: the key record /store/key-first.json has version 3; this keyprov reads versions up to 2; ' +
        'use the version of keyprov that wrote it',
    );
  });

  it.each<[string, (json: Record<string, unknown>) => void, RegExp]>([
    ['a member too many', (json) => Object.assign(json, { extra: 1 }), /not what keyprov writes/],
    ['a member missing', (json) => delete json.assurance, /assurance: missing/],
    ['another algorithm', (json) => Object.assign(json, { algorithm: 'p-384' }), /algorithm does not match/],
    ['an unknown backend', (json) => Object.assign(json, { backend: 'hsm' }), /backend: not one of tpm, software/],
    ['a wrong time', (json) => Object.assign(json, { created: 'yesterday' }), /Invalid time value/],
    ['a time without milliseconds', (json) => Object.assign(json, { created: '2026-01-02T03:04:05Z' }), /ISO 8601/],
    ['text for true', (json) => Object.assign(json, { hasPin: 'true' }), /hasPin: not true or false/],
    ['a key that is not base64', (json) => Object.assign(json, { publicKey: 'a' }), /publicKey: not canonical padded/],
    [
      'a Name that is not hexadecimal',
      (json) => Object.assign(json, { parent: { handle: 0x81000001, name: 'x' } }),
      /parent: name: not an even number/,
    ],
    [
      'a salt that is not hexadecimal',
      (json) => Object.assign(json, { pinDerivation: { ...Object(json.pinDerivation), salt: 'x' } }),
      /pinDerivation: salt: not an even number/,
    ],
    ['a number for text', (json) => Object.assign(json, { name: 5 }), /name: not a string/],
    ['a list for the policy', (json) => Object.assign(json, { policy: [] }), /policy: not an object/],
    ['text among the attempts', (json) => Object.assign(json, { attempts: ['x'] }), /attempt: not a JSON object/],
    [
      'a handle below zero',
      (json) => Object.assign(json, { parent: { handle: -1, name: '' } }),
      /handle: not a whole number/,
    ],
    ['a public key that is none', (json) => Object.assign(json, { publicKey: 'AAAA' }), /SPKI: /],
  ])('with %s is refused, also with the right digest', (_, change, message) => {
    const said = refusal(() => read(forged(change)));
    expect(said).toMatch(/^store-invalid: /);
    expect(said).toMatch(message);
  });

  it('forged by this test without a change would be taken', () => {
    expect(read(forged(() => undefined))).toEqual(record);
  });
});

describe('checkKeyId', () => {
  it.each(['a', '0', 'a.b_c-d', '7d444840-9dc0-11d1-b245-5ffdce74fad2', 'x'.repeat(64)])('takes %j', (id) => {
    expect(() => checkKeyId(id)).not.toThrow();
  });

  it.each(['', '.', '..', '../x', 'a/b', 'a\\b', '.hidden', 'x.', 'A', 'é', 'a b', 'a\0', 'a\n', 'x'.repeat(65), '-a'])(
    'refuses %j',
    (id) => {
      expect(() => checkKeyId(id)).toThrow(RangeError);
    },
  );
});

describe('algorithmOf', () => {
  it('has no name for keys that are not user keys', () => {
    expect(algorithmOf(record.publicKey)).toBe('p-256');
    expect(algorithmOf({ kty: 'RSA', n: fromHex(`80${'00'.repeat(127)}`), e: fromHex('03') })).toBeUndefined();
    expect(algorithmOf({ kty: 'RSA', n: fromHex(`80${'00'.repeat(255)}`), e: fromHex('03') })).toBe('rsa-2048');
  });
});
