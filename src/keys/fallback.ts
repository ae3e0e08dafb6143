import { type AttemptCode, PassedOver } from '../errors/selection-error.ts';
import { TpmError } from '../errors/tpm-error.ts';
import { KeyprovError } from '../errors.ts';
import { UNSUPPORTED } from '../tpm/first-supported.ts';

/**
 * Why a TPM cannot make a key. `absent`: it is missing or permanently unusable, so under `hardware: 'preferred'`
 * software may make the key. `temporary`: it exists, and will be usable again after a repair or a wait. `password`: the
 * caller gave a wrong password or none, so software never makes the key.
 */
export type FallbackClass = 'absent' | 'temporary' | 'password';

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

const reasonOf =
  (kind: FallbackClass) =>
  (code: AttemptCode, why: string, rest: Partial<FallbackReason> = {}): FallbackReason => ({
    ...{ code, class: kind, why },
    ...rest,
  });
const [absent, password, temporary] = [reasonOf('absent'), reasonOf('password'), reasonOf('temporary')];

const KEY_COMMANDS = ['CreatePrimary', 'Create', 'TestParms'];

/**
 * All ways in which opening a TPM, selecting it, and making a key in it can fail, each with its class. The first
 * matching row applies. A code without a row is temporary.
 */
export const FALLBACK_REASONS: readonly FallbackReason[] = [
  absent('no-tpm', 'the machine has no TPM 2.0, or TPM Base Services are disabled'),
  absent('library-missing', 'the library or program that connects to the TPM is not installed'),
  absent('library-unsuitable', 'the library or program that connects to the TPM is too old'),
  absent('virtual-tpm-refused', 'the policy refuses virtual TPMs'),
  absent('algorithm-unsupported', 'the TPM cannot make keys of this algorithm'),
  absent('tpm-unsupported', 'the TPM lacks a command that the key needs'),
  absent('tpm-failure-mode', "the TPM's self-test failed"),
  absent('tpm-response', 'the owner hierarchy, or the whole TPM, is switched off in the firmware setup', {
    responseCodes: ['TPM_RC_HIERARCHY', 'TPM_RC_DISABLED'],
  }),
  absent('tpm-response', 'the TPM is a TPM 1.2', { responseCodes: ['TPM_RC_BAD_TAG'] }),
  absent('tpm-response', 'the TPM does not support the algorithm, curve or key size', {
    responseCodes: UNSUPPORTED.map((name) => `TPM_RC_${name}`),
    commands: KEY_COMMANDS,
  }),
  absent('tpm-response', 'Windows finds no TPM, or its service is disabled', {
    responseCodes: ['TBS_E_TPM_NOT_FOUND', 'TBS_E_SERVICE_DISABLED'],
  }),
  password('tpm-response', 'the owner hierarchy has a password, and you passed none', {
    responseCodes: ['TPM_RC_AUTH_MISSING', 'TPM_RC_AUTH_UNAVAILABLE'],
  }),
  temporary('tpm-response', "the TPM's memory is full, or temporarily read-only", {
    responseCodes: ['TPM_RC_NV_RATE', 'TPM_RC_NV_SPACE', 'TPM_RC_NV_UNAVAILABLE'],
  }),
  temporary('tpm-response', 'the TPM needs a start-up or restart, or is being upgraded', {
    responseCodes: ['TPM_RC_INITIALIZE', 'TPM_RC_REBOOT', 'TPM_RC_UPGRADE', 'TPM_RC_TOO_MANY_CONTEXTS'],
  }),
  temporary('tpm-response', 'the TPM, or a layer in front of it, refused a command for another reason'),
  password('tpm-auth-failed', 'the password of a hierarchy or of the storage root key is missing or wrong'),
  temporary('tpm-lockout', 'the TPM refuses PINs until its lockout ends'),
  temporary('tpm-out-of-memory', 'the TPM has no free slot for an object or session'),
  temporary('tpm-retry-exhausted', 'the TPM was busy for too long'),
  temporary('tpm-canceled', 'the command was canceled'),
  temporary('tpm-session', 'a TPM response was changed in transit'),
  temporary('tpm-command-blocked', 'Windows or the kernel blocked a command'),
  temporary('tpm-identity-changed', 'the parent key was replaced while the TPM made the key'),
  temporary('tpm-cleared', 'the TPM was cleared after its identity was recorded'),
  temporary('tpm-replaced', 'this is a different TPM from the recorded one'),
  temporary('tpm-rolled-back', "the TPM's state was restored from an older copy"),
  temporary('transport-unreachable', 'no TPM answers at the address'),
  temporary('transport-permission', 'this user has no permission to open the TPM'),
  temporary('transport-busy', 'another program is using the TPM'),
  temporary('transport-timeout', 'the TPM did not answer in time'),
  temporary('transport-lost', 'the connection to the TPM broke'),
  temporary('transport-protocol', 'the program at the address is not a TPM 2.0'),
  temporary('transport-closed', 'the connection to the TPM was closed'),
  temporary('state-in-use', "another process uses this virtual TPM's state"),
  temporary('state-io', "the virtual TPM's state cannot be read or written, for example because the disk is full"),
  temporary('state-invalid', "the virtual TPM's state is damaged; you can restore a copy"),
  temporary('codec', 'a TPM response is cut off or damaged'),
  temporary('key-invalid', 'the TPM has lost the key that was just made'),
  temporary('replay-mismatch', 'the recording that replaces the TPM lacks the command'),
  temporary('recording-invalid', 'the recording that replaces the TPM is damaged'),
];

/** Errors that only pass on their cause, which has the class. */
const WRAPPERS: ReadonlySet<AttemptCode> = new Set(['no-tpm', 'attestation-unavailable']);

const isOurs = (error: unknown): error is KeyprovError | PassedOver =>
  error instanceof KeyprovError || error instanceof PassedOver;

/** Finds the row of {@link FALLBACK_REASONS} for `error`; undefined if there is none, which counts as temporary. */
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
  return fallbackReasonOf(error)?.class ?? 'temporary';
}

/** Seconds until it makes sense to try again; undefined if neither `error` nor a cause of it says. */
export function retryAfterOf(error: unknown): number | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('retryAfterSeconds' in at && typeof at.retryAfterSeconds === 'number') return at.retryAfterSeconds;
  }
  return undefined;
}
