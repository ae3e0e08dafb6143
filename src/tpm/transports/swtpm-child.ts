import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { KeyprovError } from '../../errors.ts';
import type { SocketTarget } from './socket-connection.ts';
import { controlSwtpm, SWTPM_CONTROL } from './swtpm-control.ts';

/** Where a swtpm listens. */
export interface SwtpmSockets {
  readonly data: SocketTarget;
  readonly control: SocketTarget;
}

/** What a {@link SwtpmChild} is started with. */
export interface SwtpmChildOptions {
  readonly executable: string;
  /** Directory of the TPM's state. */
  readonly state: string;
  readonly sockets: SwtpmSockets;
  /** Directory for what is temporary; removed when the parent goes without a word. */
  readonly directory: string;
}

// Long, since the machine may be busy: a program that fails ends, and that is noticed at once.
const START_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 2_000;
const POLL_MS = 2;

/**
 * Becomes swtpm, in its own process id, and leaves a watcher behind that ends it when the parent goes without a
 * word, however that happens: then file descriptor 3 ends without the line that `stop` writes.
 * $1 is the directory to remove in that case; what follows is the command. What swtpm says goes into a file: it says
 * something of every client, and would stop for good before a pipe that this process is too busy to empty.
 */
const LAUNCHER = `
directory=$1; shift
( read -r _ <&3 || { kill $$; rm -rf -- "$directory"; } ) >/dev/null 2>&1 &
exec "$@" 3<&- 2>"$directory/log"`;

const socketArgument = (target: SocketTarget): string =>
  'path' in target ? `type=unixio,path=${target.path},mode=0600` : `type=tcp,port=${target.port}`;

/** A swtpm process and what it says. It ends with this process, however that happens. */
export class SwtpmChild {
  readonly #executable: string;
  readonly #state: string;
  readonly #control: SocketTarget;
  readonly #pidFile: string;
  readonly #log: string;
  readonly #process: ChildProcess;
  /** Ended, and everything it said is read; or it could not be started at all. */
  readonly #ended: Promise<void>;
  #hasEnded = false;
  #spawnError: Error | undefined;
  #said = '';

  constructor({ executable, state, sockets: { data, control }, directory }: SwtpmChildOptions) {
    this.#executable = executable;
    this.#state = state;
    this.#control = control;
    this.#pidFile = join(directory, 'pid');
    this.#log = join(directory, 'log');
    const swtpm = [
      ...[executable, 'socket', '--tpm2', '--tpmstate', `dir=${state}`, '--pid', `file=${this.#pidFile}`],
      ...['--server', socketArgument(data), '--ctrl', socketArgument(control)],
      ...['--flags', 'not-need-init,startup-clear', '--locality', 'allow-set-locality'],
    ];
    // A session of its own keeps the terminal's Ctrl-C away from it.
    this.#process = spawn('/bin/sh', ['-c', LAUNCHER, 'keyprov-swtpm', directory, ...swtpm], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
      detached: true,
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

  get portTaken(): boolean {
    return this.#said.includes('Address already in use');
  }

  /** Waits until it listens and answers. */
  async ready(signal: AbortSignal | undefined): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    // swtpm writes the file when both sockets are its own: another program's swtpm cannot be taken for this one.
    while ((await readFile(this.#pidFile, 'utf8').catch(() => '')) !== String(this.pid)) {
      signal?.throwIfAborted();
      if (this.#hasEnded) throw this.#failure();
      if (Date.now() > deadline) {
        throw new KeyprovError('transport-timeout', `swtpm: not ready after ${START_TIMEOUT_MS} ms`);
      }
      await delay(POLL_MS);
    }
    try {
      await controlSwtpm(this.#control, SWTPM_CONTROL.GET_CAPABILITY, { signal, timeoutMs: START_TIMEOUT_MS });
    } catch (error) {
      signal?.throwIfAborted();
      throw (await this.#endsWithin(STOP_TIMEOUT_MS)) ? this.#failure() : error;
    }
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGTERM');
    if (!(await this.#endsWithin(STOP_TIMEOUT_MS))) {
      this.#process.kill('SIGKILL');
      await this.#ended;
    }
  }

  /** Ends it in order. */
  async stop(): Promise<void> {
    if (this.#hasEnded) return;
    const told = await controlSwtpm(this.#control, SWTPM_CONTROL.SHUTDOWN).then(
      () => true,
      // It may be gone, or held by another client: a signal ends it in any case.
      () => false,
    );
    if (!told || !(await this.#endsWithin(STOP_TIMEOUT_MS))) await this.kill();
  }

  async #endsWithin(ms: number): Promise<boolean> {
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

  #failure(): KeyprovError {
    const text = this.#said.trim().slice(-1024);
    const said = text === '' ? '' : `: ${text.replaceAll('\n', ' / ')}`;
    const code = this.#process.exitCode;
    if (this.#spawnError !== undefined || code === 127 || code === 126) {
      return new KeyprovError('library-missing', `swtpm: cannot run ${this.#executable}${said}`, {
        cause: this.#spawnError,
        remedy: 'install it (Debian: apt-get install swtpm)',
      });
    }
    if (this.#said.includes('Could not lock access')) {
      return new KeyprovError('state-in-use', `swtpm: another TPM uses ${this.#state}${said}`, {
        remedy: 'end the other one, or use another directory',
      });
    }
    if (this.#said.includes('Could not open lockfile')) {
      return new KeyprovError('state-io', `swtpm: cannot write to ${this.#state}${said}`);
    }
    if (this.#said.includes('Could not initialize libtpms')) {
      return new KeyprovError('state-invalid', `swtpm: refused the state in ${this.#state}${said}`, {
        remedy: 'restore a copy, or use a new directory',
      });
    }
    return new KeyprovError(
      'transport-unreachable',
      `swtpm: ended with ${code === null ? this.#process.signalCode : `exit code ${code}`}${said}`,
    );
  }
}
