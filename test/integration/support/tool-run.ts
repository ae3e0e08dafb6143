import { spawnSync } from 'node:child_process';
import { toolEnvironment } from './local-swtpm.ts';

/** What a program did. */
export interface ToolRun {
  readonly status: number | null;
  /** Both outputs. */
  readonly said: string;
  readonly stdout: string;
}

/** How a program is run. */
export interface ToolOptions {
  /** Variables besides ours. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly input?: string | undefined;
}

/** Runs a program to its end. Nothing here has to happen at the same time. */
export function runTool(program: string, args: readonly string[], { env, input }: ToolOptions = {}): ToolRun {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    env: { ...toolEnvironment(), ...env },
    input,
    encoding: 'utf8',
    maxBuffer: 2 ** 24,
  });
  // EPIPE: it has ended without reading all of its input.
  if (error !== undefined && (!('code' in error) || error.code !== 'EPIPE')) throw error;
  return { status, stdout, said: `${stdout}${stderr}` };
}

/** The standard output of a program that must succeed. */
export function runToolWell(program: string, args: readonly string[], options: ToolOptions = {}): string {
  const { status, stdout, said } = runTool(program, args, options);
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: status ${status}: ${said}`);
  return stdout;
}
