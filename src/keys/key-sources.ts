import { checkObject } from '../bytes.ts';
import { withCleanup } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import { cleanUnlessAborted, type SignalOptions } from '../signal.ts';
import type { HierarchyAuth } from '../tpm/hierarchy-auth.ts';
import { type OpenTpmOptions, openTpm } from '../tpm/open-tpm.ts';
import { Tpm } from '../tpm/tpm.ts';
import { checkStore, type KeyStore } from './key-store.ts';
import type { KeyProvider } from './provider.ts';
import { storeKeyProvider } from './store-provider.ts';

/**
 * Opens a TPM when it is needed. keyprov closes a TPM that this function opens, once all calls that got it have ended; a
 * `Tpm` that was open before stays open. Later calls must open it again. `signal` aborts when all overlapping calls are
 * aborted. `create` is false for an existing key, whose TPM must exist too.
 */
export type TpmOpener = (options: Pick<OpenTpmOptions, 'signal' | 'create'>) => Promise<Tpm>;

/**
 * A TPM: an open `Tpm`, which the caller closes; or an address (as for `openTpm`) or a function, with which keyprov
 * opens the TPM when needed and closes it afterwards.
 */
export type TpmSource = Tpm | string | TpmOpener;

/** The places where keys can be made. */
export interface KeySources {
  /** Absent: there is no TPM. */
  readonly tpm?: TpmSource | undefined;
  /** The provider of software keys, or a function that returns it. Absent: there are no software keys. */
  readonly software?: KeyProvider | (() => Promise<KeyProvider>) | undefined;
}

/** Options of {@link keySources}. */
export interface KeySourcesOptions {
  /** Default: this machine's TPM (`auto`). An emulator is used only if its address is given. `none`: no TPM. */
  readonly tpm?: TpmSource | undefined;
  /** Absent: there are no software keys. */
  readonly store?: KeyStore | undefined;
  /** The passwords of the hierarchies and of the storage root key, for a TPM given as an address. */
  readonly hierarchyAuth?: HierarchyAuth | undefined;
}

/**
 * Returns the usual places for keys: a TPM, and a store's software keys. The store counts their PIN tries.
 *
 * @throws TypeError for an unknown option.
 *
 * @example
 * ```ts
 * import { keySources, openKeyStore } from 'keyprov';
 *
 * const store = await openKeyStore('./keys');
 * const usual = keySources({ store }); // the TPM of this machine, and software keys of the store
 * const emulated = keySources({ tpm: 'libtpms:./tpm' }); // an emulator by name, and no software keys
 * console.log(usual.software !== undefined, emulated.tpm);
 * ```
 */
export function keySources(options: KeySourcesOptions = {}): KeySources {
  options = checkMembers('keySources', options, 'tpm store hierarchyAuth');
  const { tpm = 'auto', store, hierarchyAuth } = options;
  if (store !== undefined) checkStore('keySources', store);
  const open: TpmOpener = (options) =>
    openTpm(String(tpm), { ...options, lifetime: options.signal, marksDirectory: store?.directory, hierarchyAuth });
  const isAddress = typeof tpm === 'string' && (store ?? hierarchyAuth) !== undefined;
  return {
    tpm: tpm === 'none' ? undefined : isAddress ? open : tpm,
    software: store === undefined ? undefined : storeKeyProvider(store),
  };
}

/** For callers without types. @throws TypeError for anything but sources */
export function checkSources(sources: KeySources): void {
  if (typeof sources !== 'object' || sources === null)
    throw new TypeError('sources must be an object with tpm and software, such as keySources() returns');
  const { tpm, software } = checkMembers('sources', sources, 'tpm software');
  if (tpm !== undefined && !(tpm instanceof Tpm) && typeof tpm !== 'string' && typeof tpm !== 'function')
    throw new TypeError('sources: tpm must be a Tpm, an address, or a function that opens the TPM');
  if (software !== undefined && typeof software !== 'function')
    checkObject(software, 'sources: software', 'create', 'sign');
}

