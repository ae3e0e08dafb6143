import { type Bytes, concat } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';

/** The DER tags (X.690, 8.1.2) that keys and signatures are made of. */
export const DER = { INTEGER: 0x02, BIT_STRING: 0x03, SEQUENCE: 0x30 } as const;

/** One DER value: tag, shortest length, and all `parts` as its content. */
export function derValue(tag: number, ...parts: readonly Uint8Array[]): Bytes {
  const content = concat(...parts);
  const length = [];
  for (let rest = content.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
  const head = content.length < 0x80 ? [tag, content.length] : [tag, 0x80 | length.length, ...length];
  return concat(new Uint8Array(head), content);
}

/** A DER INTEGER of the unsigned big-endian number `value`, which may have leading zeros. */
export function derUnsigned(value: Uint8Array): Bytes {
  const first = value.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? new Uint8Array(1) : value.subarray(first);
  return derValue(DER.INTEGER, (digits[0] ?? 0) >= 0x80 ? new Uint8Array(1) : new Uint8Array(0), digits);
}

/**
 * Reads DER values one after the other, and only in their one right form (X.690, 10.1: shortest definite length).
 * What it returns are views. All its errors are KeyprovError `key-invalid`.
 */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #at = 0;

  /** `what` names the bytes in messages. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  /** The content of the next value, which must have this tag. */
  value(tag: number): Uint8Array {
    if (this.#byte() !== tag) throw this.#wrong(`DER tag 0x${tag.toString(16).padStart(2, '0')} expected`);
    let length = this.#byte();
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count < 1 || count > 4) throw this.#wrong('DER length too long or indefinite');
      length = 0;
      for (let i = 0; i < count; i++) length = length * 256 + this.#byte();
      if (length < (count === 1 ? 0x80 : 256 ** (count - 1))) throw this.#wrong('DER length not in its shortest form');
    }
    if (length > this.#bytes.length - this.#at) throw this.#wrong('cut off');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** The next value, an INTEGER above zero, as big-endian bytes without leading zeros. */
  unsigned(): Uint8Array {
    const content = this.value(DER.INTEGER);
    const [first = 0x80, second = 0] = content;
    if (first >= 0x80) throw this.#wrong('DER INTEGER negative or empty');
    if (first === 0 && second < 0x80) throw this.#wrong('DER INTEGER zero or not in its shortest form');
    return first === 0 ? content.subarray(1) : content;
  }

  /** Checks that nothing is left over. */
  end(): void {
    if (this.#at !== this.#bytes.length) throw this.#wrong(`${this.#bytes.length - this.#at} bytes left over`);
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw this.#wrong('cut off');
    return byte;
  }

  #wrong(problem: string): KeyprovError {
    return new KeyprovError('key-invalid', `${this.#what}: ${problem} at offset ${this.#at}`);
  }
}
