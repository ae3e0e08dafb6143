import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, fromBase64, fromHex, toHex, utf8 } from '../../../../src/bytes.ts';
import { digest } from '../../../../src/crypto/kdf.ts';
import { decodePkcs1, encodePkcs1, encodeSpki } from '../../../../src/crypto/public-key.ts';
import {
  decodeCustomKeyInformation,
  encodeCustomKeyInformation,
} from '../../../../src/formats/windows/custom-key-information.ts';
import { decodeDnBinary, encodeDnBinary } from '../../../../src/formats/windows/dn-binary.ts';
import {
  decodeDotNetTime,
  decodeFileTime,
  encodeDotNetTime,
  encodeFileTime,
} from '../../../../src/formats/windows/file-time.ts';
import { decodeGuid, encodeGuid } from '../../../../src/formats/windows/guid.ts';
import {
  buildKeyCredentialLink,
  encodeKeyCredentialLink,
  KEY_CREDENTIAL_ENTRY,
  KEY_CREDENTIAL_SOURCE,
  KEY_CREDENTIAL_USAGE,
  parseKeyCredentialLink,
} from '../../../../src/formats/windows/key-credential-link.ts';
import { findKeyCredentialProblems } from '../../../../src/formats/windows/key-credential-problems.ts';
import { decodeKeyMaterial, encodeKeyMaterial } from '../../../../src/formats/windows/key-material.ts';
import { refusal } from '../../../refusal.ts';

interface Entry {
  readonly id: number;
  readonly length: number;
  readonly hex?: string;
  readonly guid?: string;
  readonly utc?: string | null;
}
interface Blob {
  readonly name: string;
  readonly blobHex: string;
  readonly parsed: { readonly entries: readonly Entry[] };
}
interface DnVector {
  readonly name: string;
  readonly string: string;
  readonly valid: boolean;
  readonly dn?: string;
}
const { blobs, dnWithBinary } = JSON.parse(readFileSync('test/vectors/keycredential.json', 'utf8')) as {
  blobs: readonly Blob[];
  dnWithBinary: readonly DnVector[];
};
const cng = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8'));
const rsa = decodePkcs1(fromBase64(cng.rsa2048.pkcs1PublicB64));

/** For each blob, the result of its verification and the form of its key material. */
const EXPECTED: Readonly<Record<string, readonly [form: string, ...problems: string[]]>> = {
  Parse_NonMFAKey: ['pkcs1', 'key-material'],
  Parse_UserKey2: ['cng'],
  Parse_UserKey4: ['cng'],
  Parse_UserKeyFIDO1: ['fido'],
  Parse_UserKeyFIDO3: ['fido'],
  Parse_UserKeyFIDO5: ['fido'],
  Parse_UserKeyFIDO7: ['fido'],
  Parse_DeviceKey_TPM: ['pcpm'],
  Parse_Impacket: ['cng', 'key-hash', 'time'],
};
const NOW = encodeFileTime(new Date('2025-06-01'));

