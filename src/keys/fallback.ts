import { type AttemptCode, PassedOver } from '../errors/selection-error.ts';
import { TpmError } from '../errors/tpm-error.ts';
import { KeyprovError } from '../errors.ts';

/**
 * Why a TPM makes no key. `absent`: it is not there, or it is of no use for good, so software may take its place under
 * `preferred`. `passing`: it is there, and a repair or a wait makes it usable again.
 */
export type FallbackClass = 'absent' | 'passing';

/** One kind of failure on the way to a key in a TPM, and its class. */
export interface FallbackReason {
  readonly code: AttemptCode;
  /** Names of the response codes that this row is about; absent: all other errors with the code. */
  readonly responseCodes?: readonly string[];
  /** The commands, without their `TPM2_`, that this row is about; absent: all. */
  readonly commands?: readonly string[];
  readonly class: FallbackClass;
  /** One sentence. */
  readonly why: string;
}

const absent = (code: AttemptCode, why: string, rest: Partial<FallbackReason> = {}): FallbackReason => ({
  ...{ code, class: 'absent', why },
  ...rest,
});
const passing = (code: AttemptCode, why: string, rest: Partial<FallbackReason> = {}): FallbackReason => ({
  ...{ code, class: 'passing', why },
  ...rest,
});

const KEY_COMMANDS = ['CreatePrimary', 'Create', 'TestParms'];

/**
 * What opening a TPM, choosing it, and making a key in it can end in, with its class. The first row that fits decides.
 * A code that has no row here is passing.
 */
export const FALLBACK_REASONS: readonly FallbackReason[] = [
  absent('no-tpm', 'the machine has no TPM 2.0, or TPM Base Services are disabled'),
  absent('library-missing', 'the software that reaches the TPM is not installed'),
  absent('library-unsuitable', 'the software that reaches the TPM is too old'),
  absent('virtual-tpm-refused', 'policy counts a virtual TPM as none'),
  absent('algorithm-unsupported', 'the TPM makes no keys of this algorithm'),
  absent('tpm-unsupported', 'the TPM lacks a command that the key needs'),
  absent('tpm-failure-mode', 'the self-test of the TPM failed'),
  absent('tpm-response', 'the owner hierarchy, or the whole TPM, is switched off in the firmware setup', {
    responseCodes: ['TPM_RC_HIERARCHY', 'TPM_RC_DISABLED'],
  }),
  absent('tpm-response', 'it is a TPM 1.2', { responseCodes: ['TPM_RC_BAD_TAG'] }),
  absent('tpm-response', 'the TPM does not know the algorithm, the curve or the size', {
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
  passing('tpm-response', 'the owner hierarchy has a password, and it was not given', {
    responseCodes: ['TPM_RC_AUTH_MISSING', 'TPM_RC_AUTH_UNAVAILABLE'],
  }),
  passing('tpm-response', 'the memory of the TPM is full, or takes no writes at the moment', {
    responseCodes: ['TPM_RC_NV_RATE', 'TPM_RC_NV_SPACE', 'TPM_RC_NV_UNAVAILABLE'],
  }),
  passing('tpm-response', 'the TPM waits for a start-up, a restart or the end of an upgrade', {
    responseCodes: ['TPM_RC_INITIALIZE', 'TPM_RC_REBOOT', 'TPM_RC_UPGRADE', 'TPM_RC_TOO_MANY_CONTEXTS'],
  }),
  passing('tpm-response', 'the TPM, or a layer before it, refused a command for another reason'),
  passing('tpm-auth-failed', 'the password of a hierarchy, or of the storage root key, is wrong'),
  passing('tpm-lockout', 'the TPM takes no PIN until its lockout has run down'),
  passing('tpm-out-of-memory', 'other programs hold all places for objects or sessions'),
  passing('tpm-retry-exhausted', 'the TPM is busy with itself'),
  passing('tpm-canceled', 'somebody cancelled the command'),
  passing('tpm-session', 'an answer of the TPM was changed on its way'),
  passing('tpm-command-blocked', 'Windows or the kernel did not let a command through'),
  passing('tpm-identity-changed', 'the parent of the key was replaced while the key was made'),
  passing('tpm-cleared', 'the TPM is not in the recorded state'),
  passing('tpm-replaced', 'the TPM is not the recorded one'),
  passing('tpm-rolled-back', 'the state of the TPM was put back'),
  passing('transport-unreachable', 'a TPM was named and does not answer there'),
  passing('transport-permission', 'the TPM is there and this user may not open it'),
  passing('transport-busy', 'another program has the TPM'),
  passing('transport-timeout', 'the TPM did not answer in time'),
  passing('transport-lost', 'the connection to the TPM broke'),
  passing('transport-protocol', 'an answer is not one of a TPM'),
  passing('transport-closed', 'the connection to the TPM was closed'),
  passing('state-in-use', 'another TPM uses the state of this virtual one'),
  passing('state-io', 'the state of the virtual TPM cannot be read or written, such as on a full disk'),
  passing('state-invalid', 'the state of the virtual TPM is damaged, and a copy can be restored'),
  passing('codec', 'an answer of the TPM is cut off or damaged'),
  passing('key-invalid', 'the TPM has lost the key that was just made'),
  passing('replay-mismatch', 'a recording takes the place of the TPM, and the command is not in it'),
  passing('recording-invalid', 'a recording takes the place of the TPM, and it is damaged'),
];

/** Errors that only pass on what their cause says: the cause has the class. */
const WRAPPERS: ReadonlySet<AttemptCode> = new Set(['no-tpm', 'attestation-unavailable']);

const isOurs = (error: unknown): error is KeyprovError | PassedOver =>
  error instanceof KeyprovError || error instanceof PassedOver;

/** The row of {@link FALLBACK_REASONS} for `error`; undefined for an error that has none, which counts as passing. */
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

/** Whether software may take the place of a TPM that failed with `error`: only where that is `absent`. */
export function fallbackClassOf(error: unknown): FallbackClass {
  return fallbackReasonOf(error)?.class ?? 'passing';
}

/** Seconds after which it makes sense to try again, as far as `error` or one of its causes knows that. */
export function retryAfterOf(error: unknown): number | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('retryAfterSeconds' in at && typeof at.retryAfterSeconds === 'number') return at.retryAfterSeconds;
  }
  return undefined;
}
