import { spawn, spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';

/** The program as `npm` would link it. */
export const MAIN: string = join(process.cwd(), 'dist/src/cli/main.js');

/** The result of a call. */
export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How {@link keyprov} is called. */
export interface CallOptions {
  readonly cwd?: string;
  readonly input?: string;
  /** Added to an environment without keyprov's variables. */
  readonly env?: Readonly<Record<string, string>>;
  /** Runs as another user, if this user may do so. */
  readonly uid?: number;
}

/** The environment of the tests, without variables that change the output. */
export function environment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(KEYPROV_|TPM2|(NO|FORCE)_COLOR$|CI$)/.test(name));
  return { ...Object.fromEntries(kept), ...more };
}

/** Runs `keyprov` until it ends. */
export function keyprov(args: readonly string[], { cwd, input = '', env, uid }: CallOptions = {}): Ended {
  const { status, signal, stdout, stderr, error } = spawnSync(process.execPath, [MAIN, ...args], {
    ...{ encoding: 'utf8', input, env: environment(env), timeout: 280_000 },
    ...(cwd !== undefined && { cwd }),
    ...(uid !== undefined && { uid, gid: uid }),
  });
  if (error !== undefined) throw error;
  return { status: shellStatus(status, signal), stdout, stderr };
}

/** How a process ended, as shells report it. */
const shellStatus = (status: number | null, signal: NodeJS.Signals | null): number | null =>
  signal === null ? status : 128 + constants.signals[signal];

/** Runs `keyprov … --json`, which must write one object and nothing else. */
export function keyprovJson(args: readonly string[], options?: CallOptions): { status: number | null; json: unknown } {
  const { status, stdout, stderr } = keyprov([...args, '--json'], options);
  if (stderr !== '') throw new Error(`standard error is not empty: ${stderr}`);
  return { status, json: JSON.parse(stdout) };
}

/** Starts `keyprov`. Returns the process and a promise for its result. */
export function startKeyprov(args: readonly string[], options: CallOptions = {}) {
  const child = spawn(process.execPath, [MAIN, ...args], { env: environment(options.env), cwd: options.cwd });
  const ended = new Promise<Ended>((resolve) => {
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('close', (status, signal) => resolve({ status: shellStatus(status, signal), stdout, stderr }));
  });
  return { child, ended };
}

/** Runs `keyprov` until it ends without blocking this process, which may be the service that it uses. */
export async function keyprovBeside(args: readonly string[], options: CallOptions = {}): Promise<Ended> {
  const { child, ended } = startKeyprov(args, options);
  child.stdin.end(options.input ?? '');
  return await ended;
}

/** Like {@link keyprovBeside} with `--json`: standard output must be one object. Standard error may contain questions. */
export async function keyprovJsonBeside(
  args: readonly string[],
  options?: CallOptions,
): Promise<{ status: number | null; json: Record<string, unknown>; stderr: string }> {
  const { status, stdout, stderr } = await keyprovBeside([...args, '--json'], options);
  return { status, json: JSON.parse(stdout), stderr };
}

/** Appends `more` to a command line; its options replace the same options in `words`. */
export function override(words: readonly string[], ...more: readonly string[]): string[] {
  const isReplaced = (word = ''): boolean => word.startsWith('--') && more.includes(word);
  return [...words.filter((word, i) => !(isReplaced(word) || isReplaced(words[i - 1]))), ...more];
}