describe.each(blobs)('the published blob $name', ({ name, blobHex, parsed }) => {
  const link = parseKeyCredentialLink(fromHex(blobHex));
  const { entries } = link;
  const published = (id: number) => parsed.entries.find((entry) => entry.id === id);

  it('is read, and written to the same bytes', () => {
    expect(entries.map(({ id, value }) => [id, value.length])).toEqual(parsed.entries.map((e) => [e.id, e.length]));
    expect(toHex(encodeKeyCredentialLink(entries))).toBe(blobHex);
  });

  it('has the values that other readers find in it', () => {
    expect(toHex(link.keyId)).toBe(published(KEY_CREDENTIAL_ENTRY.KEY_ID)?.hex);
    expect(link.deviceId).toBe(published(KEY_CREDENTIAL_ENTRY.DEVICE_ID)?.guid);
    for (const [id, time] of [
      [KEY_CREDENTIAL_ENTRY.LAST_LOGON, link.lastLogon],
      [KEY_CREDENTIAL_ENTRY.CREATED, link.created],
    ] as const) {
      // Ticks that the vectors leave open are zero.
      const utc = published(id)?.utc ?? '0001-01-01T00:00:00.0000000Z';
      const [, milliseconds, rest] = /^(.*\.\d{3})(\d{4})Z$/.exec(utc) ?? expect.unreachable(utc);
      expect(time).toBe(encodeFileTime(new Date(`${milliseconds}Z`)) + BigInt(rest ?? ''));
      expect(time !== undefined && decodeFileTime(time)).toEqual(new Date(`${milliseconds}Z`));
    }
    const custom = published(KEY_CREDENTIAL_ENTRY.CUSTOM_KEY_INFORMATION)?.hex;
    const information = link.customKeyInformation ?? expect.unreachable('every blob has it');
    expect(toHex(encodeCustomKeyInformation(information))).toBe(custom);
  });

  it('has key material of a known form, and is verified', () => {
    const [form, ...problems] = EXPECTED[name] ?? expect.unreachable(name);
    const material = decodeKeyMaterial(link.keyMaterial);
    expect(material?.form).toBe(form);
    if (material !== undefined) expect(toHex(encodeKeyMaterial(material))).toBe(toHex(link.keyMaterial));
    expect(findKeyCredentialProblems(link, { now: NOW }).map(({ check }) => check)).toEqual(problems);
  });

  it('is built to the same bytes from its values, if its KeyHash is correct', () => {
    const { keyHash: _, entries: __, ...values } = link;
    const built = buildKeyCredentialLink(values);
    if (EXPECTED[name]?.includes('key-hash')) expect(toHex(built)).not.toBe(blobHex);
    else expect(toHex(built)).toBe(blobHex);
  });

  it('is refused when cut off within any entry, or in its version', () => {
    const bytes = fromHex(blobHex);
    const ends = new Set([4]);
    for (const { value } of entries) ends.add(Math.max(...ends) + 3 + value.length);
    for (let length = 0; length < bytes.length; length += length < 60 || length > bytes.length - 60 ? 1 : 11) {
      const said = refusal(() => parseKeyCredentialLink(bytes.subarray(0, length)));
      if (!ends.has(length)) expect(said).toMatch(/^request-invalid: key credential link: cut off/);
      else
        expect(said).toMatch(/^(?:request-invalid: key credential link: no Key(?:ID|Material|Usage)|nothing thrown)$/);
    }
  });
});

describe('the CustomKeyInformation', () => {
  it('of the blobs ends after 2, 4, 6 and 15 bytes', () => {
    const sizes = blobs.map(({ parsed }) => parsed.entries.find(({ id }) => id === 7)?.length);
    expect([...new Set(sizes)].sort((a, b) => Number(a) - Number(b))).toEqual([2, 4, 6, 15]);
  });

  it.each([
    ['0102', { version: 1, flags: 2 }],
    ['01000000', { version: 1, flags: 0, volumeType: 0, supportsNotification: 0 }],
    ['0100000101', { version: 1, flags: 0, volumeType: 0, supportsNotification: 1, fekKeyVersion: 1 }],
    [
      '010000010002',
      { version: 1, flags: 0, volumeType: 0, supportsNotification: 1, fekKeyVersion: 0, keyStrength: 2 },
    ],
    [
      '010101000000aabb',
      {
        ...{ version: 1, flags: 1, volumeType: 1, supportsNotification: 0, fekKeyVersion: 0, keyStrength: 0 },
        rest: fromHex('aabb'),
      },
    ],
  ])('%s is read as far as it goes, and written back', (hex, information) => {
    expect(decodeCustomKeyInformation(fromHex(hex))).toEqual(information);
    expect(toHex(encodeCustomKeyInformation(information))).toBe(hex);
  });

  it('is refused with fewer than 2 bytes, and not written with a gap', () => {
    for (const hex of ['', '01']) {
      expect(refusal(() => decodeCustomKeyInformation(fromHex(hex)))).toMatch(
        /length [01], at least 2 bytes expected$/,
      );
    }
    expect(() => encodeCustomKeyInformation({ version: 1, flags: 0, keyStrength: 1 })).toThrow(TypeError);
    expect(() => encodeCustomKeyInformation({ version: 1, flags: 0, rest: fromHex('00') })).toThrow(TypeError);
  });
});