export async function softwareOf({ software }: KeySources): Promise<KeyProvider | undefined> {
  if (typeof software !== 'function') return software;
  return checkObject(await software(), 'the result of sources.software', 'create', 'sign');
}

export interface TpmLease {
  readonly tpm: Tpm;
  /** Closes the TPM if it was opened for this use and no other lease of it is left. */
  release(): Promise<void>;
}

/** Calls that share a TPM, or the function that opens it. */
interface Sharers {
  /** The calls that have not ended, with their signals. */
  readonly calls: Map<AbortController, AbortSignal | undefined>;
  /** Each ends what one call has opened. Empty for a TPM that was open before. */
  readonly openings: Set<AbortController>;
}

/** Overlapping calls of a function may return the same `Tpm`, and the one that opened it may be the last to return. */
const sharersOf = new WeakMap<Tpm | TpmOpener, Sharers>();

function findSharers(shared: Tpm | TpmOpener): Sharers {
  const sharers = sharersOf.get(shared) ?? { calls: new Map(), openings: new Set() };
  sharersOf.set(shared, sharers);
  return sharers;
}

function endUnlessWanted({ calls, openings }: Sharers): void {
  const signals = [...calls.values()];
  if (signals.length === 0 || signals.some((signal) => !signal?.aborted)) return;
  for (const opening of openings) opening.abort(signals[0]?.reason);
}

/** Options of {@link leaseTpm}. */
interface LeaseOptions extends Pick<OpenTpmOptions, 'signal' | 'create'> {
  /** Aborts when the lease must end. Default: `signal`, which then aborts more than the opening. */
  readonly lifetime?: AbortSignal | undefined;
}

/**
 * Opens the TPM of a source. An abort does not end an opening that another lease shares.
 * @throws the errors of `openTpm` or the function; TypeError if that returns no `Tpm`.
 */
export async function leaseTpm(source: TpmSource, options: LeaseOptions): Promise<TpmLease> {
  if (source instanceof Tpm) return { tpm: source, release: async () => {} };
  const openedBefore = Tpm.opened;
  const { lifetime = options.signal, ...given } = options;
  const { signal } = given;
  const open: TpmOpener =
    typeof source === 'function' ? source : (asked) => openTpm(source, { ...asked, lifetime: asked.signal });
  const opening = new AbortController();
  const share = (sharers: Sharers, until: AbortSignal | undefined): (() => void) => {
    const end = () => endUnlessWanted(sharers);
    sharers.calls.set(opening, until);
    until?.addEventListener('abort', end, { once: true });
    return () => {
      sharers.calls.delete(opening);
      until?.removeEventListener('abort', end);
      end();
    };
  };
  const lease = async (): Promise<TpmLease> => {
    const openers = findSharers(open);
    openers.openings.add(opening);
    const stop = share(openers, signal);
    let tpm: Tpm;
    try {
      tpm = await open({ ...given, signal: opening.signal });
      if (!(tpm instanceof Tpm)) throw new TypeError('the function that opens the TPM did not return a Tpm');
    } finally {
      openers.openings.delete(opening);
      stop();
    }
    const sharers = findSharers(tpm);
    if (tpm.number > openedBefore) sharers.openings.add(opening);
    const leave = share(sharers, lifetime);
    let isReleased = false;
    const release = async (): Promise<void> => {
      if (isReleased) return;
      isReleased = true;
      leave();
      // Calls that wait for the same opening take their leases first.
      if (openers.calls.size > 0) await new Promise((resolve) => setImmediate(resolve));
      if (sharers.calls.size === 0 && sharers.openings.size > 0) await tpm.close();
    };
    if (signal?.aborted) await release(); // nobody waits for it any longer
    return { tpm, release };
  };
  return await cleanUnlessAborted(lease, signal);
}

/** Runs `work` with the TPM of a source, and closes it if it was opened for that. */
export async function withTpmOf<T>(
  source: TpmSource,
  options: SignalOptions,
  work: (tpm: Tpm) => Promise<T>,
): Promise<T> {
  const { tpm, release } = await leaseTpm(source, options);
  return await withCleanup(() => work(tpm), release);
}
