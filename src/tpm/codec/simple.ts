import { byteCount, isBytes } from '../../bytes.ts';
import { CodecError } from '../../errors/codec-error.ts';
import type { BitRange, Codec } from './codec.ts';

/** An unsigned integer of 1, 2 or 4 bytes. */
export function unsigned(name: string, size: 1 | 2 | 4): Codec<number> {
  const limit = 2 ** (8 * size);
  return {
    name,
    shape: { kind: 'integer', size },
    write: (out, value) => {
      if (!Number.isInteger(value) || value < 0 || value >= limit) {
        throw new CodecError(name, `${String(value)} is not an integer of ${byteCount(size)}`);
      }
      out.uint(size, value);
    },
    read: (input) => input.uint(size, name),
  };
}

/** An unsigned integer of 8 bytes. */
export function unsigned64(name: string): Codec<bigint> {
  return {
    name,
    shape: { kind: 'integer', size: 8 },
    write: (out, value) => {
      if (typeof value !== 'bigint' || value < 0n || value >> 64n !== 0n) {
        throw new CodecError(name, `${String(value)} is not a bigint of 8 bytes`);
      }
      out.uint64(value);
    },
    read: (input) => input.uint64(name),
  };
}

/** An unsigned integer limited to the listed values. */
export function oneOf<const V extends number>(name: string, size: 1 | 2 | 4, ...values: readonly V[]): Codec<V> {
  const allowed: ReadonlySet<number> = new Set(values);
  const check = (value: number): V => {
    if (!allowed.has(value)) throw new CodecError(name, `0x${Number(value).toString(16)} is not allowed here`);
    return value as V;
  };
  return {
    name,
    shape: { kind: 'integer', size, values },
    write: (out, value) => out.uint(size, check(value)),
    read: (input) => check(input.uint(size, name)),
  };
}

/** Maps each flag of T to its bit, and each number to its bit range. */
type Bits<T> = {
  readonly [K in keyof T]-?: [Exclude<T[K], undefined>] extends [boolean] ? number : readonly [number, number];
};

/**
 * A bit field. Set flags are `true`, others absent; numeric ranges are numbers, absent if 0. A reserved bit that is set
 * is an error.
 */
export function bitField<T extends object>(name: string, size: 1 | 2 | 4, bits: NoInfer<Bits<T>>): Codec<T> {
  const ranges = (Object.entries(bits) as [string, BitRange][]).map(([key, range]) => {
    const [low, width] = typeof range === 'number' ? [range, 1] : range;
    return { key, low, max: 2 ** width - 1, isFlag: typeof range === 'number' };
  });
  const known = ranges.reduce((mask, { low, max }) => mask | (max << low), 0);
  return {
    name,
    shape: { kind: 'bits', size, bits: bits as Readonly<Record<string, BitRange>> },
    write: (out, value) => {
      if (typeof value !== 'object' || value === null) throw new CodecError(name, 'must be an object');
      const fields = value as Readonly<Record<string, boolean | number | undefined>>;
      let bitsSet = 0;
      for (const key of Object.keys(fields)) {
        if (!Object.hasOwn(bits, key)) throw new CodecError(name, `no such attribute: ${key}`);
      }
      for (const { key, low, max, isFlag } of ranges) {
        const field = fields[key];
        if (field === undefined) continue;
        if (isFlag && typeof field !== 'boolean') throw new CodecError(name, `${key} must be a boolean`);
        if (!isFlag && (typeof field !== 'number' || !Number.isInteger(field) || field < 0 || field > max)) {
          throw new CodecError(name, `${key} must be an integer from 0 to ${max}`);
        }
        bitsSet |= Number(field) << low;
      }
      out.uint(size, bitsSet >>> 0);
    },
    read: (input) => {
      const bitsSet = input.uint(size, name);
      const reserved = (bitsSet & ~known) >>> 0;
      if (reserved !== 0) throw new CodecError(name, `reserved bits 0x${reserved.toString(16)} are set`);
      const fields: Record<string, boolean | number> = {};
      for (const { key, low, max, isFlag } of ranges) {
        const field = (bitsSet >>> low) & max;
        if (field !== 0) fields[key] = isFlag ? true : field;
      }
      return fields as T;
    },
  };
}

/**
 * A TPM2B of bytes: a UINT16 length of at most `max`, then that many bytes. `secret` bytes must never be printed or
 * recorded.
 */
export function bytes16(
  name: string,
  max: number,
  { secret = false }: { readonly secret?: boolean } = {},
): Codec<Uint8Array> {
  const checkLength = (length: number) => {
    if (length > max) throw new CodecError(name, `${byteCount(length)}; at most ${max} are allowed`);
  };
  return {
    name,
    shape: { kind: 'bytes', max, lengthSize: 2, secret },
    write: (out, value) => {
      if (!isBytes(value)) throw new CodecError(name, 'must be a Uint8Array');
      checkLength(value.length);
      out.uint(2, value.length);
      out.raw(value);
    },
    read: (input) => {
      const length = input.uint(2, name);
      checkLength(length);
      const value = input.take(length, name);
      if (secret && input.wipeSecrets) value.fill(0);
      return value;
    },
  };
}

/** Exactly `length` bytes, without a length prefix. */
export function fixedBytes(name: string, length: number): Codec<Uint8Array> {
  return {
    name,
    shape: { kind: 'bytes', max: length, lengthSize: 0, fixed: length, secret: false },
    write: (out, value) => {
      if (!isBytes(value) || value.length !== length) {
        throw new CodecError(name, `must be a Uint8Array of ${byteCount(length)}`);
      }
      out.raw(value);
    },
    read: (input) => input.take(length, name),
  };
}
