import { type Attempt, PassedOver, SelectionError } from '../errors/selection-error.ts';
import { TpmError } from '../errors/tpm-error.ts';
import { causedBy, isKeyprovError, KeyprovError, sayError, undoOnFailure } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import type { KeyAlgorithm, Policy } from '../policy/index.ts';
import type { SignalOptions } from '../signal.ts';
import { lockoutEnds, lockoutIn, readProperties } from '../tpm/capabilities.ts';
import { TPM_PT } from '../tpm/constants.ts';
import { fallbackClassOf, retryAfterOf } from './fallback.ts';
import { checkSources, type KeySources, leaseTpm, softwareOf } from './key-sources.ts';
import type { Backend, KeyProvider } from './provider.ts';
import { proveNewKey } from './storage-parent.ts';
import { lockoutRemedy } from './tpm-pin.ts';
import { openTpmKeyProvider, type TpmKeyProvider, type TpmKeyProviderOptions } from './tpm-provider.ts';

/** Requirements of the key. */
export interface SelectionOptions extends SignalOptions {
  readonly algorithm: KeyAlgorithm;
  /** The key will have a PIN, which a TPM in lockout does not accept. */
  readonly hasPin?: boolean | undefined;
  /** Where the user's last key was made. After a TPM key, software needs `allowDowngrade`. */
  readonly previous?: Backend | undefined;
  readonly allowDowngrade?: boolean | undefined;
  /**
   * When software may make the key under `hardware: 'preferred'`: only if the TPM is absent (the default), or after any
   * failure, even a temporary one. A wrong or missing password never counts. See `FALLBACK_REASONS`.
   */
  readonly fallBack?: 'absent' | 'any' | undefined;
  readonly tpmOptions?: TpmKeyProviderOptions | undefined;
}

/** The members of {@link SelectionOptions} but `tpmOptions`, for `checkMembers`. */
export const SELECTION_MEMBERS =
  'algorithm:=rsa-2048|rsa-3072|p-256|p-384 hasPin:boolean? previous:=tpm|software? allowDowngrade:boolean? fallBack:=absent|any? signal';

/** The provider that policy and machine allow. */
export interface Selection {
  readonly provider: TpmKeyProvider | KeyProvider;
  /** The providers passed over before it, in order. */
  readonly attempts: readonly Attempt[];
  /** Closes the TPM, if one was opened. */
  close(): Promise<void>;
}

/**
 * Selects the provider that makes a key: the TPM if policy wants it and it works, otherwise software if policy allows
 * it. This is the only place where that is decided. Also proves the passwords that the key needs, and that the TPM has room.
 *
 * @throws SelectionError `tpm-unavailable` if the TPM exists but cannot be used at present (`cause` is the reason);
 * `hardware-required` if only a TPM is allowed and there is none; `attestation-unavailable` or `downgrade-refused` if a
 * rule forbids software; `algorithm-unsupported` if the software provider cannot make such keys; `no-key-provider` if
 * nothing is left. KeyprovError `address-invalid` for a wrong address.
 */
export async function selectKeyProvider(
  policy: Policy,
  sources: KeySources,
  options: SelectionOptions,
): Promise<Selection> {
  checkSources(sources);
  options = checkMembers('selectKeyProvider', options, SELECTION_MEMBERS, 'tpmOptions');
  return await selectProvider(policy, sources, { ...options, isEarly: true });
}

interface EarlyOptions extends SelectionOptions {
  /** Whether the key is made later, so that its passwords and slots are proved now. */
  readonly isEarly: boolean;
}

/** Does the work of {@link selectKeyProvider}. */
export async function selectProvider(policy: Policy, sources: KeySources, options: EarlyOptions): Promise<Selection> {
  options.signal?.throwIfAborted();
  if (policy.hardware === 'discouraged') {
    const attempt: Attempt = { backend: 'tpm', outcome: 'passed-over', reason: 'policy discourages hardware' };
    return await selectSoftware(policy, sources, options, [attempt], undefined);
  }
  try {
    return await selectTpm(policy, sources, options);
  } catch (cause) {
    options.signal?.throwIfAborted();
    // A mistyped address or a faulty function is the caller's mistake, not a reason to do without a TPM.
    if (isKeyprovError(cause, 'address-invalid') || cause instanceof TypeError) throw cause;
    const attempt = failed('tpm', cause);
    const first: Attempt = sources.tpm === undefined ? { ...attempt, outcome: 'passed-over' } : attempt;
    return await selectSoftware(policy, sources, options, [first], cause);
  }
}

export function failed(backend: Backend, error: unknown): Attempt {
  const hasCode = error instanceof KeyprovError || error instanceof PassedOver;
  return { backend, outcome: 'failed', reason: sayError(error), ...(hasCode && { code: error.code }) };
}

