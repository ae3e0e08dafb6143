import { spawn, spawnSync } from 'node:child_process';
import { availableParallelism, cpus } from 'node:os';
import { fileURLToPath } from 'node:url';

/** Runs a program and returns the JSON in the last line that it prints. */
export async function lastLine(command: string, args: readonly string[], from: 'stdout' | 'stderr' = 'stdout') {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
    });
  }
  const status = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  const line = said[from].trimEnd().split('\n').at(-1) ?? '';
  if (status !== 0 || line === '') throw new Error(`${command} ${args.join(' ')} ended with ${status}: ${said.stderr}`);
  return JSON.parse(line);
}

/** Runs a script from bench/children/. `everywhere`: on all CPUs, for scripts with several threads. */
export async function child(name: string, args: readonly string[] = [], { everywhere = false } = {}) {
  const script = fileURLToPath(new URL(`./${name}.mjs`, import.meta.url));
  const node = [process.execPath, '--expose-gc', script, ...args] as const;
  const [command, ...rest] = everywhere && isPinned() ? ['taskset', '-c', `0-${cpus().length - 1}`, ...node] : node;
  return await lastLine(command, rest);
}

/** Whether this process may use only one CPU. */
export const isPinned = (): boolean =>
  availableParallelism() < cpus().length && spawnSync('taskset', ['-c', '0', 'true']).status === 0;

/** A process's CPU time in milliseconds and memory in MiB. */
export interface ProcessCost {
  readonly ms: number;
  readonly mib: number;
}

/** Loaded first; prints the process's cost at the end. Linux' maxRSS includes the parent's memory, so it reads VmHWM there. */
const REPORT = `data:text/javascript,${encodeURIComponent(`
  import { readFileSync } from 'node:fs';
  process.on('exit', () => {
    const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
    const highest = process.platform === 'linux' && /VmHWM:\\s*(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    console.error(JSON.stringify({ ms: (userCPUTime + systemCPUTime) / 1000, mib: (highest || maxRSS) / 1024 }));
  });`)}`;

/** Measures a Node process from start to end. `args`: its command line, or a module as text. */
export function processCost(args: readonly string[] | string): Promise<ProcessCost> {
  const given = typeof args === 'string' ? ['--input-type=module', '-e', args] : args;
  return lastLine(process.execPath, ['--import', REPORT, ...given], 'stderr');
}
