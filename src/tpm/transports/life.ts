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
  readonly #isFatal: (error: KeyprovError) => boolean;
  /** The promise of the last command or other work, and the limit of a command. */
  #work: Promise<unknown> | undefined;
  #limit: AbortSignal | undefined;
  readonly #watch = new AbortWatch();
  #running: Promise<unknown> | undefined;
  #death: KeyprovError | undefined;
  #closing: Promise<void> | undefined;

  /** @param isFatal whether the transport is dead after that error. */
  constructor(address: string, isFatal: (error: KeyprovError) => boolean = isTransportError) {
    this.#address = address;
    this.#isFatal = isFatal;
  }

  /** Why nothing can be sent now: the transport is closed, dead or busy. */
  get obstacle(): Error | undefined {
    if (this.#closing !== undefined)
      return new KeyprovError('transport-closed', `${this.#address}: the connection was closed`);
    if (this.#death !== undefined) {
      const problem = `${this.#address}: the connection is unusable after an earlier failure`;
      return new KeyprovError('transport-lost', problem, { cause: this.#death, remedy: 'open the TPM again' });
    }
    return this.#running && new TypeError(`${this.#address}: a command or power cycle is running`);
  }

  /** @throws the {@link obstacle}, if there is one. */
  requireIdle(): void {
    const { obstacle } = this;
    if (obstacle !== undefined) throw obstacle;
  }

  /** The error to throw for `error`, after which the transport may be dead. */
  die(error: unknown): KeyprovError {
    const known = isKeyprovError(error)
      ? error
      : new KeyprovError('transport-lost', `${this.#address}: the connection failed during a TPM command`, {
          cause: error,
        });
    if (this.#isFatal(known)) this.#death = known;
    return known;
  }

  /**
   * Runs `work`, which sends `command`, unless the transport is closed, dead or busy. An error of `work` that is not a
   * {@link KeyprovError} becomes one with `transport-lost`. When `limit` aborts, nobody waits for `work` any more.
   */
  async send(command: Uint8Array, { limit }: SendOptions, work: () => Promise<Bytes>): Promise<Bytes> {
    checkCommandFrame(command);
    this.requireIdle();
    const begun = work();
    const running = this.#watch.wait(begun, limit);
    [this.#work, this.#limit, this.#running] = [begun, limit, running];
    try {
      return await running;
    } catch (error) {
      const known = this.die(error);
      // The given-up work may still run, so it must not meet another.
      if (limit?.aborted) this.#death ??= known;
      throw known;
    } finally {
      this.#running = undefined;
    }
  }

  /** Runs `work`, which is not a command, unless the transport is closed, dead or busy. It is busy until `work` ends. */
  async alone(work: () => Promise<void>): Promise<void> {
    this.requireIdle();
    const running = work();
    [this.#work, this.#limit, this.#running] = [running, undefined, running];
    try {
      await running;
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
