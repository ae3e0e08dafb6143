import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { type CallOptions, type Ended, environment, MAIN } from './keyprov.ts';

/**
 * A process that runs one `keyprov` command line after the other, without a start each: for tests of what commands do and
 * say. Those of how a process starts, ends and is ended have one for each.
 */
export class CommandLines implements AsyncDisposable {
  readonly #child: ChildProcess = fork('test/cli/support/command-lines.mjs', [MAIN], {
    ...{ execArgv: [], stdio: ['ignore', 'ignore', 'ignore', 'ipc'] },
  });

  async run(args: readonly string[], { input = '', env }: Pick<CallOptions, 'input' | 'env'> = {}): Promise<Ended> {
    const child = this.#child;
    const answered = new AbortController();
    const ended = once(child, 'exit', { signal: answered.signal }).then(([code, signal]) => {
      throw new Error(`keyprov ${args.join(' ')} has ended the process: ${code ?? signal}`);
    });
    child.send({ args, input, env: environment(env) });
    try {
      const [answer] = await Promise.race([once(child, 'message'), ended]);
      return answer;
    } finally {
      ended.catch(() => undefined);
      answered.abort();
    }
  }

  /** The same with `--json`: standard output must be one object. */
  async json(
    args: readonly string[],
    options?: Pick<CallOptions, 'input' | 'env'>,
  ): Promise<{ status: number | null; json: Record<string, unknown>; stderr: string }> {
    const { status, stdout, stderr } = await this.run([...args, '--json'], options);
    return { status, json: JSON.parse(stdout), stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    this.#child.kill();
    await once(this.#child, 'exit');
  }
}
