import type { Bytes } from '../../bytes.ts';
import { isKeyprovError, KeyprovError } from '../../errors.ts';
import { AbortWatch, endsWithin } from '../../signal.ts';
import { checkCommandFrame } from '../frame.ts';
import { GIVEN_UP_MS, isTransportError, type SendOptions } from '../transport.ts';

/**
 * The life of a transport as `TpmTransport` describes it: one command at a time, dead after the first `transport-…`
 * error, closed once.
 */
export class TransportLife {
  readonly #address: string;
  /** The promise of the last command, and the limit of that command. */
  #work: Promise<unknown> | undefined;
  #limit: AbortSignal | undefined;
  readonly #watch = new AbortWatch();
  #running: Promise<unknown> | undefined;
  #death: KeyprovError | undefined;
  #closing: Promise<void> | undefined;

  constructor(address: string) {
    this.#address = address;
  }

  /**
   * Runs `work`, which sends `command`, unless the transport is closed, dead or busy. An error of `work` that is not a
   * {@link KeyprovError} becomes one with `transport-lost`. When `limit` aborts, nobody waits for `work` any more.
   */
  async send(command: Uint8Array, { limit }: SendOptions, work: () => Promise<Bytes>): Promise<Bytes> {
    checkCommandFrame(command);
    if (this.#closing !== undefined) throw new KeyprovError('transport-closed', `${this.#address}: closed`);
    if (this.#death !== undefined) {
      throw new KeyprovError('transport-lost', `${this.#address}: unusable since an earlier failure`, {
        cause: this.#death,
        remedy: 'open the TPM again',
      });
    }
    if (this.#running !== undefined) throw new TypeError(`${this.#address}: another command is running`);
    const begun = work();
    const running = this.#watch.wait(begun, limit);
    [this.#work, this.#limit, this.#running] = [begun, limit, running];
    try {
      return await running;
    } catch (error) {
      const known = isKeyprovError(error)
        ? error
        : new KeyprovError('transport-lost', `${this.#address}: the command failed`, { cause: error });
      if (isTransportError(known)) this.#death = known;
      throw known;
    } finally {
      this.#running = undefined;
    }
  }

  /**
   * Waits for the running command, then frees what the transport holds. Later calls get the same promise. Resources
   * that a given-up command still uses are freed when it ends; nobody waits for that.
   */
  close(free: () => Promise<void>): Promise<void> {
    this.#closing ??= this.#close(free);
    return this.#closing;
  }

  async #close(free: () => Promise<void>): Promise<void> {
    const freed = Promise.allSettled([this.#work]).then(free);
    await Promise.allSettled([this.#running]);
    if (this.#limit?.aborted) await endsWithin(GIVEN_UP_MS, freed);
    else await freed;
  }
}
