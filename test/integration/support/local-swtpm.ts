import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
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

/**
 * The reason why tests that need `programs` cannot run. Undefined if they can, and in continuous integration, where a missing
 * program must fail them.
 */
export function missingPrograms(...programs: string[]): string | undefined {
  const env = toolEnvironment();
  const missing = programs.filter((program) => spawnSync('which', [program], { env }).status !== 0);
  if (missing.length === 0 || process.env.CI === 'true') return undefined;
  console.warn(`skipped: ${missing.join(', ')} not installed`);
  return `${missing.join(', ')} not installed`;
}

/** Our environment with the directories of system programs in PATH, which ordinary users may lack. */
export const toolEnvironment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  PATH: `${process.env.PATH}:/usr/local/sbin:/usr/sbin:/sbin`,
});
