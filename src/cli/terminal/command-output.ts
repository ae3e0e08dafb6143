import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Bytes, concat, wipe } from '../../bytes.ts';
import { MfaError } from '../../errors/mfa-error.ts';
import type { KeyprovError } from '../../errors.ts';

/** How a command of the user's is run. */
export interface CommandOptions {
  /** Which option named it, for messages: what it is may hold a secret. */
  readonly option: string;
  /** Added to its environment. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** What it reads. Default: standard input of this process, so that it may ask the user. */
  readonly input?: string | undefined;
  readonly signal: AbortSignal;
}

const MAX_SIZE = 65_536;

/**
 * Runs a command in the shell, and gives what it prints, of which the caller wipes what is secret. Its standard error is
 * ours. @throws KeyprovError `mfa-failed` where it cannot be run, fails, or prints more than 64 KiB or nothing.
 */
export async function commandOutput(command: string, options: CommandOptions): Promise<Bytes> {
  const { option, environment, input, signal } = options;
  signal.throwIfAborted();
  const child = spawn(command, {
    shell: true,
    stdio: [input === undefined ? 'inherit' : 'pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...environment },
  });
  let output: Bytes = new Uint8Array(0);
  child.stdout?.on('data', (chunk: Uint8Array) => {
    const longer = concat(output, chunk);
    wipe(output, chunk);
    output = longer;
    if (output.length > MAX_SIZE) child.kill();
  });
  // It need not read what it is given.
  child.stdin?.on('error', () => undefined).end(input);
  try {
    const [code]: unknown[] = await once(child, 'close', { signal });
    if (code !== 0) throw failed(option, typeof code === 'number' ? `it ended with ${code}` : 'it was ended');
    if (output.length === 0) throw failed(option, 'it printed nothing');
    return output;
  } catch (error) {
    wipe(output);
    signal.throwIfAborted();
    throw error;
  } finally {
    child.kill();
    // What it has started may live on, and must not keep us.
    child.stdout?.destroy();
  }
}

function failed(option: string, problem: string): KeyprovError {
  return new MfaError('mfa-failed', `the command of ${option} gave nothing: ${problem}`, {
    remedy: 'see what it said, and run it by itself',
  });
}

/** The same as text without white space around it: a token. */
export async function commandText(command: string, options: CommandOptions): Promise<string> {
  const output = await commandOutput(command, options);
  try {
    return new TextDecoder().decode(output).trim();
  } finally {
    wipe(output);
  }
}