describe('buildKeyCredentialLink', () => {
  const { keyCredential, rsa1Hex } = cng.rsa2048;
  const credential = {
    keyMaterial: fromHex(rsa1Hex),
    source: KEY_CREDENTIAL_SOURCE.AD,
    deviceId: keyCredential.deviceId as string,
    customKeyInformation: { version: 1, flags: 2 },
    lastLogon: BigInt(keyCredential.filetime),
    created: BigInt(keyCredential.filetime),
  };

  it('makes the blob that a key registration writes to the directory, and its DN-Binary value', () => {
    const blob = buildKeyCredentialLink(credential);
    expect(toHex(blob)).toBe(keyCredential.blobHex);
    const { dn } = decodeDnBinary(keyCredential.dnWithBinary);
    expect(encodeDnBinary({ binary: blob, dn })).toBe(keyCredential.dnWithBinary);
    expect(findKeyCredentialProblems(parseKeyCredentialLink(blob))).toEqual([]);
  });

  it('makes the blob for a computer that writes its own key, without times of use or custom information', () => {
    const { lastLogon: _, customKeyInformation: __, ...computer } = credential;
    expect(parseKeyCredentialLink(buildKeyCredentialLink(computer)).entries.map(({ id }) => id)).toEqual([
      1, 2, 3, 4, 5, 6, 9,
    ]);
  });

  it('keeps unknown entries, byte for byte and in order', () => {
    const otherEntries = [
      { id: 200, value: fromHex('01') },
      { id: 10, value: fromHex('') },
    ];
    const blob = buildKeyCredentialLink({ ...credential, otherEntries });
    const link = parseKeyCredentialLink(blob);
    expect(link.entries.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 200]);
    expect(toHex(encodeKeyCredentialLink(link.entries))).toBe(toHex(blob));
    expect(findKeyCredentialProblems(link)).toEqual([]);
  });

  it('refuses other entries with known or equal identifiers, and values out of range', () => {
    const other = (...ids: number[]) => ({ otherEntries: ids.map((id) => ({ id, value: fromHex('') })) });
    expect(() => buildKeyCredentialLink({ ...credential, ...other(9) })).toThrow(TypeError);
    expect(() => buildKeyCredentialLink({ ...credential, ...other(0) })).toThrow(TypeError);
    expect(() => buildKeyCredentialLink({ ...credential, ...other(10, 10) })).toThrow(TypeError);
    expect(() => buildKeyCredentialLink({ ...credential, ...other(256) })).toThrow(RangeError);
    expect(() => buildKeyCredentialLink({ ...credential, deviceId: 'x' })).toThrow(TypeError);
    expect(() => buildKeyCredentialLink({ ...credential, usage: 256 })).toThrow(RangeError);
    expect(() => buildKeyCredentialLink({ ...credential, created: -1n })).toThrow(RangeError);
    expect(() => buildKeyCredentialLink({ ...credential, keyMaterial: new Uint8Array(65536) })).toThrow(RangeError);
  });

  it('makes blobs that are read back as given, for any input', () => {
    const time = fc.bigInt({ min: 0n, max: 2_600_000_000_000_000_000n });
    const bytes = (min: number, max: number) => fc.uint8Array({ minLength: min, maxLength: max });
    const values = fc.record(
      {
        ...{ keyMaterial: bytes(1, 40), keyId: bytes(1, 70), usage: fc.nat({ max: 255 }), source: fc.nat({ max: 2 }) },
        ...{ deviceId: fc.uuid(), lastLogon: time, created: time },
        customKeyInformation: bytes(2, 20).map(decodeCustomKeyInformation),
      },
      { requiredKeys: ['keyMaterial', 'keyId', 'usage'], noNullPrototype: true },
    );
    fc.assert(
      fc.property(values, (given) => {
        const { keyHash, entries, ...read } = parseKeyCredentialLink(buildKeyCredentialLink(given));
        expect(read).toEqual(given);
        expect(keyHash).toEqual(digest('sha256', encodeKeyCredentialLink(entries.slice(2)).subarray(4)));
      }),
      { numRuns: 100 },
    );
  });
});

