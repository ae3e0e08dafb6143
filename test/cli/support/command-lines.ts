import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { afterAll } from 'vitest';
import { CHEAP_SCRYPT } from '../../cheap-scrypt-option.ts';
import { CHEAP_SERVICE } from '../../cheap-service-option.ts';
import { type CallOptions, type Ended, environment, MAIN } from './keyprov.ts';

/** The result of a call with `--json`, whose standard output is one object. */
export interface JsonEnded {
  readonly status: number | null;
  readonly json: Record<string, unknown>;
  readonly stderr: string;
}

/** Options of {@link commandLines}. */
export interface CommandLinesOptions {
  /** Whether to skip scrypt, as in `test/cheap-scrypt.mjs`. */
  readonly cheapScrypt?: boolean;
}

/**
 * A process that runs `keyprov` command lines one after the other, which saves starting a process for each. It connects to
 * services as in `test/cheap-service.mjs`. Tests of how a process starts and ends use a new process for each call.
 */
export class CommandLines implements AsyncDisposable {
  readonly #options: CommandLinesOptions;
  #child: ChildProcess | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: CommandLinesOptions = {}) {
    this.#options = options;
  }

  /** Runs `keyprov` until it ends. */
  readonly run = (args: readonly string[], options: Omit<CallOptions, 'uid'> = {}): Promise<Ended> => {
    const ended = this.#last.then(() => this.#runHere(args, options));
    this.#last = ended.catch(() => undefined);
    return ended;
  };

  /** Runs `keyprov` with `--json`. Standard error may contain questions to the user. */
  readonly json = async (args: readonly string[], options?: Omit<CallOptions, 'uid'>): Promise<JsonEnded> => {
    const { status, stdout, stderr } = await this.run([...args, '--json'], options);
    return { status, json: JSON.parse(stdout), stderr };
  };

  /** Runs `keyprov` with `--json`. Standard error must be empty. */
  readonly onlyJson = async (
    args: readonly string[],
    options?: Omit<CallOptions, 'uid'>,
  ): Promise<Pick<JsonEnded, 'status' | 'json'>> => {
    const { status, json, stderr } = await this.json(args, options);
    if (stderr !== '') throw new Error(`standard error is not empty: ${stderr}`);
    return { status, json };
  };

  async #runHere(
    args: readonly string[],
    { cwd = process.cwd(), input = '', env }: Omit<CallOptions, 'uid'>,
  ): Promise<Ended> {
    this.#child ??= fork('test/cli/support/command-lines.mjs', [MAIN], {
      execArgv: [CHEAP_SERVICE, ...(this.#options.cheapScrypt ? [CHEAP_SCRYPT] : [])],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    const child = this.#child;
    const answered = new AbortController();
    const ended = once(child, 'exit', { signal: answered.signal }).then(([code, signal]) => {
      throw new Error(`keyprov ${args.join(' ')} has ended the process: ${code ?? signal}`);
    });
    child.send({ args, cwd, input, env: environment(env) });
    try {
      const [answer] = await Promise.race([once(child, 'message'), ended]);
      return answer;
    } finally {
      ended.catch(() => undefined);
      answered.abort();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill();
    await once(child, 'exit');
  }
}

/** One process for all tests of a file, or of the `describe` in which it is called. It starts with the first call. */
export function commandLines(options?: CommandLinesOptions): CommandLines {
  const commands = new CommandLines(options);
  afterAll(async () => await commands[Symbol.asyncDispose]());
  return commands;
}
