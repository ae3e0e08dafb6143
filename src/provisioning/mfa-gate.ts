import { checkObject, checkText } from '../bytes.ts';
import { MfaError, type MfaProblem } from '../errors/mfa-error.ts';
import { isKeyprovError, type KeyprovError, sayError } from '../errors.ts';
import { checkGuid } from '../formats/windows/guid.ts';
import { checkMembers } from '../known-members.ts';
import { sayTime } from '../printable.ts';
import { readTokenClaims, type TokenClaims, tokenProblems } from '../registration/registration-token.ts';
import { type Sleep, sleepFor } from '../registration/sleep.ts';
import { checkTimeout, type SignalOptions, unlessAborted } from '../signal.ts';

/** Age in milliseconds up to which an authentication is fresh: 10 minutes. */
const FRESH_MS = 600_000;
const DEFAULT_TIMEOUT_MS = 600_000;

/** A request to your sign-in tool for a token that proves that the user has just passed multi-factor authentication. */
export interface MfaRequest {
  /** The user principal name that the token must contain. */
  readonly user: string;
  /** GUID that the token's `deviceid` must have. */
  readonly deviceId: string;
  /** The audience that the token must have: the resource id of the registration service. */
  readonly resource: string;
  /** The value of `amr_values` to send, so a sign-in with an earlier key does not count. MS-OAPX 2.2.3. */
  readonly amrValues: 'ngcmfa';
  /** Value of `mfa_max_age` to send: an older authentication does not count. */
  readonly maxAgeSeconds: number;
  /** Number of this try, from 1. */
  readonly attempt: number;
  /** The problems of the last try; empty the first time. */
  readonly problems: readonly MfaProblem[];
}

/** Result of the authentication. */
export type MfaAnswer =
  | {
      readonly status: 'passed';
      /** The access token, a JWT. */
      readonly token: string;
      /** When the user passed, if the tool knows that more exactly than the token. */
      readonly passedAt?: Date | undefined;
    }
  | {
      readonly status: 'failed';
      /** Reason for people: one sentence, with nothing secret in it. */
      readonly reason: string;
    };

/**
 * Has the user authenticate, in the tool's own window. Closes the window when `signal` aborts; a later answer is
 * dropped. If it rejects, the try has failed, and the user is asked again up to `maxAttempts`. To let the user cancel, abort
 * the `signal` that you passed to `provision`.
 */
export type MfaPrompt = (request: MfaRequest, options: { readonly signal: AbortSignal }) => Promise<MfaAnswer>;

/** Options of {@link passMfa}. */
export interface PassMfaOptions extends Pick<MfaRequest, 'user' | 'deviceId' | 'resource'>, SignalOptions {
  /** Which values of the token's `amr` count as multi-factor. Default: `ngcmfa` only. */
  readonly methods?: readonly string[] | undefined;
  /** How old the authentication may be, in milliseconds. Default 10 minutes. */
  readonly maxAgeMs?: number | undefined;
  /** How long one try may take, in milliseconds. Default 10 minutes. */
  readonly timeoutMs?: number | undefined;
  /** Maximum number of tries. Default 1. */
  readonly maxAttempts?: number | undefined;
  /** Asks whether to try again after an error. Default: yes. */
  readonly mayRetry?: ((error: KeyprovError, attempt: number) => Promise<boolean>) | undefined;
  /** The clock. */
  readonly now?: (() => Date) | undefined;
  /** The timer; rejects when its signal aborts. */
  readonly sleep?: Sleep | undefined;
}

/**
 * Proof that a user has passed multi-factor authentication: the token and its times. Printing it does not show the
 * token.
 */
export class MfaProof {
  /** The latest time at which the user can have passed. */
  readonly passedAt: Date;
  /** When the token expires. */
  readonly expires: Date;
  readonly claims: TokenClaims;
  readonly #token: string;

  /** Use {@link passMfa}, which checks the token. */
  constructor(token: string, { passedAt, expires, claims }: Pick<MfaProof, 'passedAt' | 'expires' | 'claims'>) {
    this.#token = token;
    this.passedAt = passedAt;
    this.expires = expires;
    this.claims = claims;
  }

  /** The access token, for the `Authorization` header and nothing else. */
  token(): string {
    return this.#token;
  }
}

/**
 * Has the user pass multi-factor authentication, and checks the token. Waits until the user succeeds, fails or runs out
 * of time.
 *
 * @throws after the last try: MfaError `mfa-failed` if the user did not pass, `token-invalid` with every problem of the
 * token, `mfa-timeout`, `mfa-stale` if the authentication is not fresh; KeyprovErrors of the prompt.
 * @throws RangeError for impossible times and numbers, TypeError for a device id that is not a GUID, or an answer that
 * is not an `MfaAnswer`.
 * @throws the reason of `signal` when it aborts.
 */
