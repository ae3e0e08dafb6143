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

/** The steps of a run, in their order. A run that is resumed leaves out what is done. */
export type RunStep = 'prerequisites' | 'mfa' | 'pin' | 'key' | 'attestation' | 'request' | 'registration' | 'record';

/** What is going on. No secret is in it. */
export type RunEvent =
  | { readonly type: 'begin'; readonly step: RunStep }
  | { readonly type: 'end'; readonly step: RunStep; readonly detail: string }
  /** The request is sent once more, after `delayMs` milliseconds. */
  | { readonly type: 'retry'; readonly step: 'registration'; readonly reason: string; readonly delayMs: number }
  /** An earlier start was cut off; this one goes on where that was. */
  | { readonly type: 'resume'; readonly from: 'begun' | 'made' | 'sending' | 'registered' | 'unwanted' };

/** Options of {@link provision}. */
export interface ProvisionOptions extends SignalOptions {
  /** User principal name. */
  readonly user: string;
  /** GUID of the device, which the token must name. */
  readonly deviceId: string;
  /** Where the key is kept in the end, and the journal of the run until then. */
  readonly store: KeyStore;
  readonly policy: Policy;
  /** Where the key may be made. */
  readonly sources: KeySources;
  /** What must hold before anything is done; `skip`: the caller has seen to it. */
  readonly prerequisites: ((options: SignalOptions) => Promise<PrerequisiteResult>) | 'skip';
  readonly mfa: MfaPrompt;
  /** How long the authentication may take, how often it is tried, and what counts as one. */
  readonly mfaOptions?: Pick<PassMfaOptions, 'methods' | 'timeoutMs' | 'maxAttempts' | 'mayRetry'> | undefined;
  /**
   * Asks for the new PIN, after the authentication; or the PIN itself in UTF-8, which is judged before that and which the
   * caller wipes; `none`: a key without one.
   */
  readonly pin: NewPinPrompt | Uint8Array | 'none';
  /** Lets the PIN be reset later without a new key. */
  readonly pinRecovery?: PinRecoverySetup | undefined;
  /** For the history of PINs; see `PinHistoryOptions`. */
  readonly pinPepper?: Uint8Array | undefined;
  readonly registrar: KeyRegistrar;
  /** Form of the request. Default: what the registrar says, else as `provisionKey` chooses it. */
  readonly profile?: ProvisionKeyOptions['profile'] | undefined;
  /** Has an attestation CA certify the attestation key; its certificate goes into the statement and the request. */
  readonly enrolAk?: ProvisionKeyOptions['enrolAk'] | undefined;
  /** Keys that were made in advance. */
  readonly pool?: KeyPool | undefined;
  /** Authorizations that the TPM wants; see also `hierarchyAuth` of `openTpm`. Not for keys of a pool, which has its own. */
  readonly tpmOptions?: ProvisionKeyOptions['tpmOptions'] | undefined;
  /** Let software take over from a TPM for the same user. */
  readonly allowDowngrade?: boolean | undefined;
  /** What software may take over from; see `SelectionOptions`. */
  readonly fallBack?: ProvisionKeyOptions['fallBack'] | undefined;
  /** Where the user's last key was made, when it is not in the store any more. */
  readonly previous?: Backend | undefined;
  readonly onEvent?: ((event: RunEvent) => void) | undefined;
  /** The clock. */
  readonly now?: (() => Date) | undefined;
}

/** A registered key, with the statement about it and the request that was sent, if this call made them. */
export interface FinishedRun extends RegisteredKey {
  readonly attestation?: AttestationOutcome | undefined;
  readonly request?: RegistrationBody | undefined;
}

/**
 * What came of a run. Errors are thrown: before the request is sent they leave nothing behind; after that the journal
 * stays unless the service has refused the key, and the next call goes on.
 */
export type ProvisionOutcome =
  /** The service has the key, and the store. */
  | (FinishedRun & { readonly status: 'registered'; readonly resumed: boolean })
  /** A prerequisite does not hold; nothing was done. */
  | { readonly status: 'blocked'; readonly prerequisites: PrerequisiteResult }
  /**
   * Whether the service has the key is not known, or it cannot be reached at present. The key waits in the journal: the
   * next call with the same user and device goes on, without another PIN.
   */
  | {
      readonly status: 'pending';
      readonly problem: KeyprovError;
      /** When to try again, in milliseconds from now; absent where the service said nothing. */
      readonly retryAfterMs?: number | undefined;
    };
