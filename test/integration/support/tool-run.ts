import { spawnSync } from 'node:child_process';
import { toolEnvironment } from '../../programs.ts';

/** The result of a program. */
export interface ToolRun {
  readonly status: number | null;
  /** Both outputs. */
  readonly said: string;
  readonly stdout: string;
}

/** Options of a program run. */
export interface ToolOptions {
  /** Additional environment variables. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly input?: string | undefined;
}

/** Runs a program until it ends, and blocks this process meanwhile. */
export function runTool(program: string, args: readonly string[], { env, input }: ToolOptions = {}): ToolRun {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    env: { ...toolEnvironment(), ...env },
    input,
    encoding: 'utf8',
    maxBuffer: 2 ** 24,
  });
  // EPIPE: the program has ended without reading all of its input.
  if (error !== undefined && (!('code' in error) || error.code !== 'EPIPE')) throw error;
  return { status, stdout, said: `${stdout}${stderr}` };
}

/** Runs a program that must succeed. Returns its standard output. */
export function runToolWell(program: string, args: readonly string[], options: ToolOptions = {}): string {
  const { status, stdout, said } = runTool(program, args, options);
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: status ${status}: ${said}`);
  return stdout;
}
