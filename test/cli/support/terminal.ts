import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CHEAP_SCRYPT } from '../../cheap-scrypt-option.ts';
import { environment, MAIN } from './keyprov.ts';

/** Not one that a version manager has put before it in the path: each of those starts a shell first. */
const PYTHON = '/usr/bin/python3';

/** What a call in a terminal has left behind. */
export interface TerminalEnd {
  readonly status: number;
  /** What the terminal showed. */
  readonly shown: string;
  readonly stdout: string;
  /** For each answer, whether the terminal showed what was typed. */
  readonly echoes: readonly boolean[];
  /** Whether the terminal was as before in the end. */
  readonly restored: boolean;
}

/** Why there are no pseudo-terminals; undefined where there are, and in continuous integration, where they must be. */
export function terminalsMissing(): string | undefined {
  const { status, stderr } = spawnSync(PYTHON, ['-c', 'import os; os.openpty()'], { encoding: 'utf8' });
  if (status === 0 || process.env.CI === 'true') return undefined;
  const reason = `no pseudo-terminals: ${stderr?.trim().split('\n').at(-1) ?? `${PYTHON} is not installed`}`;
  console.warn(`skipped: ${reason}`);
  return reason;
}

/** Runs `keyprov`, with PINs derived at no cost, in a pseudo-terminal, where each question gets its answer. Standard output is a pipe. */
export async function keyprovInTerminal(
  args: readonly string[],
  steps: readonly (readonly [expect: string, send: string])[],
  { env = {}, stdout = 'pipe' }: { env?: Readonly<Record<string, string>>; stdout?: 'pipe' | 'terminal' } = {},
): Promise<TerminalEnd> {
  const task = {
    ...{ argv: [process.execPath, CHEAP_SCRYPT, MAIN, ...args], env: environment(env), stdout },
    steps: steps.map(([expect, send]) => ({ expect, send })),
  };
  const script = join(process.cwd(), 'test/cli/support/run_in_terminal.py');
  const { stdout: json } = await promisify(execFile)(PYTHON, [script, JSON.stringify(task)]);
  return JSON.parse(json);
}