export async function passMfa(prompt: MfaPrompt, options: PassMfaOptions): Promise<MfaProof> {
  options = checkMembers(
    'passMfa',
    options,
    'user:text deviceId:text resource:text methods:texts? maxAgeMs:number? timeoutMs:number? maxAttempts:number? mayRetry:function? sleep:function?',
    'now:function? signal',
  );
  const { timeoutMs = DEFAULT_TIMEOUT_MS, maxAgeMs = FRESH_MS, maxAttempts = 1, mayRetry, signal } = options;
  checkTimeout(timeoutMs, 'timeoutMs');
  if (!(maxAgeMs > 0)) throw new RangeError(`maxAgeMs must be above 0, not ${maxAgeMs}`);
  if (!(maxAttempts >= 1)) throw new RangeError(`maxAttempts must be 1 or more, not ${maxAttempts}`);
  checkGuid(options.deviceId, 'deviceId'); // fails now, not after the user has authenticated
  let problems: readonly MfaProblem[] = [];
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await tryOnce(prompt, { ...options, timeoutMs, maxAgeMs }, attempt, problems);
    } catch (error) {
      signal?.throwIfAborted();
      if (!isKeyprovError(error) || attempt >= maxAttempts) throw error;
      if (mayRetry !== undefined && !(await unlessAborted(() => mayRetry(error, attempt), signal))) throw error;
      problems = error instanceof MfaError ? error.problems : [{ code: error.code, message: error.message }];
    }
  }
}

/**
 * Whether the proof can still be used: the authentication is fresh, and the token has not expired.
 * @throws TypeError for an argument of another kind.
 */
export function isFresh(
  proof: Pick<MfaProof, 'passedAt' | 'expires'>,
  now: Date,
  maxAgeMs: number = FRESH_MS,
): boolean {
  checkObject(proof, 'the proof', 'passedAt', 'expires');
  checkObject(now, 'now', 'getTime');
  const age = now.getTime() - proof.passedAt.getTime();
  // Below 0 the clock was set back, so the age is unknown.
  return age >= 0 && age <= maxAgeMs && now < proof.expires;
}

/** {@link isFresh}, for a second check right before the token is sent. @throws KeyprovError `mfa-stale` if not. */
export function checkFresh(
  proof: Pick<MfaProof, 'passedAt' | 'expires'>,
  now: Date,
  maxAgeMs: number = FRESH_MS,
): void {
  if (isFresh(proof, now, maxAgeMs)) return;
  const { passedAt, expires } = proof;
  const problem =
    now < expires
      ? `the authentication at ${sayTime(passedAt)} is not within the last ${maxAgeMs / 1000} s`
      : `the token expired at ${sayTime(expires)}`;
  throw new MfaError('mfa-stale', `${problem}, and it is now ${sayTime(now)}`, { remedy: 'authenticate again' });
}

type TryOptions = PassMfaOptions & { readonly timeoutMs: number; readonly maxAgeMs: number };

async function tryOnce(
  prompt: MfaPrompt,
  options: TryOptions,
  attempt: number,
  problems: readonly MfaProblem[],
): Promise<MfaProof> {
  const { user, deviceId, resource, methods, maxAgeMs, now = () => new Date() } = options;
  const maxAgeSeconds = Math.floor(maxAgeMs / 1000);
  const request: MfaRequest = { user, deviceId, resource, amrValues: 'ngcmfa', maxAgeSeconds, attempt, problems };
  const answer = await ask(prompt, request, options);
  if (answer?.status !== 'passed' && answer?.status !== 'failed')
    throw new TypeError("mfa must return { status: 'passed', token } or { status: 'failed', reason }");
  if (answer.status === 'failed') {
    checkText(answer.reason, 'the reason in the result of mfa');
    throw failed(answer.reason);
  }
  const { token, passedAt } = checkMembers('the result of mfa', answer, 'status:=passed token:text passedAt:date?');
  const at = now();
  const found = tokenProblems(token, { audience: resource, deviceId, user, now: at, methods });
  if (found.length > 0) {
    throw new MfaError('token-invalid', found, {
      remedy: 'get a new token for this service, user and device, after MFA on this device',
    });
  }
  const claims = readTokenClaims(token);
  // A tool that does not tell the time of the authentication has at least answered just now.
  const times = [at, claims.authenticatedAt ?? claims.issuedAt ?? at, passedAt ?? at].map((time) => time.getTime());
  const proof = new MfaProof(token, { passedAt: new Date(Math.min(...times)), expires: claims.expires ?? at, claims });
  checkFresh(proof, at, maxAgeMs);
  return proof;
}

/** Asks the tool, and waits for the answer until the time-out. */
async function ask(
  prompt: MfaPrompt,
  request: MfaRequest,
  { timeoutMs, sleep = sleepFor, signal }: TryOptions,
): Promise<MfaAnswer> {
  const window = new AbortController();
  const timer = new AbortController();
  const abort = (): void => window.abort(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  const expire = (): void => {
    const problem = `nobody authenticated within ${timeoutMs / 1000} s`;
    window.abort(new MfaError('mfa-timeout', problem, { remedy: 'try again' }));
  };
  sleep(timeoutMs, { signal: timer.signal }).then(expire, (error: unknown) => {
    if (!timer.signal.aborted) window.abort(error);
  });
  const answer = async (): Promise<MfaAnswer> => {
    try {
      return await prompt(request, { signal: window.signal });
    } catch (cause) {
      throw isKeyprovError(cause) ? cause : failed(`the authentication failed: ${sayError(cause)}`, cause);
    }
  };
  try {
    return await unlessAborted(answer, window.signal);
  } finally {
    timer.abort();
    signal?.removeEventListener('abort', abort);
  }
}

function failed(message: string, cause?: unknown): MfaError {
  return new MfaError('mfa-failed', message, { cause, remedy: 'try again' });
}
