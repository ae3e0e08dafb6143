import { type Bytes, byteCount, concat, copy, uint32 } from '../../bytes.ts';
import { causedBy, isKeyprovError, KeyprovError, rethrowAs } from '../../errors.ts';
import { checkSize, LIMIT } from '../../limits.ts';

/** Unsigned integers of 4 bytes, little endian, one after the other. */
export function littleEndian32s(...values: readonly number[]): Bytes {
  return concat(...values.map((value) => uint32(value).reverse()));
}

/** Reads Microsoft's structures of a header of UINT32s, little endian, and parts whose sizes are in the header. */
export class CountedParts {
  readonly #what: string;
  readonly #bytes: Uint8Array;

  /** `what` names the structure in messages. */
  constructor(what: string, bytes: Uint8Array) {
    this.#what = what;
    this.#bytes = bytes;
    checkSize(bytes, LIMIT.structure, (problem) => this.invalid(problem));
  }

  /** The first `count` UINT32s. */
  header(count: number): number[] {
    if (this.#bytes.length < 4 * count)
      throw this.invalid(`its header needs ${byteCount(4 * count)}, but it has ${this.#bytes.length}`);
    const data = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
    return Array.from({ length: count }, (_, i) => data.getUint32(4 * i, true));
  }

  /** Copies of the parts that follow the header of `headerSize` bytes; they must fill the rest exactly. */
  parts(headerSize: number, sizes: readonly number[]): Bytes[] {
    const total = sizes.reduce((sum, size) => sum + size, headerSize);
    if (total !== this.#bytes.length) {
      throw this.invalid(`its header and parts need ${byteCount(total)}, but it has ${this.#bytes.length}`);
    }
    let at = headerSize;
    return sizes.map((size) => {
      at += size;
      return copy(this.#bytes.subarray(at - size, at));
    });
  }

  /** Runs `work` on a part, and turns its errors into errors of the structure. */
  read<T>(work: () => T): T {
    return rethrowAs(work, (cause) =>
      isKeyprovError(cause) && cause.code !== 'request-invalid' ? this.invalid(cause.message, cause) : undefined,
    );
  }

  /** The error for a problem of the structure. */
  invalid(problem: string, cause?: unknown): KeyprovError {
    return new KeyprovError('request-invalid', `${this.#what}: ${problem}`, causedBy(cause));
  }
}
