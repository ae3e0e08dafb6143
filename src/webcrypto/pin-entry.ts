import { concatSecrets, wipe, withSecret } from '../bytes.ts';
import { PinError } from '../errors/pin-error.ts';
import { isKeyprovError, KeyprovError } from '../errors.ts';
import type { ProvidedKey } from '../keys/provider.ts';
import { askSecret, LONGEST_TIMER_MS } from '../signal.ts';
import { Queue } from '../tpm/queue.ts';

/** A request for a PIN. */
export interface PinRequest {
  readonly operation: 'generateKey' | 'sign' | 'decrypt' | 'deriveBits';
  /** The key that the PIN is for; undefined for a new key. */
  readonly key: ProvidedKey | undefined;
  /** After a wrong PIN: how many tries are left, if tries are counted. */
  readonly triesLeft?: number | undefined;
  /** After a wrong PIN: its error. */
  readonly lastError?: PinError | undefined;
}

/**
 * Asks for a PIN: UTF-8, at least one byte. The bytes are overwritten after use. To give up, throw: the operation is
 * rejected with that error. `signal` aborts when the PIN is no longer needed.
 */
export type PinPrompt = (request: PinRequest, options: { readonly signal: AbortSignal }) => Promise<Uint8Array>;

interface CachedPin {
  readonly pin: Uint8Array;
  readonly timer: NodeJS.Timeout;
}

/**
 * Gets PINs for operations, until `signal` aborts. Asks for and tries one PIN at a time, so prompts never overlap, and
 * an operation that waited finds the PIN that another one has just put into the cache.
 */
export class PinEntry {
  /** Whether to try a PIN even if a wrong one would lock the TPM. */
  readonly force: boolean;
  readonly #prompt: PinPrompt | undefined;
  readonly #cacheMs: number;
  readonly #signal: AbortSignal;
  /** By the private key as its provider keeps it: after a change of PIN it is another one. */
  readonly #cache = new Map<string, CachedPin>();
  readonly #queue = new Queue();

  constructor(prompt: PinPrompt | undefined, cacheMs: number, signal: AbortSignal, force = false) {
    if (!(cacheMs <= LONGEST_TIMER_MS))
      throw new RangeError(`pinCacheMs must be at most ${LONGEST_TIMER_MS}, not ${cacheMs}`);
    this.force = force;
    this.#prompt = prompt;
    this.#cacheMs = cacheMs;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#forgetAll(), { once: true });
  }

  /**
   * Runs `work` with the PIN of `key`, and again with another one as long as the PIN was wrong and the next would be
   * tried. Passes `undefined` for a key without a PIN, or if nobody can be asked.
   */
  async use<T>(
    key: ProvidedKey,
    operation: PinRequest['operation'],
    work: (pin: Uint8Array | undefined) => Promise<T>,
  ): Promise<T> {
    const prompt = this.#prompt;
    if (!key.hasPin) return await work(undefined);
    if (prompt === undefined) return await work(undefined).catch(nameOption); // a provider may ask on its own
    // The TPM provider does not try the PIN that could lock the TPM, unless forced.
    const untried = key.backend === 'tpm' && !this.force ? 1 : 0;
    return await this.#inTurn(async () => {
      let lastError: PinError | undefined;
      for (;;) {
        const cached = this.#cache.get(key.privateKey)?.pin;
        const pin = cached
          ? concatSecrets(cached)
          : await this.#ask(prompt, { operation, key, triesLeft: lastError?.triesLeft, lastError });
        try {
          const result = await work(pin);
          if (cached === undefined) this.#remember(key, pin);
          return result;
        } catch (error) {
          if (!(error instanceof PinError) || error.code !== 'pin-wrong') throw error;
          this.#forget(key.privateKey);
          if (error.triesLeft !== undefined && error.triesLeft <= untried) throw error;
          lastError = error;
        } finally {
          wipe(pin);
        }
      }
    });
  }

  /** Runs `work` with the PIN for a new key. @throws TypeError if nobody can be asked */
  async useNew<T>(work: (pin: Uint8Array) => Promise<T>): Promise<T> {
    const prompt = this.#prompt;
    if (prompt === undefined) throw new TypeError('a key with a PIN was requested, but no PIN callback was given');
    return await this.#inTurn(async () =>
      withSecret(await this.#ask(prompt, { operation: 'generateKey', key: undefined }), work),
    );
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.#queue.run(work, { signal: this.#signal });
  }

  /** Calls the prompt; an abort does not wait for it, and wipes a late answer. */
  async #ask(prompt: PinPrompt, request: PinRequest): Promise<Uint8Array> {
    const pin = await askSecret(
      'the result of the PIN callback',
      () => prompt(request, { signal: this.#signal }),
      this.#signal,
    );
    if (pin.length === 0) throw new TypeError('the PIN callback did not return any bytes');
    return pin;
  }

  #remember({ privateKey }: ProvidedKey, pin: Uint8Array): void {
    if (this.#cacheMs <= 0 || this.#signal.aborted) return;
    const timer = setTimeout(() => this.#forget(privateKey), this.#cacheMs);
    timer.unref();
    this.#cache.set(privateKey, { pin: concatSecrets(pin), timer });
  }

  #forget(privateKey: string): void {
    const cached = this.#cache.get(privateKey);
    if (cached === undefined) return;
    clearTimeout(cached.timer);
    wipe(cached.pin);
    this.#cache.delete(privateKey);
  }

  #forgetAll(): void {
    for (const privateKey of [...this.#cache.keys()]) this.#forget(privateKey);
  }
}

/** The provider does not know which option of its caller is missing. */
function nameOption(cause: unknown): never {
  if (!isKeyprovError(cause, 'pin-required')) throw cause;
  const remedy = 'pass pin, a function that asks for it, to createCrypto or webCrypto';
  throw new KeyprovError('pin-required', cause.message, { cause, remedy });
}
