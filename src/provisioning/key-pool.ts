import { type AttestationKey, createAttestationKey } from '../attestation/attestation-key.ts';
import { isKeyprovError, KeyprovError, undoOnFailure, withCleanup } from '../errors.ts';
import { type KeySources, leaseTpm } from '../keys/key-sources.ts';
import type { PreparedTpmKey } from '../keys/prepared-key.ts';
import {
  SELECTION_MEMBERS,
  type SelectionOptions,
  selectKeyProvider,
  selectProvider,
} from '../keys/select-provider.ts';
import { proveNewKey } from '../keys/storage-parent.ts';
import { TpmKeyProvider, type TpmKeyProviderOptions } from '../keys/tpm-provider.ts';
import { checkMembers } from '../known-members.ts';
import type { Policy } from '../policy/index.ts';
import { type SignalOptions, unlessAborted } from '../signal.ts';
import { readProperties } from '../tpm/capabilities.ts';
import { ReadClock } from '../tpm/commands/clock.ts';
import { ReadPublic } from '../tpm/commands/object.ts';
import { TPM_PT } from '../tpm/constants.ts';
import { Queue } from '../tpm/queue.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { isTransportError } from '../tpm/transport.ts';
import type { KeyStock } from './key-request.ts';
import {
  checkTypes,
  MAKE_MEMBERS,
  type ProvisionedKey,
  type ProvisionKeyOptions,
  provisionFromStock,
  REQUEST_MEMBERS,
} from './provision-key.ts';

/** Options of {@link createKeyPool}. */
export interface KeyPoolOptions {
  readonly policy: Policy;
  /** Where to make keys. A TPM that the pool opens stays open until the pool is closed. */
  readonly sources: KeySources;
  /** How many keys to keep ready. Default 1. */
  readonly size?: number | undefined;
  readonly tpmOptions?: TpmKeyProviderOptions | undefined;
}

/** Options of {@link KeyPool.take}. */
export interface TakeKeyOptions extends Omit<ProvisionKeyOptions, 'policy' | 'sources' | 'tpmOptions'> {
  /** The current policy. Default: the pool's policy. Keys that do not meet it are dropped. */
  readonly policy?: Policy | undefined;
}

/** Options of {@link KeyPool.check}. */
export interface CheckPoolOptions extends Omit<SelectionOptions, 'tpmOptions'> {
  /** The current policy. Default: the pool's policy. */
  readonly policy?: Policy | undefined;
}

/** Keys without PINs yet, all in one TPM. */
interface Stock {
  readonly tpm: Tpm;
  /** Closes the TPM if the pool has opened it. */
  readonly release: () => Promise<void>;
  /** The TPM's counters of resets, and of restarts and resumes, when it was opened. */
  readonly boot: string;
  readonly keys: PreparedTpmKey[];
  ak?: AttestationKey | undefined;
}

/**
 * Creates a pool of keys that the TPM makes before the user is asked for a PIN. It is empty until {@link KeyPool.fill}.
 * @throws RangeError if the size is not 1 to 100; TypeError for an unknown option.
 *
 * @example
 * ```ts
 * import { createKeyPool, definePolicy, keySources } from 'keyprov';
 *
 * declare const authenticate: () => Promise<{ readonly pin: Uint8Array; readonly challenge: Uint8Array }>;
 *
 * await using pool = createKeyPool({ policy: definePolicy(), sources: keySources() });
 * const filling = pool.fill().catch(() => 0); // take() reports what is wrong with the TPM
 * const { pin, challenge } = await authenticate(); // meanwhile the TPM makes the key
 * await filling;
 * const { record, request, pregenerated } = await pool.take({ pin, challenge });
 * console.log(record.id, request.body.length, pregenerated);
 * ```
 */
export function createKeyPool(options: KeyPoolOptions): KeyPool {
  options = checkMembers('createKeyPool', options, 'policy sources size:number? tpmOptions');
  checkTypes(options);
  const { size = 1 } = options;
  if (!Number.isInteger(size) || size < 1 || size > 100)
    throw new RangeError(`the size of a pool must be 1 to 100 keys, not ${size}`);
  return new KeyPool(options, size);
}

/**
 * Makes keys in advance. Keeps nothing on disk, so the next process starts with an empty pool. Drops keys that were
 * made before a TPM reset or before the machine slept. docs/key-pool.md says which parts are secret. Calls may overlap;
 * they run one after the other.
 */
export class KeyPool {
  readonly #options: KeyPoolOptions;
  readonly #capacity: number;
  readonly #queue = new Queue();
  readonly #closing = new AbortController();
  #stock: Stock | undefined;
  /** While {@link fill} makes a key: settles when the TPM is open, or cannot be opened. */
  #opening: Promise<Stock> | undefined;
  #closed: Promise<void> | undefined;

