import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { EMPTY } from '../../bytes.ts';
import { readEnd } from '../../storage/read-input.ts';

export interface WatchedChildOptions {
  /** The program, by name or path, and its arguments. */
  readonly command: readonly string[];
  /** Temporary directory, with the program's messages in `log`; removed if the parent dies. */
  readonly directory: string;
  /** Its environment. Default: ours. */
  readonly env?: NodeJS.ProcessEnv | undefined;
}

const STOP_TIMEOUT_MS = 2_000;
/** Most bytes of its output that are kept. */
const MOST_OUTPUT = 65_536;

/**
 * Becomes the program, under its own process id, and leaves a watcher behind that ends it if the parent dies, however
 * that happens: file descriptor 3 then ends without the final line. After two seconds the watcher kills a program that
 * is still there. $1 is the directory to remove in that case; the rest is the command. The output goes to a file: with a
 * pipe, the program would stop if this process is too busy to empty it.
 */
const LAUNCHER = `
directory=$1; shift
( read -r _ <&3 && exit
  kill $$
  for _ in 1 2 3 4; do
    sleep 0.5
    kill -0 $$ || exec rm -rf -- "$directory"
  done
  kill -KILL $$
  rm -rf -- "$directory" ) >/dev/null 2>&1 &
exec "$@" 3<&- 2>"$directory/log"`;

/** A child process and its output. It ends with this process, however this process ends. */
export class WatchedChild {
  readonly #process: ChildProcess;
  readonly #log: string;
  readonly #program: string;
  /** Settles when the process has ended and all its output is read, or when it could not be started. */
  readonly #ended: Promise<void>;
  #hasEnded = false;
  #spawnError: Error | undefined;
  #said = '';

  constructor({ command, directory, env = process.env }: WatchedChildOptions) {
    this.#log = join(directory, 'log');
    [this.#program = ''] = command;
    // Its own session keeps the terminal's Ctrl-C away from it.
    this.#process = spawn('/bin/sh', ['-c', LAUNCHER, 'keyprov-child', directory, ...command], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
      detached: true,
      env,
    });
    this.#process.on('error', (error) => {
      this.#spawnError = error;
    });
    const end = (): Promise<void> => this.#end();
    this.#ended = once(this.#process, 'exit').then(end, end);
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** The last 64 KiB of its output, once it has ended. */
  get said(): string {
    return this.#said;
  }

  /** Why it could not be run, in words. Undefined if it ran. */
  get notRun(): string | undefined {
    const { exitCode } = this.#process;
    if (this.#spawnError !== undefined) return `${this.#program} cannot be run: ${this.#spawnError.message}`;
    if (exitCode === 126) return `${this.#program} is not an executable program`;
    if (exitCode !== 127) return undefined;
    return this.#program.includes('/') ? `${this.#program} does not exist` : `there is no ${this.#program} in PATH`;
  }

  /** How it ended: `exit code 1`, `SIGKILL`. */
  get ending(): string {
    const { exitCode, signalCode } = this.#process;
    return exitCode === null ? `${signalCode}` : `exit code ${exitCode}`;
  }

  /** Ends it by SIGTERM, and if that fails, by SIGKILL. */
  async kill(): Promise<void> {
    if (this.#hasEnded) return;
    this.#process.kill('SIGTERM');
    if (!(await this.endsWithin(STOP_TIMEOUT_MS))) {
      this.#process.kill('SIGKILL');
      await this.#ended;
    }
  }

  /** Tells whether it ends in that time. */
  async endsWithin(ms: number): Promise<boolean> {
    const timer = new AbortController();
    const late = delay(ms, undefined, { signal: timer.signal }).catch(() => undefined);
    await Promise.race([this.#ended, late]);
    timer.abort();
    return this.#hasEnded;
  }

  /** Ends the watcher, because the process id may soon belong to another process. */
  async #end(): Promise<void> {
    const watcher = this.#process.stdio[3];
    if (watcher instanceof Writable) watcher.on('error', () => undefined).end('\n');
    // Absent if the program could not even be started.
    const log = await readEnd(this.#log, MOST_OUTPUT).catch(() => EMPTY);
    this.#said = new TextDecoder().decode(log);
    this.#hasEnded = true;
  }
}
