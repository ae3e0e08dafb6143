import { type Bytes, byteCount, copy, uint32At } from '../../bytes.ts';

/** Reads the parts of a structure in their order, never past its end. */
export class PartReader {
  readonly #bytes: Uint8Array;
  readonly #wrong: (problem: string) => Error;
  readonly #missing: (size: number, at: number, left: number) => string;
  #at = 0;

  /** `wrong` makes the error for a problem of the structure, and `missing` says more if bytes are missing. */
  constructor(
    bytes: Uint8Array,
    wrong: (problem: string) => Error,
    missing: (size: number, at: number, left: number) => string = () => '',
  ) {
    this.#bytes = bytes;
    this.#wrong = wrong;
    this.#missing = missing;
  }

  /** A copy of the next `size` bytes. */
  take(size: number): Bytes {
    const { length } = this.rest();
    if (size > length) throw this.#wrong(`cut off${this.#missing(size, this.#at, length)}`);
    this.#at += size;
    return copy(this.#bytes.subarray(this.#at - size, this.#at));
  }

  /** The next 4 bytes, big endian. */
  uint32(): number {
    return uint32At(this.take(4), 0);
  }

  /** All that is left. */
  rest(): Uint8Array {
    return this.#bytes.subarray(this.#at);
  }

  /** Checks that nothing is left over. */
  end(): void {
    const { length } = this.rest();
    if (length > 0) throw this.#wrong(`${byteCount(length)} left over`);
  }
}
