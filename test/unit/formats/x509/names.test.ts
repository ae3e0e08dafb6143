import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex, utf8 } from '../../../../src/bytes.ts';
import { DerNode } from '../../../../src/crypto/der-read.ts';
import { buildCommonName, decodeName, encodeName } from '../../../../src/formats/x509/names.ts';
import { anyText } from '../../../any-text.ts';

describe('a name', () => {
  const name = [
    [{ type: '0.9.2342.19200300.100.1.25', value: 'test' }],
    [
      { type: '2.5.4.3', value: 'Zoë' },
      { type: '2.5.4.6', value: 'DE' },
    ],
    [{ type: '2.5.4.45', value: '#03020780' }],
  ];

  it('is written in DER and read back', () => {
    const der = encodeName(name);
    const relatives = [
      `3114 3012 060a0992268993f22c640119 1604${toHex(utf8('test'))}`,
      `3118 3009 0603550406 1302${toHex(utf8('DE'))} 300b 0603550403 0c04${toHex(utf8('Zoë'))}`,
      '310b 3009 060355042d 03020780',
    ];
    expect(toHex(der)).toBe(`303d${relatives.join('').replaceAll(' ', '')}`);
    expect(decodeName(DerNode.lenient(der, 'name'))).toEqual([name[0], [...(name[1] ?? [])].reverse(), name[2]]);
  });

  it('stays different from others if its text has bytes that are not valid', () => {
    for (const byte of ['fe', 'ff']) {
      const der = fromHex(`300f310d300b06035504030c0461${byte}6161`);
      const read = decodeName(DerNode.lenient(der, 'name'));
      expect(read).toEqual([[{ type: '2.5.4.3', value: `#0c0461${byte}6161` }]]);
      expect(toHex(encodeName(read))).toBe(toHex(der));
    }
  });

  it('refuses what is not a name', () => {
    expect(() => decodeName(DerNode.lenient(fromHex('3003020100'), 'name'))).toThrow(
      expect.objectContaining({ code: 'request-invalid' }),
    );
  });

  it('reads back the same bytes, for any text', () => {
    fc.assert(
      fc.property(
        anyText.filter((text) => !text.startsWith('#') && !text.includes('\ufffd')),
        (text) => {
          const der = encodeName(buildCommonName(text));
          expect(decodeName(DerNode.lenient(der, 'name'))).toEqual(buildCommonName(text));
        },
      ),
    );
  });
});
