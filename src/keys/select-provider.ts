import { type ErrorCode, isKeyprovError, KeyprovError, withCleanup } from '../errors.ts';
import type { KeyAlgorithm, Policy } from '../policy/index.ts';
import { readLockout } from '../tpm/capabilities.ts';
import { type SignalOptions, Tpm } from '../tpm/tpm.ts';
import type { Backend, KeyProvider } from './provider.ts';
import { openTpmKeyProvider, type TpmKeyProvider, type TpmKeyProviderOptions } from './tpm-provider.ts';

/** One thing that was tried, or left out, on the way to a key. */
export interface Attempt {
  readonly backend: Backend;
  /** `used`: it made the key. `failed`: it was tried in vain. `passed-over`: it was not tried. */
  readonly outcome: 'used' | 'failed' | 'passed-over';
  /** Why, for machines: the code of the error that it failed with, or of the rule that left it out. */
  readonly code?: ErrorCode;
  /** Why, for people: one sentence. */
  readonly reason: string;
}

/** Where providers come from. */
export interface ProviderSources {
  /**
   * The TPM, which stays open; or how to open it, and then it is closed with the selection. Absent: the caller has
   * named none.
   */
  readonly tpm?: Tpm | ((options: SignalOptions) => Promise<Tpm>) | undefined;
  /** Gives the software provider. Absent: there is none. */
  readonly software?: (() => Promise<KeyProvider>) | undefined;
}

/** What the key will need. */
export interface SelectionOptions extends SignalOptions {
  readonly algorithm: KeyAlgorithm;
  /** The key shall have a PIN, which a TPM in lockout does not accept. */
  readonly hasPin?: boolean;
  /** Where the user's last key was made. From a TPM there is no way back to software unless `allowDowngrade`. */
  readonly previous?: Backend | undefined;
  readonly allowDowngrade?: boolean;
  readonly tpmOptions?: TpmKeyProviderOptions;
}

/** The provider that policy and machine allow. */
export interface Selection {
  readonly provider: TpmKeyProvider | KeyProvider;
  /** What was not taken before it, in order. */
  readonly attempts: readonly Attempt[];
  /** Closes the TPM, if one was opened. */
  close(): Promise<void>;
}

/** Neither TPM nor software may make the key; `attempts` says why for each. */
export class SelectionError extends KeyprovError {
  readonly attempts: readonly Attempt[];

  constructor(
    code: ErrorCode,
    message: string,
    attempts: readonly Attempt[],
    options: { cause?: unknown; remedy?: string },
  ) {
    super(code, message, options);
    this.attempts = attempts;
  }
}

/**
 * Decides who makes a key: the TPM where policy wants it and it can, else software where policy allows that.
 * This is the only place where that decision is made.
 *
 * @throws SelectionError `hardware-required` when only a TPM is allowed and none is usable (`cause` is the reason),
 * `attestation-unavailable` or `downgrade-refused` when a rule forbids software, `no-key-provider` when nothing is left.
 */
export async function selectKeyProvider(
  policy: Policy,
  sources: ProviderSources,
  options: SelectionOptions,
): Promise<Selection> {
  options.signal?.throwIfAborted();
  const attempts: Attempt[] = [];
  if (policy.hardware === 'discouraged') {
    attempts.push({ backend: 'tpm', outcome: 'passed-over', reason: 'policy discourages hardware' });
    return await selectSoftware(policy, sources, options, attempts, undefined);
  }
  try {
    const provider = await selectTpm(policy, sources, options);
    return { provider, attempts, close: () => closeIfOpened(provider.tpm, sources) };
  } catch (cause) {
    options.signal?.throwIfAborted();
    // A mistyped address is the caller's mistake, and no reason to do without a TPM.
    if (isKeyprovError(cause, 'address-invalid')) throw cause;
    return await selectSoftware(policy, sources, options, [...attempts, failed('tpm', cause)], cause);
  }
}

/** The attempt that `error` ended. */
export function failed(backend: Backend, error: unknown): Attempt {
  const reason = error instanceof Error ? error.message : String(error);
  return { backend, outcome: 'failed', reason, ...(error instanceof KeyprovError && { code: error.code }) };
}

async function selectTpm(
  policy: Policy,
  sources: ProviderSources,
  { algorithm, hasPin = false, signal, tpmOptions }: SelectionOptions,
): Promise<TpmKeyProvider> {
  if (sources.tpm === undefined) throw new KeyprovError('no-tpm', 'no TPM was named');
  const tpm = sources.tpm instanceof Tpm ? sources.tpm : await sources.tpm({ signal });
  const check = async (): Promise<TpmKeyProvider> => {
    const provider = await openTpmKeyProvider(tpm, { ...tpmOptions, signal });
    if (policy.virtualTpm === 'refuse' && provider.nature.virtual) {
      throw new KeyprovError('virtual-tpm-refused', `policy refuses virtual TPMs: ${provider.nature.signs.join('; ')}`);
    }
    if (!(await provider.supports(algorithm, { signal }))) {
      throw new KeyprovError('algorithm-unsupported', `the TPM makes no ${algorithm} keys`, {
        remedy: 'choose another algorithm',
      });
    }
    const lockout = await readLockout(tpm, { signal });
    if (hasPin && lockout.inLockout) {
      throw new KeyprovError('tpm-lockout', 'the TPM is in dictionary attack lockout and takes no PIN', {
        remedy: `wait up to ${lockout.recoveryTimeSeconds} s for the next try, or reset the lockout as the TPM's owner`,
      });
    }
    return provider;
  };
  try {
    return await check();
  } catch (error) {
    return await withCleanup(
      () => Promise.reject(error),
      () => closeIfOpened(tpm, sources),
    );
  }
}

async function closeIfOpened(tpm: Tpm, sources: ProviderSources): Promise<void> {
  if (tpm !== sources.tpm) await tpm.close();
}

/** The software provider, unless a rule forbids it. `cause` is why there is no TPM. */
export async function selectSoftware(
  policy: Policy,
  sources: ProviderSources,
  { algorithm, previous, allowDowngrade = false, signal }: SelectionOptions,
  attempts: readonly Attempt[],
  cause: unknown,
): Promise<Selection> {
  const refuse = (code: ErrorCode, reason: string, remedy: string): SelectionError =>
    new SelectionError(code, reason, [...attempts, { backend: 'software', outcome: 'passed-over', code, reason }], {
      cause,
      remedy,
    });
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  if (policy.hardware === 'required') {
    throw refuse(
      'hardware-required',
      `policy requires a TPM and none is usable${why}`,
      'mend the TPM or change the policy',
    );
  }
  if (policy.attestation === 'required') {
    throw refuse(
      'attestation-unavailable',
      `policy requires attestation, which needs a TPM${why}`,
      'mend the TPM or change the policy',
    );
  }
  if (previous === 'tpm' && !allowDowngrade) {
    throw refuse(
      'downgrade-refused',
      `the user's key was made in a TPM and none is usable now${why}`,
      'mend the TPM, or allow the downgrade by name',
    );
  }
  if (sources.software === undefined) {
    throw refuse(
      'no-key-provider',
      `no software keys are offered and no TPM is usable${why}`,
      'offer the software provider, or mend the TPM',
    );
  }
  const provider = await sources.software();
  if (!(await provider.supports(algorithm, { signal }))) {
    throw refuse('algorithm-unsupported', `software makes no ${algorithm} keys here`, 'choose another algorithm');
  }
  return { provider, attempts, close: async () => {} };
}
