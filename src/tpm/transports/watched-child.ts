import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

/** What a {@link WatchedChild} is started with. */
export interface WatchedChildOptions {
  /** The program, by name or path, and its arguments. */
  readonly command: readonly string[];
  /** Directory for what is temporary, with its messages in `log`; removed when the parent goes without a word. */
  readonly directory: string;
  /** Its environment. Default: ours. */
  readonly env?: NodeJS.ProcessEnv | undefined;
}

const STOP_TIMEOUT_MS = 2_000;

/**
 * Becomes the program, in its own process id, and leaves a watcher behind that ends it when the parent goes without a
 * word, however that happens: then file descriptor 3 ends without the line that is written at its end.
 * $1 is the directory to remove in that case; what follows is the command. What it says goes into a file: it would stop
 * for good before a pipe that this process is too busy to empty.
 */
const LAUNCHER = `
directory=$1; shift
( read -r _ <&3 || { kill $$; rm -rf -- "$directory"; } ) >/dev/null 2>&1 &
exec "$@" 3<&- 2>"$directory/log"`;

/** A process of ours and what it says. It ends with this process, however that happens. */
export class WatchedChild {
  readonly #process: ChildProcess;
  readonly #log: string;
  /** Ended, and everything it said is read; or it could not be started at all. */
  readonly #ended: Promise<void>;
  #hasEnded = false;
  #spawnError: Error | undefined;
  #said = '';

  constructor({ command, directory, env = process.env }: WatchedChildOptions) {
    this.#log = join(directory, 'log');
    // A session of its own keeps the terminal's Ctrl-C away from it.
    this.#process = spawn('/bin/sh', ['-c', LAUNCHER, 'keyprov-child', directory, ...command], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
      detached: true,
      env,
    });
    this.#process.on('error', (error) => {
      this.#spawnError = error;
    });
    this.#ended = once(this.#process, 'exit').then(
      () => this.#end(),
      () => this.#end(),
    );
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** What it said; complete when it has ended. */
  get said(): string {
    return this.#said;
  }

  /** Why it could not be run, which may be `undefined` where the shell has said it; absent where it ran. */
  get notRun(): { readonly cause: Error | undefined } | undefined {
    const code = this.#process.exitCode;
    return this.#spawnError !== undefined || code === 127 || code === 126 ? { cause: this.#spawnError } : undefined;
  }

  /** How it ended: `exit code 1`, `SIGKILL`. */
  get ending(): string {
    const { exitCode, signalCode } = this.#process;
    return exitCode === null ? `${signalCode}` : `exit code ${exitCode}`;
  }

  /** Ends it by SIGTERM, and where that does not do, by SIGKILL. */
  async kill(timeoutMs: number = STOP_TIMEOUT_MS): Promise<void> {
    if (this.#hasEnded) return;
    this.#process.kill('SIGTERM');
    if (!(await this.endsWithin(timeoutMs))) {
      this.#process.kill('SIGKILL');
      await this.#ended;
    }
  }

  /** Whether it ends in that time. */
  async endsWithin(ms: number): Promise<boolean> {
    const timer = new AbortController();
    const late = delay(ms, undefined, { signal: timer.signal }).catch(() => undefined);
    await Promise.race([this.#ended, late]);
    timer.abort();
    return this.#hasEnded;
  }

  /** Sends the watcher away: the process id may soon be someone else's. */
  async #end(): Promise<void> {
    const watcher = this.#process.stdio[3];
    if (watcher instanceof Writable) watcher.on('error', () => undefined).end('\n');
    // Absent where the program could not even be started.
    this.#said = await readFile(this.#log, 'utf8').catch(() => '');
    this.#hasEnded = true;
  }
}