  /** Use {@link createKeyPool}. */
  constructor(options: KeyPoolOptions, capacity: number) {
    this.#options = options;
    this.#capacity = capacity;
  }

  /** How many keys are ready. */
  get size(): number {
    return this.#stock?.keys.length ?? 0;
  }

  /**
   * Makes keys, and the attestation key, until the pool is full. Makes none if policy discourages hardware: software
   * keys are never made in advance.
   * @returns how many keys are ready.
   * @throws KeyprovError `no-tpm`; the errors of `openTpm`; SelectionError and TpmError as `makeKey` does. The pool is
   * then empty, and {@link take} works without it.
   */
  async fill(options: SignalOptions = {}): Promise<number> {
    if (this.#options.policy.hardware === 'discouraged') return 0;
    const signal = this.#signalOf(options);
    while (this.size < this.#capacity) await this.#makeOne(signal);
    return this.size;
  }

  /**
   * Checks whether {@link take} can get a key, as `provision` does before the user authenticates. It does not wait for
   * the keys that {@link fill} is making: their TPM and passwords were proved under the pool's policy.
   * @throws as `selectKeyProvider` does.
   */
  async check(given: CheckPoolOptions): Promise<void> {
    given = checkMembers('KeyPool.check', given, SELECTION_MEMBERS, 'policy');
    const { policy = this.#options.policy, ...options } = given;
    const { tpmOptions } = this.#options;
    const signal = this.#signalOf(options);
    const opening = this.#opening;
    if (this.#stock === undefined) await unlessAborted(() => Promise.allSettled([opening]), signal);
    // The opening has proved that the TPM can make a key, which may take seconds.
    if (opening !== undefined && this.#stock !== undefined) return;
    await this.#queue.run(
      async () => {
        const sources = this.#sourcesOf(await this.#fresh(signal));
        await (await selectKeyProvider(policy, sources, { ...options, tpmOptions, signal })).close();
      },
      { signal },
    );
  }

  /**
   * Takes a key out of the pool, gives it the PIN, has the TPM attest it over the challenge, and builds the request. If
   * no key in the pool fits, makes one as {@link provisionKey} does. Checks policy and TPM again.
   * @throws as {@link provisionKey} does.
   */
  async take(options: TakeKeyOptions): Promise<ProvisionedKey> {
    options = checkMembers('KeyPool.take', options, MAKE_MEMBERS, REQUEST_MEMBERS);
    const signal = this.#signalOf(options);
    return await this.#queue.run(() => this.#take({ ...options, signal }), { signal });
  }

  /** Drops all keys, flushes them from the TPM, and closes the TPM if the pool opened it. Idempotent. */
  close(): Promise<void> {
    this.#closing.abort(new KeyprovError('transport-closed', 'the key pool was closed'));
    this.#closed ??= this.#queue.run(() => this.#drop());
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #sourcesOf(stock: Stock | undefined): KeySources {
    const { sources } = this.#options;
    return stock === undefined ? sources : { ...sources, tpm: stock.tpm };
  }

  #signalOf({ signal }: SignalOptions): AbortSignal {
    return signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
  }

  /**
   * Makes one key, so that {@link take} does not wait for all of them. It takes two turns, of which {@link check} waits
   * only for the first. Both are requested at once, so that nothing comes between them.
   */
  async #makeOne(signal: AbortSignal): Promise<void> {
    const open = async () => (await this.#fresh(signal)) ?? (await this.#open(signal));
    const opening = this.#queue.run(open, { signal });
    const making = this.#queue.run(async () => this.#make(await opening, signal), { signal });
    this.#opening = opening;
    try {
      await Promise.all([opening, making]);
    } finally {
      if (this.#opening === opening) this.#opening = undefined;
    }
  }

  async #make(stock: Stock, signal: AbortSignal): Promise<void> {
    if (this.size >= this.#capacity) return;
    const { policy } = this.#options;
    const { algorithm } = policy;
    try {
      const provider = await this.#select(stock.tpm, signal);
      if (policy.attestation !== 'none') stock.ak ??= await makeAttestationKey(provider, signal);
      stock.keys.push(await provider.prepare({ algorithm, signal }));
    } catch (error) {
      signal.throwIfAborted();
      // The keys of a TPM that fails are worthless, and the next attempt must open it again.
      await this.#dropAfter(error);
      throw error;
    }
  }

  async #select(tpm: Tpm, signal: AbortSignal): Promise<TpmKeyProvider> {
    const { policy, tpmOptions } = this.#options;
    const wanted = { algorithm: policy.algorithm, hasPin: true, signal, tpmOptions, isEarly: false };
    const { provider } = await selectProvider(policy, { tpm }, wanted);
    if (!(provider instanceof TpmKeyProvider)) throw new KeyprovError('no-tpm', 'a key pool needs a TPM');
    return provider;
  }

  /** Opens the TPM, and proves the passwords, on which {@link check} relies while a key is being made. */
  async #open(signal: AbortSignal): Promise<Stock> {
    const { sources, policy, tpmOptions } = this.#options;
    const { tpm: source } = sources;
    if (source === undefined) throw new KeyprovError('no-tpm', "the key pool's sources have no TPM");
    const { tpm, release } = await leaseTpm(source, { signal, lifetime: this.#closing.signal });
    const prove = async (): Promise<string> => {
      await this.#select(tpm, signal);
      const properties = await readProperties(tpm, TPM_PT.PERMANENT, { signal });
      // Not as a part of the selection, which would wrap the error.
      await proveNewKey(tpm, { ...policy, properties }, { ...tpmOptions, signal });
      return await bootOf(tpm, signal);
    };
    const boot = await undoOnFailure(prove, release);
    this.#stock = { tpm, release, boot, keys: [] };
    return this.#stock;
  }

  /** Returns the stock if its TPM has not been reset, restarted or lost since; else drops it. */
  async #fresh(signal: AbortSignal): Promise<Stock | undefined> {
    const stock = this.#stock;
    if (stock === undefined) return undefined;
    let problem: unknown;
    try {
      if ((await bootOf(stock.tpm, signal)) === stock.boot) return stock;
    } catch (error) {
      signal.throwIfAborted();
      if (!isKeyprovError(error)) throw error;
      problem = error;
    }
    // The attempt without a pool reports the failure of the TPM, if it persists.
    await this.#dropAfter(problem);
    return undefined;
  }

  async #take({ policy = this.#options.policy, ...options }: TakeKeyOptions & { signal: AbortSignal }) {
    const { tpmOptions } = this.#options;
    const stock = await this.#fresh(options.signal);
    const wanted = { ...options, policy, tpmOptions, sources: this.#sourcesOf(stock) };
    return await provisionFromStock(wanted, stock === undefined ? undefined : stockOf(stock));
  }

  /** Drops all keys after `error`, and keeps that error as the one to report. */
  async #dropAfter(error: unknown): Promise<void> {
    try {
      await this.#drop();
    } catch (second) {
      if (error instanceof KeyprovError) error.suppressed.push(second);
    }
  }

  async #drop(): Promise<void> {
    const stock = this.#stock;
    this.#stock = undefined;
    if (stock === undefined) return;
    // Empties the pool first, since flushing a key from the TPM may fail.
    for (const key of stock.keys) key.wipe();
    await withCleanup(async () => {
      try {
        for (const key of stock.keys) await key.close();
        await stock.ak?.close();
      } catch (error) {
        // A lost connection has taken the objects with it.
        if (!isTransportError(error)) throw error;
      }
    }, stock.release);
  }
}

async function makeAttestationKey(
  { tpm, endorsementAuth, saltKey }: TpmKeyProvider,
  signal: AbortSignal,
): Promise<AttestationKey | undefined> {
  try {
    return await createAttestationKey(tpm, { algorithm: 'auto', endorsementAuth, saltKey, signal });
  } catch (error) {
    signal.throwIfAborted();
    if (!isKeyprovError(error)) throw error;
    return undefined; // take() tries again, and policy decides what follows
  }
}

/** Changes with each reset, restart and resume of the TPM. */
async function bootOf(tpm: Tpm, signal: AbortSignal): Promise<string> {
  const { currentTime } = await tpm.run(ReadClock, {}, { signal });
  const { resetCount, restartCount } = currentTime.clockInfo;
  return `${resetCount}.${restartCount}`;
}

/** The keys in stock, as long as they fit and the TPM still has them. */
function stockOf(stock: Stock): KeyStock {
  return {
    takeKey: async (provider, { algorithm, pin, signal }) => {
      // Unlike those in stock, a key without a PIN is not under dictionary attack protection.
      if (pin === undefined) return undefined;
      for (let key = stock.keys.shift(); key !== undefined; key = stock.keys.shift()) {
        try {
          if (key.algorithm === algorithm) return await provider.finish(key, { pin, signal });
          await key.close();
        } catch (error) {
          signal?.throwIfAborted();
          // The TPM has lost this key or refuses it, but may make another one. If the TPM itself fails, making a new
          // key reports it.
          if (!isKeyprovError(error)) throw error;
        }
      }
      return undefined;
    },
    attestationKey: async (tpm, { signal }) => {
      const { ak } = stock;
      if (ak === undefined) return undefined;
      try {
        await tpm.run(ReadPublic, { objectHandle: ak.object }, { signal });
        return ak;
      } catch (error) {
        signal?.throwIfAborted();
        if (!isKeyprovError(error)) throw error;
        stock.ak = undefined; // another program has flushed it
        return undefined;
      }
    },
  };
}
