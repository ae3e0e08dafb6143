import type { KeyprovError } from '../errors.ts';
import type { KeySources } from '../keys/key-sources.ts';
import type { KeyStore } from '../keys/key-store.ts';
import type { Backend } from '../keys/provider.ts';
import type { Policy } from '../policy/index.ts';
import type { KeyRegistrar } from '../registration/key-registrar.ts';
import type { SignalOptions } from '../signal.ts';
import type { KeyPool } from './key-pool.ts';
import type { AttestationOutcome, RegistrationBody } from './key-request.ts';
import type { MfaPrompt, PassMfaOptions } from './mfa-gate.ts';
import type { NewPinPrompt } from './pin-entry.ts';
import type { PinRecoverySetup } from './pin-recovery.ts';
import type { ProvisionKeyOptions } from './provision-key.ts';
import type { RegisteredKey } from './registration-record.ts';
import type { PrerequisiteResult } from './windows/prerequisites.ts';

/**
 * The steps of a run, in order; with `askPinFirst`, or if the PIN is given as bytes, `pin` comes before `mfa`. A resumed run that has a key skips `pin`
 * and `key`; if the key is registered, only `prerequisites` and `record` remain.
 */
export type RunStep = 'prerequisites' | 'mfa' | 'pin' | 'key' | 'attestation' | 'request' | 'registration' | 'record';

/** Progress of a run. Contains no secret. */
export type RunEvent =
  | { readonly type: 'begin'; readonly step: RunStep }
  | { readonly type: 'end'; readonly step: RunStep; readonly detail: string }
  /** The request is sent again after `delayMs` milliseconds. */
  | { readonly type: 'retry'; readonly step: 'registration'; readonly reason: string; readonly delayMs: number }
  /** An earlier run was interrupted; this one continues it. */
  | { readonly type: 'resume'; readonly from: 'begun' | 'made' | 'sending' | 'registered' | 'unwanted' };

/** Options of {@link provision}. */
export interface ProvisionOptions extends SignalOptions {
  /** User principal name. */
  readonly user: string;
  /** GUID of the device. The token must contain it. */
  readonly deviceId: string;
  /** Keeps the finished key, and the journal of the run until then. */
  readonly store: KeyStore;
  readonly policy: Policy;
  /** Where the key may be made. */
  readonly sources: KeySources;
  /** A function that checks the prerequisites before anything else; `skip`: the caller has checked them. */
  readonly prerequisites: ((options: SignalOptions) => Promise<PrerequisiteResult>) | 'skip';
  readonly mfa: MfaPrompt;
  /** How long the authentication may take, how often it is tried, and which methods count. */
  readonly mfaOptions?: Pick<PassMfaOptions, 'methods' | 'timeoutMs' | 'maxAttempts' | 'mayRetry'> | undefined;
  /**
   * A function that asks for the new PIN, after the authentication; or the PIN itself in UTF-8, which is checked before
   * the authentication and which the caller wipes; `none`: a key without a PIN.
   */
  readonly pin: NewPinPrompt | Uint8Array | 'none';
  /** Calls the function `pin` before the authentication, for one that asks nobody. Default false. */
  readonly askPinFirst?: boolean | undefined;
  /** Lets the PIN be reset later without a new key. */
  readonly pinRecovery?: PinRecoverySetup | undefined;
  /** Pepper of the PIN history; see `PinHistoryOptions`. */
  readonly pinPepper?: Uint8Array | undefined;
  readonly registrar: KeyRegistrar;
  /** Form of the request. Default: the registrar's profile, or else the default of `provisionKey`. */
  readonly profile?: ProvisionKeyOptions['profile'] | undefined;
  /** Has an attestation CA certify the attestation key; its certificate goes into the statement and the request. */
  readonly enrolAk?: ProvisionKeyOptions['enrolAk'] | undefined;
  /** Keys made in advance. */
  readonly pool?: KeyPool | undefined;
  /** Options for the TPM, such as authorizations; see also `hierarchyAuth` of `openTpm`. A pool has its own. */
  readonly tpmOptions?: ProvisionKeyOptions['tpmOptions'] | undefined;
  /** Allows a software key for a user whose last key was in a TPM. */
  readonly allowDowngrade?: boolean | undefined;
  /** Failures after which software may make the key; see `SelectionOptions`. */
  readonly fallBack?: ProvisionKeyOptions['fallBack'] | undefined;
  /** Where the user's last key was made, if it is no longer in the store. */
  readonly previous?: Backend | undefined;
  readonly onEvent?: ((event: RunEvent) => void) | undefined;
  /** The clock. */
  readonly now?: (() => Date) | undefined;
}

/** A registered key, with the outcome of its attestation and the request sent, if this call made them. */
export interface FinishedRun extends RegisteredKey {
  readonly attestation?: AttestationOutcome | undefined;
  readonly request?: RegistrationBody | undefined;
}

/**
 * The result of a run. Failures are thrown. A failure before the request is sent leaves nothing behind. After that, the
 * journal stays unless the service refused the key, and the next call continues.
 */
export type ProvisionOutcome =
  /** The service and the store have the key. */
  | (FinishedRun & { readonly status: 'registered'; readonly resumed: boolean })
  /** A prerequisite does not hold; nothing was done. */
  | { readonly status: 'blocked'; readonly prerequisites: PrerequisiteResult }
  /**
   * It is unknown whether the service has the key, or the service cannot be reached now. The key stays in the journal.
   * The next call with the same user and device continues, without asking for a PIN again.
   */
  | {
      readonly status: 'pending';
      readonly problem: KeyprovError;
      /** When to try again, in milliseconds from now; absent if the service did not say. */
      readonly retryAfterMs?: number | undefined;
    };
