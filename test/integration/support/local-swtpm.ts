import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** A swtpm for one test, on Unix sockets in a separate directory. */
export interface LocalSwtpm extends AsyncDisposable {
  /** Data socket; the control socket is this path + `.ctrl`. */
  readonly socket: string;
  /** Ends it at once, even during a command. */
  kill(): Promise<void>;
}

/** Starts a swtpm and sends TPM2_Startup. */
export async function startLocalSwtpm(): Promise<LocalSwtpm> {
  const directory = mkdtempSync(join(tmpdir(), 'keyprov-swtpm-'));
  const socket = join(directory, 's');
  const args = [
    ...['socket', '--tpm2', '--tpmstate', `dir=${directory}`, '--flags', 'not-need-init,startup-clear'],
    ...['--server', `type=unixio,path=${socket}`, '--ctrl', `type=unixio,path=${socket}.ctrl`],
    ...['--pid', `file=${directory}/pid`],
  ];
  // swtpm writes a line to stderr for each client that leaves, and blocks if the pipe is full.
  const child = spawn('swtpm', args, { stdio: 'ignore' });
  const kill = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    }
  };
  await ready(directory, child);
  return {
    socket,
    kill,
    async [Symbol.asyncDispose]() {
      await kill();
      rmSync(directory, { recursive: true });
    },
  };
}

/** Waits for swtpm's process id file, which swtpm writes once it listens on both sockets. */
async function ready(directory: string, child: ChildProcess): Promise<void> {
  while (readIfThere(join(directory, 'pid')) !== String(child.pid)) {
    if (child.exitCode !== null) throw new Error(`swtpm ended with ${child.exitCode}`);
    await delay(2);
  }
}

const readIfThere = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8').trim() : '');
