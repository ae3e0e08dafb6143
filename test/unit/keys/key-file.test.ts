import { OctetString, Sequence } from 'asn1js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, fromHex, toHex, view } from '../../../src/bytes.ts';
import { decodePem, encodePem } from '../../../src/crypto/pem.ts';
import { decodeKeyFile, encodeKeyFile, type KeyFile } from '../../../src/keys/key-file.ts';
import { anyText } from '../../any-text.ts';
import { asyncRefusal } from '../../refusal.ts';

const LABEL = 'TSS2 PRIVATE KEY';
const file: KeyFile = {
  publicArea: fromHex('0003aabbcc'),
  privateArea: fromHex('0002ddee'),
  parent: 0x81000001,
  emptyAuth: true,
};
const pem = (hex: string) => encodePem(LABEL, fromHex(hex));
const hexOf = async (value: KeyFile) => toHex(decodePem(await encodeKeyFile(value), LABEL));

/** Type loadable, then `members`, all in one SEQUENCE. */
const loadable = (members: string) => `30${byte(8 + members.length / 2)}06066781050a0103${members}`;
const byte = (value: number) => value.toString(16).padStart(2, '0');
const REST = '02050081000001' + '04050003aabbcc' + '04040002ddee';

describe('encodeKeyFile', () => {
  it('writes type, emptyAuth, parent, public and private area, and nothing else', async () => {
    expect(await hexOf(file)).toBe(loadable(`a0030101ff${REST}`));
    expect(await hexOf({ ...file, emptyAuth: false })).toBe(loadable(`a003010100${REST}`));
  });

  it('writes the owner hierarchy as parent with four bytes, since its top bit is clear', async () => {
    expect(await hexOf({ ...file, parent: 0x40000001 })).toContain('020440000001');
  });

  it.each([
    ['a parent that is a transient handle', { parent: 0x80000001 }, /the parent 0x80000001 is neither/],
    ['a parent of NaN', { parent: Number.NaN }, /neither a persistent handle nor a hierarchy/],
    ['a public area without length bytes', { publicArea: fromHex('aabbcc') }, /public area is cut off/],
    ['an empty private area', { privateArea: fromHex('0000') }, /private area is cut off/],
  ])('refuses %s', async (_, change, message) => {
    const said = await asyncRefusal(() => encodeKeyFile({ ...file, ...change }));
    expect(said).toMatch(/^key-invalid: TSS2 key file: /);
    expect(said).toMatch(message);
  });
});

