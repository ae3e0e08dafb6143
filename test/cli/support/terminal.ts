import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CHEAP_SCRYPT } from '../../cheap-scrypt-option.ts';
import { environment, MAIN } from './keyprov.ts';

/** Avoids the wrappers that version managers put first in PATH, because each starts a shell. */
const PYTHON = '/usr/bin/python3';

/** The result of a call in a terminal. */
export interface TerminalEnd {
  readonly status: number;
  /** The text that the terminal showed. */
  readonly shown: string;
  readonly stdout: string;
  /** For each answer, whether the terminal showed the typed text. */
  readonly echoes: readonly boolean[];
  /** Whether the terminal's settings were restored at the end. */
  readonly restored: boolean;
}

/** The reason why there are no pseudo-terminals. Undefined if there are, and in continuous integration, where they must exist. */
export function terminalsMissing(): string | undefined {
  const { status, stderr } = spawnSync(PYTHON, ['-c', 'import os; os.openpty()'], { encoding: 'utf8' });
  if (status === 0 || process.env.CI === 'true') return undefined;
  const reason = `no pseudo-terminals: ${stderr?.trim().split('\n').at(-1) ?? `${PYTHON} is not installed`}`;
  console.warn(`skipped: ${reason}`);
  return reason;
}

/** Runs `keyprov` without scrypt in a pseudo-terminal and answers each question. Standard output is a pipe. */
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
