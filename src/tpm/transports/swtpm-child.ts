import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { KeyprovError } from '../../errors.ts';
import type { SocketTarget } from './socket-connection.ts';
import { controlSwtpm, SWTPM_CONTROL } from './swtpm-control.ts';
import { WatchedChild } from './watched-child.ts';

/** Where a swtpm listens. */
export interface SwtpmSockets {
  readonly data: SocketTarget;
  readonly control: SocketTarget;
}

export interface SwtpmChildOptions {
  readonly executable: string;
  /** Directory of the TPM's state. */
  readonly state: string;
  readonly sockets: SwtpmSockets;
  /** Temporary directory; removed if the parent dies. */
  readonly directory: string;
}

// Long, since the machine may be busy; if the program fails it ends, and that is noticed at once.
const START_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 2_000;
const POLL_MS = 2;

const socketArgument = (target: SocketTarget): string =>
  'path' in target ? `type=unixio,path=${target.path},mode=0600` : `type=tcp,port=${target.port}`;

/** A swtpm process and its output. It ends with this process, however this process ends. */
export class SwtpmChild {
  readonly #state: string;
  readonly #control: SocketTarget;
  readonly #pidFile: string;
  readonly #process: WatchedChild;

  constructor({ executable, state, sockets: { data, control }, directory }: SwtpmChildOptions) {
    this.#state = state;
    this.#control = control;
    this.#pidFile = join(directory, 'pid');
    this.#process = new WatchedChild({
      command: [
        ...[executable, 'socket', '--tpm2', '--tpmstate', `dir=${state}`, '--pid', `file=${this.#pidFile}`],
        ...['--server', socketArgument(data), '--ctrl', socketArgument(control)],
        ...['--flags', 'not-need-init,startup-clear', '--locality', 'allow-set-locality'],
      ],
      directory,
    });
  }

  get pid(): number {
    return this.#process.pid;
  }

  get portTaken(): boolean {
    return this.#process.said.includes('Address already in use');
  }

  /** Waits until it listens and answers. */
  async ready(signal: AbortSignal | undefined): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    // swtpm writes the file once both sockets are its own: another program's swtpm cannot be mistaken for this one.
    while ((await readFile(this.#pidFile, 'utf8').catch(() => '')) !== String(this.pid)) {
      signal?.throwIfAborted();
      if (this.#process.hasEnded) throw this.#failure();
      if (Date.now() > deadline) {
        throw new KeyprovError('transport-timeout', `swtpm: not ready after ${START_TIMEOUT_MS} ms`);
      }
      await delay(POLL_MS);
    }
    try {
      await controlSwtpm(this.#control, SWTPM_CONTROL.GET_CAPABILITY, { signal, timeoutMs: START_TIMEOUT_MS });
    } catch (error) {
      signal?.throwIfAborted();
      throw (await this.#process.endsWithin(STOP_TIMEOUT_MS)) ? this.#failure() : error;
    }
  }

  async kill(): Promise<void> {
    await this.#process.kill();
  }

  /** Shuts it down cleanly. */
  async stop(): Promise<void> {
    if (this.#process.hasEnded) return;
    const told = await controlSwtpm(this.#control, SWTPM_CONTROL.SHUTDOWN).then(
      () => true,
      // It may have ended, or serve another client: a signal ends it in any case.
      () => false,
    );
    if (!told || !(await this.#process.endsWithin(STOP_TIMEOUT_MS))) await this.kill();
  }

  #failure(): KeyprovError {
    const { said: all, notRun, ending } = this.#process;
    const text = all.trim().slice(-1024);
    const said = text === '' ? '' : `: ${text.replaceAll('\n', ' / ')}`;
    if (notRun !== undefined) {
      return new KeyprovError('library-missing', notRun, { remedy: 'install it (Debian: apt-get install swtpm)' });
    }
    if (all.includes('Could not lock access')) {
      return new KeyprovError('state-in-use', `swtpm: another TPM uses ${this.#state}${said}`, {
        remedy: 'stop the other TPM, or use another directory',
      });
    }
    if (all.includes('Could not open lockfile')) {
      return new KeyprovError('state-io', `swtpm: cannot write to ${this.#state}${said}`);
    }
    if (all.includes('Could not initialize libtpms')) {
      return new KeyprovError('state-invalid', `swtpm: refused the state in ${this.#state}${said}`, {
        remedy: 'restore a copy, or use a new directory',
      });
    }
    return new KeyprovError('transport-unreachable', `swtpm: ended with ${ending}${said}`);
  }
}
