import type { Bytes } from '../../bytes.ts';
import { isKeyprovError, KeyprovError } from '../../errors.ts';
import { checkCommandFrame } from '../frame.ts';

/**
 * The life of a transport as `TpmTransport` describes it: one command at a time, dead after the first
 * `transport-…` error, closed once.
 */
export class TransportLife {
  readonly #address: string;
  #running: Promise<unknown> | undefined;
  #death: KeyprovError | undefined;
  #closing: Promise<void> | undefined;

  constructor(address: string) {
    this.#address = address;
  }

  /**
   * Runs `work`, which sends `command`, unless the transport is closed, dead or busy.
   * Whatever `work` throws that is not a {@link KeyprovError} becomes one with `transport-lost`.
   */
  async send(command: Uint8Array, work: () => Promise<Bytes>): Promise<Bytes> {
    checkCommandFrame(command);
    if (this.#closing !== undefined) throw new KeyprovError('transport-closed', `${this.#address}: closed`);
    if (this.#death !== undefined) {
      throw new KeyprovError('transport-lost', `${this.#address}: unusable since an earlier failure`, {
        cause: this.#death,
        remedy: 'open the TPM again',
      });
    }
    if (this.#running !== undefined) throw new TypeError(`${this.#address}: another command is running`);
    const running = work();
    this.#running = running;
    try {
      return await running;
    } catch (error) {
      const known = isKeyprovError(error)
        ? error
        : new KeyprovError('transport-lost', `${this.#address}: the command failed`, { cause: error });
      if (known.code.startsWith('transport-')) this.#death = known;
      throw known;
    } finally {
      this.#running = undefined;
    }
  }

  /** Waits for the running command, then frees what the transport holds. Later calls get the same promise. */
  close(free: () => Promise<void>): Promise<void> {
    this.#closing ??= Promise.allSettled([this.#running]).then(free);
    return this.#closing;
  }
}
