import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { concat, fromBase64, fromHex, toHex } from '../../../../src/bytes.ts';
import { derOctets, derOid, derSequence, derValue } from '../../../../src/crypto/der-write.ts';
import { findDerQuirks } from '../../../../src/formats/x509/der-quirks.ts';
import { buildCommonName, encodeName } from '../../../../src/formats/x509/names.ts';
import { refusal } from '../../../refusal.ts';

describe('findDerQuirks', () => {
  const device = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8')).published[2];

  it("reports the long lengths in a Windows device's certificate, and where they are", () => {
    const der = fromBase64(device.rawBodyB64);
    const quirks = findDerQuirks(der);
    expect(quirks).toEqual([601, 637, 673, 709, 745].map((offset) => ({ kind: 'length-not-minimal', offset })));
    for (const { offset } of quirks) expect(toHex(der.subarray(offset, offset + 2))).toBe('0481');
  });

  it('reports a NUL in a name, and a common name that is too long', () => {
    const nul = encodeName([[{ type: '2.5.4.3', value: '#130241 00'.replace(' ', '') }]]);
    expect(findDerQuirks(nul)).toEqual([{ kind: 'nul-in-string', offset: 11 }]);
    expect(findDerQuirks(encodeName(buildCommonName('a'.repeat(64))))).toEqual([]);
    expect(findDerQuirks(encodeName(buildCommonName('a'.repeat(65))))).toEqual([
      { kind: 'common-name-too-long', offset: 11 },
    ]);
  });

  it('finds nothing in extensions that are not DER', () => {
    const extension = (value: Uint8Array) => derSequence(derOid('1.2.3'), derOctets(value));
    expect(findDerQuirks(extension(fromHex('c0ffee')))).toEqual([]);
    expect(findDerQuirks(extension(fromHex('3003040500')))).toEqual([]);
    expect(findDerQuirks(extension(fromHex('04810100')))).toEqual([{ kind: 'length-not-minimal', offset: 8 }]);
  });

  it('reads deeply nested values, and refuses truncated ones', () => {
    let der = derValue(0x05);
    for (let i = 0; i < 300; i++) der = derSequence(der);
    expect(findDerQuirks(der)).toEqual([]);
    const deep = concat(...Array.from({ length: 20_000 }, () => fromHex('3084000fffff')), new Uint8Array(0xfffff));
    expect(refusal(() => findDerQuirks(deep))).toMatch(/^request-invalid: /);
    expect(refusal(() => findDerQuirks(der.subarray(1)))).toMatch(/^request-invalid: /);
  });
});