describe('decodeKeyFile', () => {
  const areas = fc.uint8Array({ minLength: 1, maxLength: 400 }).map((bytes) => {
    const length = new Uint8Array([bytes.length >> 8, bytes.length & 0xff]);
    return concat(length, view(bytes));
  });
  it('reads whatever encodeKeyFile writes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record(
          {
            publicArea: areas,
            privateArea: areas,
            parent: fc.oneof(fc.integer({ min: 0x81000000, max: 0x81ffffff }), fc.constantFrom(0x40000001, 0x4000000b)),
            emptyAuth: fc.boolean(),
            rsaParent: fc.boolean(),
            description: anyText,
          },
          { requiredKeys: ['publicArea', 'privateArea', 'parent', 'emptyAuth'] },
        ),
        async (value: KeyFile) => {
          expect(await decodeKeyFile(await encodeKeyFile(value))).toEqual(value);
        },
      ),
    );
  });

  it('reads a file without emptyAuth as one of a key with a PIN', async () => {
    expect(await decodeKeyFile(pem(loadable(REST)))).toEqual({ ...file, emptyAuth: false });
  });

  it('accepts TRUE encoded as 01', async () => {
    expect(await decodeKeyFile(pem(loadable(`a003010101${REST}`)))).toEqual(file);
  });

  it.each([
    ['an importable key', loadable(`a0030101ff${REST}`).replace('0a0103', '0a0104'), /the type is an importable key/],
    ['sealed data', loadable(`a0030101ff${REST}`).replace('0a0103', '0a0105'), /the type is sealed data/],
    ['another type', loadable(`a0030101ff${REST}`).replace('0a0103', '0a0106'), /the type is 2\.23\.133\.10\.1\.6/],
    ['a policy', loadable(`a0030101ffa1023000${REST}`), /the member 'policy' is not supported/],
    ['a secret', loadable(`a0030101ffa203040100${REST}`), /the member 'secret' is not supported/],
    ['an authPolicy', loadable(`a0030101ffa3023000${REST}`), /the member 'authPolicy' is not supported/],
    ['a parentName', loadable(`a0030101ffa603040100${REST}`), /the member 'parentName' is not supported/],
    ['a tag that nobody knows', loadable(`a0030101ffa703040100${REST}`), /an unknown member/],
    ['a member too many', loadable(`0201${'01'}a0030101ff${REST}`), /it has tag 0xa0, but 0x04 is expected/],
    ['TRUE written as 02', loadable(`a003010102${REST}`), /not DER/],
    ['members in another order', loadable(`a5030101ffa0030101ff${REST}`), /not DER/],
    ['emptyAuth twice', loadable(`a0030101ffa0030101ff${REST}`), /not DER/],
    [
      'a parent of five bytes without need',
      loadable(`a0030101ff0206000081000001${REST.slice(14)}`),
      /not in its shortest form/,
    ],
    ['a negative parent', loadable(`a0030101ff020481000001${REST.slice(14)}`), /an INTEGER is negative/],
    ['a parent above 32 bits', loadable(`a0030101ff02060100000000ff${REST.slice(14)}`), /the parent 0x1[0-9a-f]+ is/],
    [
      'a long form of length',
      loadable(`a0030101ff${REST}`).replace(/^30(..)/, '3081$1'),
      /a length is not in its shortest form/,
    ],
    ['an indefinite length', `${loadable(`a0030101ff${REST}`).replace(/^30../, '3080')}0000`, /a length is indefinite/],
    ['bytes left over', `${loadable(`a0030101ff${REST}`)}00`, /1 byte left over/],
    ['an area with a wrong length', loadable(`a0030101ff${REST.replace('0003aabbcc', '0004aabbcc')}`), /public area/],
    ['no areas', loadable('a0030101ff02050081000001'), /a part is missing/],
    ['nothing', '', /cut off/],
    ['no type', '3000', /a part is missing/],
  ])('refuses %s', async (_, hex, message) => {
    const said = await asyncRefusal(() => decodeKeyFile(pem(hex)));
    expect(said).toMatch(/^key-invalid: TSS2 key file: /);
    expect(said).toMatch(message);
  });

  it('refuses an octet string in pieces, which is BER', async () => {
    const pieces = new Sequence({
      value: [new OctetString({ value: [new OctetString({ valueHex: file.publicArea })], isConstructed: true })],
    });
    const constructed = toHex(new Uint8Array(pieces.valueBlock.toBER()));
    expect(constructed).toBe('240704050003aabbcc');
    const said = await asyncRefusal(() =>
      decodeKeyFile(pem(loadable(`a0030101ff02050081000001${constructed}04040002ddee`))),
    );
    expect(said).toMatch(/^key-invalid: TSS2 key file: /);
  });

  it('refuses a file cut off at any byte, and one with any byte changed that is not in an area', async () => {
    const der = decodePem(await encodeKeyFile(file), LABEL);
    const areasAt = toHex(der).indexOf('aabbcc') / 2;
    for (let at = 0; at < der.length; at++) {
      expect(await asyncRefusal(() => decodeKeyFile(encodePem(LABEL, der.subarray(0, at))))).toMatch(/^key-invalid: /);
      if (at >= areasAt && at < areasAt + 3) continue;
      const changed = der.map((value, index) => (index === at ? value ^ 0x40 : value));
      const said = await asyncRefusal(async () => {
        const read = await decodeKeyFile(encodePem(LABEL, changed));
        expect(toHex(decodePem(await encodeKeyFile(read), LABEL))).toBe(toHex(changed));
      });
      expect(said).toMatch(/^(?:key-invalid: .*|nothing thrown)$/);
    }
  });

  it('refuses another label', async () => {
    const other = (await encodeKeyFile(file)).replaceAll(LABEL, 'PRIVATE KEY');
    expect(await asyncRefusal(() => decodeKeyFile(other))).toMatch(/^key-invalid: the text must be one PEM block/);
  });
});