describe('parseKeyCredentialLink', () => {
  const bytes = fromHex(cng.rsa2048.keyCredential.blobHex);
  const { entries } = parseKeyCredentialLink(bytes);
  const withEntries = (change: (list: typeof entries) => typeof entries) => encodeKeyCredentialLink(change(entries));
  const without = (id: number) => withEntries((list) => list.filter((entry) => entry.id !== id));
  const set = (id: number, hex: string) =>
    withEntries((list) => list.map((entry) => (entry.id === id ? { id, value: fromHex(hex) } : entry)));
  it.each([
    ['version 0', concat(fromHex('00000000'), bytes.subarray(4)), 'its version is 0x0, not 0x200'],
    ['version 0x100', concat(fromHex('00010000'), bytes.subarray(4)), 'its version is 0x100, not 0x200'],
    ['no KeyID', without(1), 'no KeyID'],
    ['no key material', without(3), 'no KeyMaterial'],
    ['empty key material', set(3, ''), 'no KeyMaterial'],
    ['no usage', without(4), 'no KeyUsage'],
    ['a KeyHash of 31 bytes', set(2, '00'.repeat(31)), 'entry 2 has 31 bytes, 32 expected'],
    ['a usage of 2 bytes', set(4, '0100'), 'entry 4 has 2 bytes, 1 expected'],
    ['a device id of 15 bytes', set(6, '00'.repeat(15)), 'entry 6 has 15 bytes, 16 expected'],
    ['a time of 7 bytes', set(9, '00'.repeat(7)), 'entry 9 has 7 bytes, 8 expected'],
    ['two usages', withEntries((list) => [...list, ...list.slice(3, 4)]), 'two USAGE entries'],
    ['2 bytes too many', concat(bytes, fromHex('0000')), 'cut off in the entry at offset 414'],
  ])('refuses %s', (_, blob, problem) => {
    expect(refusal(() => parseKeyCredentialLink(blob))).toBe(`request-invalid: key credential link: ${problem}`);
  });

  it('accepts any bytes, or refuses them with its own error', () => {
    const blob = fc.uint8Array({ maxLength: 60 }).map((tail) => concat(fromHex('00020000'), tail));
    fc.assert(
      fc.property(blob, (any) => {
        expect(refusal(() => parseKeyCredentialLink(any))).toMatch(/^(?:nothing thrown$|request-invalid: )/);
      }),
      { numRuns: 300 },
    );
  });

  it('reports the problems of a readable blob', () => {
    const checks = (blob: Uint8Array) =>
      findKeyCredentialProblems(parseKeyCredentialLink(blob)).map(({ check }) => check);
    expect(checks(without(2))).toEqual(['key-hash']);
    expect(checks(set(1, '00'.repeat(32)))).toEqual(['key-id']);
    expect(checks(set(7, '0200'))).toEqual(['key-hash', 'custom-key-information']);
    expect(checks(set(3, 'ff00'))).toEqual(['key-id', 'key-hash', 'key-material']);
    expect(checks(set(3, '525341310008'))).toEqual(['key-id', 'key-hash', 'key-material']);
    expect(checks(withEntries((list) => [...list].reverse()))).toEqual(['order', 'key-hash']);
    const weak = cng.roca.vectors.find(({ weak }: { weak: boolean }) => weak).modulusHex as string;
    const material = encodePkcs1({ kty: 'RSA', n: fromHex(weak), e: fromHex('010001') });
    const link = { keyMaterial: material, usage: KEY_CREDENTIAL_USAGE.STK };
    expect(checks(buildKeyCredentialLink(link))).toEqual(['key-strength']);
  });
});

describe('decodeKeyMaterial', () => {
  it('reads a key in SPKI, and refuses broken forms', () => {
    expect(decodeKeyMaterial(encodeSpki(rsa))).toEqual({ form: 'spki', publicKey: rsa });
    expect(decodeKeyMaterial(encodePkcs1(rsa))).toEqual({ form: 'pkcs1', publicKey: rsa });
    expect(decodeKeyMaterial(fromHex('00'))).toBe(undefined);
    for (const broken of [fromHex('3000'), utf8('RSA1'), utf8('PCPM'), utf8('{}'), utf8('{"authData":"AAAA"}')]) {
      expect(refusal(() => decodeKeyMaterial(broken))).toMatch(/^request-invalid: /);
    }
  });
});