async function selectTpm(
  policy: Policy,
  sources: KeySources,
  { algorithm, hasPin = false, isEarly, signal, tpmOptions }: EarlyOptions,
): Promise<Selection> {
  if (sources.tpm === undefined) throw new KeyprovError('no-tpm', 'no TPM was given');
  const { tpm, release } = await leaseTpm(sources.tpm, { signal });
  const check = async (): Promise<TpmKeyProvider> => {
    const provider = await openTpmKeyProvider(tpm, { ...tpmOptions, signal });
    if (policy.virtualTpm === 'refuse' && provider.nature.virtual) {
      throw new PassedOver(`policy refuses virtual TPMs: ${provider.nature.signs.join('; ')}`);
    }
    if (!(await provider.supports(algorithm, { signal }))) {
      throw new SelectionError('algorithm-unsupported', `the TPM cannot make ${algorithm} keys`, [], {
        remedy: 'choose another algorithm',
      });
    }
    if (hasPin || isEarly) {
      const properties = await readProperties(tpm, TPM_PT.PERMANENT, { signal });
      const lockout = lockoutIn(properties);
      if (hasPin && lockout.inLockout) {
        throw new TpmError('tpm-lockout', 'the TPM is locked after too many failures and refuses PINs', {
          retryAfterSeconds: lockoutEnds(lockout, tpm),
          remedy: lockoutRemedy(lockout, tpm),
        });
      }
      if (isEarly) await proveNewKey(tpm, { ...policy, properties }, { ...tpmOptions, signal });
    }
    return provider;
  };
  return { provider: await undoOnFailure(check, release), attempts: [], close: release };
}

/** The software provider, unless a rule forbids it. `cause` is why there is no TPM; undefined if policy wants none. */
export async function selectSoftware(
  policy: Policy,
  sources: KeySources,
  options: SelectionOptions,
  attempts: readonly Attempt[],
  cause: unknown,
): Promise<Selection> {
  const { algorithm, signal } = options;
  const refuse = ({ code, reason, remedy }: Refusal): SelectionError =>
    new SelectionError(code, reason, [...attempts, { backend: 'software', outcome: 'passed-over', code, reason }], {
      cause,
      remedy,
      retryAfterSeconds: retryAfterOf(cause),
    });
  const refusal = refusalOf(policy, sources, options, cause);
  if (refusal !== undefined) throw refuse(refusal);
  const provider = await softwareOf(sources);
  if (provider === undefined || !(await provider.supports(algorithm, { signal }))) {
    const reason = `the software provider cannot make ${algorithm} keys`;
    throw refuse({ code: 'algorithm-unsupported', reason, remedy: 'choose another algorithm' });
  }
  return { provider, attempts, close: async () => {} };
}

interface Refusal {
  readonly code: SelectionError['code'];
  readonly reason: string;
  readonly remedy: string;
}

/** The first rule that forbids software; undefined if none does. */
function refusalOf(
  { hardware, attestation }: Policy,
  { software }: KeySources,
  { previous, allowDowngrade = false, fallBack = 'absent' }: SelectionOptions,
  cause: unknown,
): Refusal | undefined {
  const why = cause === undefined ? '' : `: ${cause instanceof Error ? cause.message : sayError(cause)}`;
  const own = causedBy(cause).remedy;
  const repair = own ?? 'repair the TPM';
  const remedy = `${repair}, or change the policy`;
  if (isKeyprovError(cause, 'attestation-unavailable')) {
    const reason = `policy requires attestation, but ${cause.message}`;
    return { code: cause.code, reason, remedy };
  }
  const mustBeTpm = hardware === 'required' || attestation === 'required';
  const kind = cause === undefined ? 'absent' : fallbackClassOf(cause);
  const isFinal = mustBeTpm || kind === 'password';
  if (kind !== 'absent' && (isFinal || fallBack === 'absent')) {
    const orElse = isFinal ? '' : ", or allow a software key (fallBack: 'any')";
    const reason = `the TPM cannot be used at present${why}`;
    return { code: 'tpm-unavailable', reason, remedy: (own ?? 'fix the cause, then try again') + orElse };
  }
  if (hardware === 'required') {
    return { code: 'hardware-required', reason: `policy requires a TPM, but none is usable${why}`, remedy };
  }
  if (attestation === 'required') {
    const reason = `policy requires attestation, which needs a TPM${why}`;
    return { code: 'attestation-unavailable', reason, remedy };
  }
  const isDiscouraged = cause === undefined;
  const wayOn = isDiscouraged ? 'change the policy' : repair;
  if (previous === 'tpm' && !allowDowngrade) {
    const now = isDiscouraged ? 'policy discourages hardware' : 'none is usable now';
    const reason = `the user's key was made in a TPM, but ${now}${why}`;
    return { code: 'downgrade-refused', reason, remedy: `${wayOn}, or allow the downgrade (allowDowngrade)` };
  }
  if (software === undefined) {
    const now = isDiscouraged ? 'policy discourages hardware' : 'no TPM is usable';
    const reason = `${now}, and the sources have no software provider${why}`;
    return { code: 'no-key-provider', reason, remedy: `${wayOn}, or add the software provider to the sources` };
  }
  return undefined;
}
