import { type Bytes, byteCount, checkObject, copy, view } from '../../bytes.ts';
import { CodecError } from '../../errors/codec-error.ts';
import { checkSize, LIMIT } from '../../limits.ts';

/**
 * Turns a value into the bytes of one structure of TPM 2.0 Part 2 and back. All integers are big endian.
 * `write` and `read` are function properties, so that T is invariant: a codec with a missing or an extra field
 * does not compile.
 */
export interface Codec<T> {
  /** The name of the structure in Part 2, for messages. */
  readonly name: string;
  /** Its shape, for generators, printers and tests. */
  readonly shape: Shape;
  /** Appends `value`. @throws CodecError if the value does not fit the structure. */
  readonly write: (out: Writer, value: T) => void;
  /** Reads one value. @throws CodecError if the bytes are not of that structure. */
  readonly read: (input: Reader) => T;
}

/** Any codec, if only its shape or name matters. */
export type AnyCodec = Pick<Codec<never>, 'name' | 'shape'>;

/** The shape of a codec. */
export type Shape =
  | { readonly kind: 'integer'; readonly size: 1 | 2 | 4 | 8; readonly values?: readonly number[] }
  | { readonly kind: 'bits'; readonly size: 1 | 2 | 4; readonly bits: Readonly<Record<string, BitRange>> }
  | {
      readonly kind: 'bytes';
      readonly max: number;
      /** Number of bytes of the length before them; 0 if there is none. */
      readonly lengthSize: 0 | 1 | 2;
      /** The only allowed length, if there is only one. */
      readonly fixed?: number;
      readonly secret: boolean;
    }
  | { readonly kind: 'struct'; readonly fields: FieldShapes }
  | {
      readonly kind: 'tagged';
      readonly before: FieldShapes;
      readonly tag: string;
      readonly tagCodec: AnyCodec;
      readonly head: FieldShapes;
      readonly cases: ReadonlyMap<number, FieldShapes>;
    }
  | { readonly kind: 'sized'; readonly inner: AnyCodec; readonly optional: boolean }
  | { readonly kind: 'list'; readonly item: AnyCodec; readonly max: number };

/** A single bit, or `[lowest bit, number of bits]`. */
export type BitRange = number | readonly [number, number];

/** The fields of a structure in wire order. */
export type FieldShapes = readonly (readonly [string, AnyCodec])[];

/** Prefixes the path of a codec error with the name of a field; returns any other error unchanged. */
export function withinField(error: unknown, field: string): unknown {
  return error instanceof CodecError ? error.within(field) : error;
}

/** Reads from a block of bytes, never past its end. Returns views of the block. */
export class Reader {
  readonly bytes: Bytes;
  /** Overwrites each field with a secret codec with zeros in the block while reading. */
  readonly wipeSecrets: boolean;
  position = 0;
  end: number;

  constructor(bytes: Uint8Array, wipeSecrets = false) {
    this.bytes = view(bytes);
    this.end = this.bytes.length;
    this.wipeSecrets = wipeSecrets;
  }

  /** Number of bytes not read yet. */
  get left(): number {
    return this.end - this.position;
  }

  /** The next `length` bytes. @throws CodecError if fewer are left. */
  take(length: number, name: string): Bytes {
    const from = this.#advance(length, name);
    return this.bytes.subarray(from, this.position);
  }

  /** The next unsigned integer of 1, 2 or 4 bytes. @throws CodecError if fewer bytes are left. */
  uint(size: 1 | 2 | 4, name: string): number {
    let at = this.#advance(size, name);
    let value = 0;
    for (let i = 0; i < size; i++) value = (value << 8) | (this.bytes[at++] as number);
    return value >>> 0;
  }

  /** The next unsigned integer of 8 bytes. @throws CodecError if fewer bytes are left. */
  uint64(name: string): bigint {
    return (BigInt(this.uint(4, name)) << 32n) | BigInt(this.uint(4, name));
  }

  #advance(length: number, name: string): number {
    const from = this.position;
    if (length > this.end - from) {
      throw new CodecError(name, `${byteCount(length)} needed at offset ${from}, ${this.end - from} left`);
    }
    this.position = from + length;
    return from;
  }
}

/** Collects bytes. Grows as needed; `wipe` overwrites all it ever held. */
export class Writer {
  #bytes: Bytes = new Uint8Array(512);
  #length = 0;

  /** Number of bytes written. */
  get length(): number {
    return this.#length;
  }

  /** The bytes written so far, as a view that is valid until the next write. */
  get written(): Bytes {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Appends `bytes` as they are. */
  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** Appends an unsigned integer of 1, 2 or 4 bytes. */
  uint(size: 1 | 2 | 4, value: number): void {
    this.#put(this.#reserve(size), size, value);
  }

  /** Appends an unsigned integer of 8 bytes. */
  uint64(value: bigint): void {
    this.uint(4, Number(value >> 32n));
    this.uint(4, Number(value & 0xffff_ffffn));
  }

  /** Overwrites an unsigned integer written before, at offset `at`. */
  patch(at: number, size: 1 | 2 | 4, value: number): void {
    this.#put(at, size, value);
  }

  /** Overwrites everything with zeros. */
  wipe(): void {
    this.#bytes.fill(0, 0, this.#length);
    this.#length = 0;
  }

  /** A Uint8Array keeps the lowest 8 bits of each number. */
  #put(at: number, size: number, value: number): void {
    const bytes = this.#bytes;
    let next = at;
    if (size === 4) {
      bytes[next++] = value >>> 24;
      bytes[next++] = value >>> 16;
    }
    if (size > 1) bytes[next++] = value >>> 8;
    bytes[next] = value;
  }

  #reserve(length: number): number {
    const at = this.#length;
    if (at + length > this.#bytes.length) {
      const old = this.#bytes;
      this.#bytes = new Uint8Array(Math.max(2 * old.length, at + length));
      this.#bytes.set(old);
      old.fill(0);
    }
    this.#length = at + length;
    return at;
  }
}

/** Made once: making it costs a quarter of the time to write a public area. */
let spare: Writer | undefined;

/** Runs `work` with a writer of its own, and overwrites the writer afterwards. */
export function withWriter<T>(work: (out: Writer) => T): T {
  const out = spare ?? new Writer();
  spare = undefined;
  try {
    return work(out);
  } finally {
    out.wipe();
    spare = out;
  }
}

/** Encodes `value`. @throws CodecError if the value does not fit the structure. */
export function encode<T>(codec: Codec<T>, value: T): Bytes {
  checkObject(codec, 'the structure to encode', 'write');
  return withWriter((out) => {
    codec.write(out, value);
    return copy(out.written);
  });
}

/** Decodes all of `bytes`. @throws CodecError for other bytes, left-over bytes, or more than 128 KiB. */
export function decode<T>(codec: Codec<T>, bytes: Uint8Array): T {
  checkObject(codec, 'the structure to decode', 'read');
  checkSize(bytes, LIMIT.structure, (problem) => new CodecError(codec.name, problem));
  const input = new Reader(bytes);
  const value = codec.read(input);
  expectEnd(input, codec.name);
  return value;
}

/** Checks that everything was read. @throws CodecError with the number of bytes left over. */
export function expectEnd(input: Reader, name: string): void {
  if (input.left !== 0) throw new CodecError(name, `${byteCount(input.left)} left over at offset ${input.position}`);
}
