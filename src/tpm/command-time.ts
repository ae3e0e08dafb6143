import type { Bytes } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import { AbortWatch, countDown } from '../signal.ts';
import type { AnyCommand } from './command.ts';
import { isTransportError, type TpmTransport } from './transport.ts';

/**
 * How long a TPM may take for one command before its transport counts as dead, in milliseconds. With a resource
 * manager, `keyGenerationMs` is added to both times, because a key generation of another program may come first.
 */
export interface CommandTimeouts {
  /** For commands that make keys or seeds, or run a full self-test. Default: 300,000, as in the Linux kernel. */
  readonly keyGenerationMs?: number | undefined;
  /**
   * For all other commands. Default: 90,000, as in the TCG PC Client Device Driver Design Principles for TPM 2.0,
   * section 10.
   */
  readonly otherMs?: number | undefined;
}

/** Time limits for a TPM. */
export interface TpmTimes {
  /** How long to wait for a response before the command and the transport are given up. */
  readonly commandTimeouts?: CommandTimeouts | undefined;
  /**
   * Aborts when all work with this TPM must end. From then on each command, including clean-up, has half a second;
   * after that, the TPM is given up.
   */
  readonly lifetime?: AbortSignal | undefined;
}

const DEFAULTS = { keyGenerationMs: 300_000, otherMs: 90_000 } as const;
const LONGEST_MS = 2 ** 31 - 1;

/** The commands that make primes or seeds (TPM2_DURATION_LONG_LONG of Linux), or run every self-test. */
const SLOW: ReadonlySet<string> = new Set<AnyCommand['name']>([
  ...(['Create', 'CreatePrimary', 'CreateLoaded'] as const),
  ...(['Clear', 'ChangePPS', 'ChangeEPS'] as const),
  ...(['SelfTest', 'IncrementalSelfTest'] as const),
]);

/**
 * The longest time for a command. If a resource manager also serves other clients, one key generation of theirs may
 * come first.
 */
export function timeFor(
  name: AnyCommand['name'],
  { managed }: Pick<TpmTransport, 'managed'>,
  { keyGenerationMs = DEFAULTS.keyGenerationMs, otherMs = DEFAULTS.otherMs }: CommandTimeouts,
): number {
  return Math.min((SLOW.has(name) ? keyGenerationMs : otherMs) + (managed ? keyGenerationMs : 0), LONGEST_MS);
}

/** @throws TypeError for an unknown command time; RangeError for an invalid one. */
export function checkTimeouts(timeouts: CommandTimeouts): void {
  checkMembers('commandTimeouts', timeouts, 'keyGenerationMs:number? otherMs:number?');
  for (const [name, value] of Object.entries(timeouts)) {
    if (value !== undefined && !(value > 0 && value <= LONGEST_MS)) {
      throw new RangeError(`commandTimeouts.${name} must be 1 to ${LONGEST_MS} milliseconds, not ${value}`);
    }
  }
}

/** How long each command has when the work is to end, in milliseconds. */
const ENDING_MS = 500;

/** Sends commands to a TPM, and gives up the transport for good if one takes too long. */
export class TimedSender {
  readonly #transport: TpmTransport;
  readonly #timeouts: CommandTimeouts;
  readonly #lifetime: AbortSignal | undefined;
  readonly #end = new AbortController();
  readonly #watch = new AbortWatch();
  /** True once a command has met a lost connection: its caller knows. */
  isLost = false;

  constructor(transport: TpmTransport, { commandTimeouts = {}, lifetime }: TpmTimes) {
    this.#transport = transport;
    this.#timeouts = commandTimeouts;
    this.#lifetime = lifetime;
  }

  /** @throws the transport's error; KeyprovError `transport-timeout`, and `transport-lost` from then on. */
  async send(name: AnyCommand['name'], command: Uint8Array, signal: AbortSignal | undefined): Promise<Bytes> {
    const limit = this.#end.signal;
    const { address } = this.#transport;
    if (limit.aborted) {
      throw new KeyprovError('transport-lost', `${address}: the connection is unusable after an earlier failure`, {
        cause: limit.reason,
        remedy: 'open the TPM again',
      });
    }
    let stop = (): void => {};
    const wait = (ms: number): void => {
      stop();
      stop = countDown(ms, () => this.giveUp(`TPM2_${name} was not answered within ${ms / 1000} s`));
    };
    const hurry = (): void => wait(ENDING_MS);
    const lifetime = this.#lifetime;
    if (lifetime?.aborted) hurry();
    else wait(timeFor(name, this.#transport, this.#timeouts));
    lifetime?.addEventListener('abort', hurry, { once: true });
    try {
      return await this.#watch.wait(this.#transport.send(command, { signal, limit }), limit);
    } catch (error) {
      this.isLost ||= isTransportError(error);
      throw error;
    } finally {
      stop();
      lifetime?.removeEventListener('abort', hurry);
    }
  }

  /** True once the work is to end, and only clean-up is left. */
  get isEnding(): boolean {
    return this.#lifetime?.aborted === true;
  }

  /** Aborts the running command and gives up the transport. The error message begins with `why`. */
  giveUp(why: string): void {
    const problem = `${this.#transport.address}: ${why}; the TPM may or may not have executed the command`;
    const remedy =
      'open the TPM again and check its state before you repeat the command; if it still does not answer, ' +
      'restart it; if it is only slow, raise commandTimeouts';
    this.#end.abort(new KeyprovError('transport-timeout', problem, { remedy }));
  }
}
