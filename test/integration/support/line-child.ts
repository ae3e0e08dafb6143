import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

/** A child process that answers each line of JSON on standard input with one on standard output. */
export class LineChild implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #input: Writable;
  readonly #answers: AsyncIterator<string>;

  constructor(command: string, args: readonly string[]) {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child = child;
    this.#input = child.stdin as Writable;
    this.#answers = createInterface({ input: child.stdout as Readable })[Symbol.asyncIterator]();
  }

  /** The answers to `requests`, in their order. */
  async ask(requests: readonly object[]): Promise<unknown[]> {
    this.#input.write(requests.map((request) => `${JSON.stringify(request)}\n`).join(''));
    const answers: unknown[] = [];
    for (const request of requests) {
      const { value, done } = await this.#answers.next();
      if (done) throw new Error(`the child has ended before it answered ${JSON.stringify(request)}`);
      answers.push(JSON.parse(value));
    }
    return answers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#input.end();
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
  }
}
