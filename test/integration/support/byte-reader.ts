import type { Socket } from 'node:net';

/** Reads a socket in pieces of a given size. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #left: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.#chunks = socket[Symbol.asyncIterator]();
  }

  /** The next `size` bytes; undefined if the other side has closed before sending them. */
  async take(size: number): Promise<Buffer | undefined> {
    while (this.#left.length < size) {
      const { value, done } = await this.#chunks.next().catch(() => ({ value: undefined, done: true }));
      if (done || value === undefined) return undefined;
      this.#left = Buffer.concat([this.#left, value]);
    }
    const taken = this.#left.subarray(0, size);
    this.#left = this.#left.subarray(size);
    return taken;
  }

  /** The next UINT32; undefined if the other side has closed. */
  async uint32(): Promise<number | undefined> {
    return (await this.take(4))?.readUInt32BE();
  }
}
