import type { Bytes } from '../bytes.ts';
import type { TpmsContext } from './structures/context.ts';

/** What a {@link TpmObject} needs of the `Tpm` that holds it. */
interface Holder {
  flushObject(object: TpmObject): Promise<void>;
}

/**
 * A transient object that a command has loaded. Pass the object itself to commands, not its handle: the `Tpm` may swap
 * it out to make room for another one and load it again, which changes the handle.
 */
export class TpmObject {
  /** The Name of the object. Part 1, 16. */
  readonly name: Bytes;
  /** The present handle; `undefined` while swapped out, and after `flush`. The `Tpm` sets it. */
  handle: number | undefined;
  /** The saved object while it is swapped out. The `Tpm` sets it. */
  context: TpmsContext | undefined;
  readonly #holder: Holder;

  constructor(holder: Holder, handle: number, name: Bytes) {
    this.#holder = holder;
    this.handle = handle;
    this.name = name;
  }

  /** Removes the object from the TPM. Idempotent. */
  async flush(): Promise<void> {
    await this.#holder.flushObject(this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.flush();
  }
}
