import { type ChildProcess, execFile } from 'node:child_process';
import { win32 } from 'node:path';
import { promisify } from 'node:util';
import { KeyprovError } from '../errors.ts';
import { LIMIT } from '../limits.ts';
import { type SignalOptions, unlessAborted } from '../signal.ts';
import { errorCode } from './file-error.ts';

export interface RunProgramOptions extends SignalOptions {
  /** Default: a minute. */
  readonly timeoutMs?: number | undefined;
  /** Default: that of this process. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** What to do instead if it fails. */
  readonly remedy?: string | undefined;
}

const TIMEOUT_MS = 60_000;

const running = new Set<ChildProcess>();
const killAll = (): void => {
  for (const child of running) kill(child);
};
// Node's own signal sends SIGTERM, which can be ignored.
const kill = (child: ChildProcess): boolean => child.kill('SIGKILL');

/**
 * Runs a non-interactive program that prints at most 1 MiB, and returns its output. Kills the program when it is no
 * longer waited for, also because this process ends.
 * @throws KeyprovError `library-missing` if it is not there; `library-unsuitable` if it cannot be run, fails (the code
 * of `cause` is its exit code), is ended by a signal, prints too much or takes too long; the reason of `signal`.
 */
export async function runProgram(
  path: string,
  args: readonly string[],
  { signal, timeoutMs = TIMEOUT_MS, env, remedy }: RunProgramOptions = {},
): Promise<string> {
  signal?.throwIfAborted();
  const limits = { timeout: timeoutMs, maxBuffer: LIMIT.document, killSignal: 'SIGKILL', windowsHide: true } as const;
  const output = promisify(execFile)(path, args, { ...limits, ...(env && { env }) });
  const { child } = output;
  if (running.size === 0) process.on('exit', killAll);
  running.add(child);
  try {
    return (await unlessAborted(() => output, signal)).stdout;
  } catch (cause) {
    kill(child);
    signal?.throwIfAborted();
    const code = errorCode(cause);
    const name = win32.basename(path);
    // EACCES also if a directory of PATH cannot be read.
    if (code === 'ENOENT' || code === 'EACCES') {
      const where = name === path ? ' in PATH' : '';
      const whose = code === 'EACCES' ? ' that this user can run' : '';
      throw new KeyprovError('library-missing', `there is no ${path}${where}${whose}`, { cause, remedy });
    }
    throw new KeyprovError('library-unsuitable', `${name} ${endOf(cause, timeoutMs)}`, { cause, remedy });
  } finally {
    running.delete(child);
    if (running.size === 0) process.off('exit', killAll);
  }
}

/** Node's code for a program that was killed since it printed more than `maxBuffer`. */
const TOO_MUCH = 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER';

function endOf(error: unknown, timeoutMs: number): string {
  const { code, killed, signal } = error as { code?: unknown; killed?: unknown; signal?: unknown };
  if (code === TOO_MUCH) return `printed more than ${LIMIT.document} bytes`;
  if (killed === true) return `did not end within ${timeoutMs} ms`;
  if (typeof code === 'number') return `ended with exit code ${code}`;
  return typeof signal === 'string' ? `was killed by ${signal}` : `cannot be run: ${code}`;
}
