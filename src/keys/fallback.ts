import { type AttemptCode, PassedOver } from '../errors/selection-error.ts';
import { TpmError } from '../errors/tpm-error.ts';
import { KeyprovError } from '../errors.ts';

/**
 * Why a TPM cannot make a key. `absent`: it is missing or permanently unusable, so under `preferred` software may make
 * the key. `passing`: it exists, and will be usable again after a repair or a wait. `password`: the caller gave a wrong
 * password or none, so software never makes the key.
 */
export type FallbackClass = 'absent' | 'passing' | 'password';

/** One kind of failure when making a key in a TPM, and its class. */
export interface FallbackReason {
  readonly code: AttemptCode;
  /** Names of the response codes that this row covers; absent: all other errors with the code. */
  readonly responseCodes?: readonly string[];
  /** The commands that this row covers, without their `TPM2_`; absent: all. */
  readonly commands?: readonly string[];
  readonly class: FallbackClass;
  /** One sentence. */
  readonly why: string;
}

const absent = (code: AttemptCode, why: string, rest: Partial<FallbackReason> = {}): FallbackReason => ({
  ...{ code, class: 'absent', why },
  ...rest,
});
const password = (code: AttemptCode, why: string, rest: Partial<FallbackReason> = {}): FallbackReason => ({
  ...{ code, class: 'password', why },
  ...rest,
});
const passing = (code: AttemptCode, why: string, rest: Partial<FallbackReason> = {}): FallbackReason => ({
  ...{ code, class: 'passing', why },
  ...rest,
});

const KEY_COMMANDS = ['CreatePrimary', 'Create', 'TestParms'];

/**
 * All ways in which opening a TPM, selecting it, and making a key in it can fail, each with its class. The first
 * matching row applies. A code without a row is passing.
 */
export const FALLBACK_REASONS: readonly FallbackReason[] = [
  absent('no-tpm', 'the machine has no TPM 2.0, or TPM Base Services are disabled'),
  absent('library-missing', 'the software that reaches the TPM is not installed'),
  absent('library-unsuitable', 'the software that reaches the TPM is too old'),
  absent('virtual-tpm-refused', 'policy does not accept virtual TPMs'),
  absent('algorithm-unsupported', 'the TPM cannot make keys of this algorithm'),
  absent('tpm-unsupported', 'the TPM lacks a command that the key needs'),
  absent('tpm-failure-mode', "the TPM's self-test failed"),
  absent('tpm-response', 'the owner hierarchy, or the whole TPM, is switched off in the firmware setup', {
    responseCodes: ['TPM_RC_HIERARCHY', 'TPM_RC_DISABLED'],
  }),
  absent('tpm-response', 'it is a TPM 1.2', { responseCodes: ['TPM_RC_BAD_TAG'] }),
  absent('tpm-response', 'the TPM does not support the algorithm, the curve or the size', {
    responseCodes: [
      'ASYMMETRIC',
      'CURVE',
      'HASH',
      'KDF',
      'KEY_SIZE',
      'MODE',
      'SCHEME',
      'SYMMETRIC',
      'TYPE',
      'VALUE',
    ].map((name) => `TPM_RC_${name}`),
    commands: KEY_COMMANDS,
  }),
  absent('tpm-response', 'Windows finds no TPM, or its service is disabled', {
    responseCodes: ['TBS_E_TPM_NOT_FOUND', 'TBS_E_SERVICE_DISABLED'],
  }),
  password('tpm-response', "the owner hierarchy's password was not given", {
    responseCodes: ['TPM_RC_AUTH_MISSING', 'TPM_RC_AUTH_UNAVAILABLE'],
  }),
  passing('tpm-response', "the TPM's memory is full, or cannot be written at the moment", {
    responseCodes: ['TPM_RC_NV_RATE', 'TPM_RC_NV_SPACE', 'TPM_RC_NV_UNAVAILABLE'],
  }),
  passing('tpm-response', 'the TPM is waiting for a start-up, a restart or the end of an upgrade', {
    responseCodes: ['TPM_RC_INITIALIZE', 'TPM_RC_REBOOT', 'TPM_RC_UPGRADE', 'TPM_RC_TOO_MANY_CONTEXTS'],
  }),
  passing('tpm-response', 'the TPM, or a layer in front of it, refused a command for another reason'),
  password('tpm-auth-failed', 'the password of a hierarchy, or of the storage root key, is wrong'),
  passing('tpm-lockout', 'the TPM refuses PINs until its lockout ends'),
  passing('tpm-out-of-memory', 'other programs use all slots for objects or sessions'),
  passing('tpm-retry-exhausted', 'the TPM stayed busy'),
  passing('tpm-canceled', 'the command was canceled'),
  passing('tpm-session', 'a TPM response was changed in transit'),
  passing('tpm-command-blocked', 'Windows or the kernel blocked a command'),
  passing('tpm-identity-changed', 'the parent of the key was replaced while the key was made'),
  passing('tpm-cleared', 'the TPM is not in the recorded state'),
  passing('tpm-replaced', 'the TPM is not the recorded one'),
  passing('tpm-rolled-back', "the TPM's state was rolled back"),
  passing('transport-unreachable', 'the named TPM does not answer'),
  passing('transport-permission', 'this user has no permission to open the TPM'),
  passing('transport-busy', 'another program is using the TPM'),
  passing('transport-timeout', 'the TPM did not answer in time'),
  passing('transport-lost', 'the connection to the TPM broke'),
  passing('transport-protocol', 'a response did not come from a TPM'),
  passing('transport-closed', 'the connection to the TPM was closed'),
  passing('state-in-use', "another process uses this virtual TPM's state"),
  passing('state-io', "the virtual TPM's state cannot be read or written, for example because the disk is full"),
  passing('state-invalid', "the virtual TPM's state is damaged, but a copy can be restored"),
  passing('codec', 'a TPM response is cut off or damaged'),
  passing('key-invalid', 'the TPM has lost the key that was just made'),
  passing('replay-mismatch', 'a recording replaces the TPM and lacks the command'),
  passing('recording-invalid', 'a recording replaces the TPM and is damaged'),
];

/** Errors that only pass on their cause, which has the class. */
const WRAPPERS: ReadonlySet<AttemptCode> = new Set(['no-tpm', 'attestation-unavailable']);

const isOurs = (error: unknown): error is KeyprovError | PassedOver =>
  error instanceof KeyprovError || error instanceof PassedOver;

/** Finds the row of {@link FALLBACK_REASONS} for `error`; undefined if there is none, which counts as passing. */
export function fallbackReasonOf(error: unknown): FallbackReason | undefined {
  if (!isOurs(error)) return undefined;
  if (WRAPPERS.has(error.code) && isOurs(error.cause)) return fallbackReasonOf(error.cause);
  const { responseCode, command }: Partial<TpmError> = error instanceof TpmError ? error : {};
  return FALLBACK_REASONS.find(
    ({ code, responseCodes, commands }) =>
      code === error.code &&
      (responseCodes?.some((name) => name === responseCode?.name) ?? true) &&
      (commands?.some((name) => name === command) ?? true),
  );
}

/** Tells whether software may replace a TPM that failed with `error`: only if the class is `absent`. */
export function fallbackClassOf(error: unknown): FallbackClass {
  return fallbackReasonOf(error)?.class ?? 'passing';
}

/** Seconds until it makes sense to try again; undefined if neither `error` nor a cause of it says. */
export function retryAfterOf(error: unknown): number | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('retryAfterSeconds' in at && typeof at.retryAfterSeconds === 'number') return at.retryAfterSeconds;
  }
  return undefined;
}