const LINE_BREAK = 'it has a line break: pass one value at a time, and write one in a name as \\0A';
describe('a DN-Binary value', () => {
  it.each(dnWithBinary)('$name is read and written back, or refused', ({ string, valid, dn }) => {
    if (!valid) return expect(refusal(() => decodeDnBinary(string))).toMatch(/^request-invalid: DN-Binary value: /);
    const value = decodeDnBinary(string);
    expect(value.dn).toBe(dn);
    expect(encodeDnBinary(value)).toBe(string);
    parseKeyCredentialLink(value.binary);
  });

  it.each([
    ['B:2:AB:', 'it does not have the form B:count:digits:name'],
    ['S:2:AB:CN=a', 'it does not have the form B:count:digits:name'],
    ['B:02:AB:CN=a', 'it does not have the form B:count:digits:name'],
    ['B:2:AG:CN=a', 'it does not have the form B:count:digits:name'],
    ['B:3:ABC:CN=a', 'not an even number of hexadecimal digits'],
    ['B:4:AB:CN=a', 'it has 2 digits, but its count is 4'],
    ['B:2:AB:CN=a\nB:2:CD:CN=b', LINE_BREAK],
    ['B:2:AB:CN=a\r\n', LINE_BREAK],
  ])('%s is refused', (text, problem) => {
    expect(refusal(() => decodeDnBinary(text))).toBe(`request-invalid: DN-Binary value: ${problem}`);
  });

  it('keeps colons in the name, and accepts digits in lower case', () => {
    expect(decodeDnBinary('B:2:ab:CN=a:b')).toEqual({ binary: fromHex('ab'), dn: 'CN=a:b' });
    expect(() => encodeDnBinary({ binary: fromHex(''), dn: 'CN=a' })).toThrow(TypeError);
    expect(() => encodeDnBinary({ binary: fromHex('00'), dn: '' })).toThrow(TypeError);
    expect(() => encodeDnBinary({ binary: fromHex('00'), dn: 'CN=a\nb' })).toThrow(TypeError);
  });

  it.each(['nonsense', 'CN=a,', 'CN=a,b', '=a', ' ', 'CN=a\0', 'CN=a\\', `CN=${'x'.repeat(16_384)}`])(
    'is neither written nor read with the name %j',
    (dn) => {
      expect(() => encodeDnBinary({ binary: fromHex('00'), dn })).toThrow(TypeError);
      expect(refusal(() => decodeDnBinary(`B:2:00:${dn}`))).toMatch(/^request-invalid: DN-Binary value: its name/);
    },
  );

  it.each(['CN=a\\,b,OU=x+L=y', 'CN=a\\0AADEL:1, DC=é', '1.2.3=#0401', 'CN=', 'CN=a=b"<;'])(
    'keeps the name %j',
    (dn) => {
      expect(decodeDnBinary(encodeDnBinary({ binary: fromHex('00'), dn })).dn).toBe(dn);
    },
  );
});

describe('times and GUIDs', () => {
  it('FILETIME counts 100 ns since 1601, and .NET since year 1 with its kind in the highest bits', () => {
    expect(encodeFileTime(new Date('1601-01-01'))).toBe(0n);
    expect(encodeFileTime(new Date(0))).toBe(116444736000000000n);
    expect(decodeFileTime(-1n)).toEqual(new Date('1600-12-31T23:59:59.999Z'));
    expect(decodeFileTime(2n ** 64n - 1n).toISOString()).toBe('+060056-05-28T05:36:10.955Z');
    expect(encodeDotNetTime(0n)).toBe(0x4000000000000000n + 504911232000000000n);
    expect(decodeDotNetTime(0x4000000000000000n)).toBe(-504911232000000000n);
    expect(decodeDotNetTime(504911232000000000n)).toBe(0n);
    expect(decodeDotNetTime(0x8000000000000000n + 504911232000000000n)).toBe(0n);
    // A local time of year 1 east of Greenwich: one hour before year 1 in UTC.
    expect(decodeDotNetTime(0xc000000000000000n - 36000000000n)).toBe(-504911232000000000n - 36000000000n);
    expect(() => encodeDotNetTime(-504911232000000001n)).toThrow(RangeError);
    fc.assert(
      fc.property(
        fc.date({ noInvalidDate: true, min: new Date('0001-01-01'), max: new Date('9999-12-31') }),
        (date) => {
          const time = encodeFileTime(date);
          expect(decodeFileTime(time + 9_999n)).toEqual(date);
          expect(decodeDotNetTime(encodeDotNetTime(time))).toBe(time);
        },
      ),
    );
  });

  it('a GUID has its first three numbers in little endian', () => {
    const guid = '10985e4b-0809-443d-8679-149422d9e170';
    expect(toHex(encodeGuid(guid.toUpperCase()))).toBe('4b5e981009083d448679149422d9e170');
    expect(decodeGuid(encodeGuid(guid))).toBe(guid);
    expect(() => encodeGuid(`{${guid}}`)).toThrow(TypeError);
    expect(refusal(() => decodeGuid(new Uint8Array(15)))).toBe('request-invalid: GUID: 15 bytes; a GUID has 16');
  });
});
