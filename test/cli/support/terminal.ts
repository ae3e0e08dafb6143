import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CHEAP_SCRYPT } from '../../cheap-scrypt-option.ts';
import { CHEAP_SERVICE } from '../../cheap-service-option.ts';
import { missingOutsideCi, PYTHON } from '../../programs.ts';
import { environment, MAIN } from './keyprov.ts';

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

/** The reason why tests in pseudo-terminals must be skipped; see `missingOutsideCi`. */
export function terminalsMissing(): string | undefined {
  const { status, stderr } = spawnSync(PYTHON, ['-c', 'import os; os.openpty()'], { encoding: 'utf8' });
  const why = () => stderr?.trim().split('\n').at(-1) ?? `${PYTHON} is not installed`;
  return missingOutsideCi(status === 0 ? undefined : `no pseudo-terminals: ${why()}`);
}

/**
 * Runs `keyprov` in a pseudo-terminal, without scrypt and with cheap connections, and answers each question. Standard output is
 * a pipe.
 */
export async function keyprovInTerminal(
  args: readonly string[],
  steps: readonly (readonly [expect: string, send: string])[],
  { env = {}, stdout = 'pipe' }: { env?: Readonly<Record<string, string>>; stdout?: 'pipe' | 'terminal' } = {},
): Promise<TerminalEnd> {
  const task = {
    ...{ argv: [process.execPath, CHEAP_SERVICE, CHEAP_SCRYPT, MAIN, ...args], env: environment(env), stdout },
    steps: steps.map(([expect, send]) => ({ expect, send })),
  };
  const script = join(process.cwd(), 'test/cli/support/run_in_terminal.py');
  const { stdout: json } = await promisify(execFile)(PYTHON, [script, JSON.stringify(task)]);
  return JSON.parse(json);
}
