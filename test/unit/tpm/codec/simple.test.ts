import { describe, expect, it } from 'vitest';
import { toHex } from '../../../../src/bytes.ts';
import {
  bitField,
  bytes16,
  type Codec,
  CodecError,
  decode,
  encode,
  fixedBytes,
  oneOf,
  Reader,
  unsigned,
  unsigned64,
} from '../../../../src/tpm/codec/index.ts';
import { checkCodec } from '../../../check-codec.ts';

/** The codec's error for a value that also has the wrong type. */
function refusal(codec: Codec<never>, value: unknown): string {
  try {
    encode(codec, value as never);
  } catch (error) {
    if (error instanceof CodecError) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('unsigned', () => {
  it.each([
    [1, 0, '00'],
    [1, 0xff, 'ff'],
    [2, 0xff00, 'ff00'],
    [4, 0x80000000, '80000000'],
    [4, 0xffffffff, 'ffffffff'],
  ] as const)('writes %i bytes, big endian: %i', (size, value, hex) => {
    checkCodec(unsigned('N', size), value, hex);
  });

  it.each([-1, 256, 1.5, Number.NaN, '1', 1n, undefined, null])('refuses %s as one byte', (value) => {
    expect(refusal(unsigned('N', 1) as never, value)).toBe(`N: ${String(value)} is not an integer of 1 byte`);
  });
});

describe('unsigned64', () => {
  it.each([
    [0n, '0000000000000000'],
    [2n ** 53n + 1n, '0020000000000001'],
    [0xffff_ffff_ffff_ffffn, 'ffffffffffffffff'],
    [0x8000_0000_0000_0001n, '8000000000000001'],
    [0xffff_ffffn, '00000000ffffffff'],
  ])('keeps all bits of %i', (value, hex) => {
    checkCodec(unsigned64('N'), value, hex);
  });

  it.each([-1n, 2n ** 64n, 1, '1'])('refuses %s', (value) => {
    expect(refusal(unsigned64('N') as never, value)).toBe(`N: ${String(value)} is not a bigint of 8 bytes`);
  });
});

describe('oneOf', () => {
  const codec = oneOf('KIND', 2, 1, 0x8017);

  it('accepts the listed values', () => {
    checkCodec(codec, 0x8017, '8017');
  });

  it('refuses every other one, written or read', () => {
    expect(refusal(codec as never, 2)).toBe('KIND: 0x2 is not allowed here');
    expect(() => decode(codec, new Uint8Array([0x80, 0x18]))).toThrow('KIND: 0x8018 is not allowed here');
  });
});

describe('bitField', () => {
  interface Flags {
    low?: boolean;
    range?: number;
    high?: boolean;
  }
  const codec = bitField<Flags>('FLAGS', 4, { low: 0, range: [4, 4], high: 31 });

  it('reads a set attribute as true and leaves out the others', () => {
    checkCodec(codec, { low: true, range: 9, high: true }, '80000091');
    checkCodec(codec, {}, '00000000');
  });

  it('writes false and 0 like an absent attribute', () => {
    expect(toHex(encode(codec, { low: false, range: 0 }))).toBe('00000000');
  });

  it('refuses reserved bits that are set', () => {
    expect(() => decode(codec, new Uint8Array([0, 0, 0, 3]))).toThrow('FLAGS: reserved bits 0x2 are set');
  });

  it.each([
    [{ lowest: true }, 'FLAGS: no such attribute: lowest'],
    [{ low: 1 }, 'FLAGS: low must be a boolean'],
    [{ range: 16 }, 'FLAGS: range must be an integer from 0 to 15'],
    [{ range: -1 }, 'FLAGS: range must be an integer from 0 to 15'],
    [{ range: '5' }, 'FLAGS: range must be an integer from 0 to 15'],
    [{ range: true }, 'FLAGS: range must be an integer from 0 to 15'],
    [null, 'FLAGS: must be an object'],
    [5, 'FLAGS: must be an object'],
  ])('refuses %o', (value, message) => {
    expect(refusal(codec as never, value)).toBe(message);
  });
});

describe('bytes16', () => {
  const codec = bytes16('TPM2B_X', 3);

  it('writes the length in two bytes', () => {
    checkCodec(codec, new Uint8Array([1, 2, 3]), '0003010203');
    checkCodec(codec, new Uint8Array(0), '0000');
  });

  it('refuses more than its structure holds, written or read, even when all bytes are there', () => {
    expect(refusal(codec as never, new Uint8Array(4))).toBe('TPM2B_X: 4 bytes; at most 3 are allowed');
    expect(() => decode(codec, new Uint8Array([0, 4, 1, 2, 3, 4]))).toThrow('TPM2B_X: 4 bytes; at most 3 are allowed');
  });

  it('accepts only bytes', () => {
    expect(refusal(codec as never, '010203')).toBe('TPM2B_X: must be a Uint8Array');
    expect(refusal(codec as never, [1, 2, 3])).toBe('TPM2B_X: must be a Uint8Array');
  });

  it('accepts a Buffer and returns a plain Uint8Array', () => {
    const value = decode(codec, Buffer.from(encode(codec, Buffer.from([7]))));
    expect(value.constructor).toBe(Uint8Array);
    expect(toHex(value)).toBe('07');
  });

  it('is overwritten on the way when it is secret and the reader is told to', () => {
    const bytes = new Uint8Array([0, 2, 5, 6]);
    bytes16('TPM2B_X', 3).read(new Reader(bytes, true));
    expect(toHex(bytes)).toBe('00020506');
    bytes16('TPM2B_X', 3, { secret: true }).read(new Reader(bytes));
    expect(toHex(bytes)).toBe('00020506');
    bytes16('TPM2B_X', 3, { secret: true }).read(new Reader(bytes, true));
    expect(toHex(bytes)).toBe('00020000');
  });
});

describe('fixedBytes', () => {
  it('has no length before the bytes', () => {
    checkCodec(fixedBytes('X', 3), new Uint8Array([1, 2, 3]), '010203');
  });

  it('refuses another length', () => {
    expect(refusal(fixedBytes('X', 3) as never, new Uint8Array(2))).toBe('X: must be a Uint8Array of 3 bytes');
  });
});
