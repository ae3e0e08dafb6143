import { spawn } from 'node:child_process';
import { type Bytes, concat, wipe, withSecret } from '../../bytes.ts';
import { MfaError } from '../../errors/mfa-error.ts';
import { KeyprovError } from '../../errors.ts';
import { endsWithin, unlessAborted, withTimeout } from '../../signal.ts';
import { decodeFileText } from '../../text.ts';
import { familyOf, mayHaveOwnGroup } from './process-family.ts';
import { beforeEnd } from './signals.ts';

/** An option that names a command. */
type CommandOption = '--token-command' | '--graph-token-command' | '--recovery-command';

/** How to run a command that the user named. */
export interface CommandOptions {
  /** The option that named it, for messages: the command itself may contain a secret. */
  readonly option: CommandOption;
  /** Added to its environment. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** Its standard input. Default: that of this process, so that it may ask the user. */
  readonly input?: string | undefined;
  readonly signal: AbortSignal;
}

const MAX_SIZE = 65_536;
/** How long it may take, in minutes: as long as a device code is valid. */
const LIMIT_MINUTES = 15;
/**
 * How long to read its output after its end, in milliseconds, since a background process may keep the pipe open; and how
 * long it may take to end after SIGTERM.
 */
const GRACE_MS = 250;

/**
 * Runs a command in the shell and returns its output, which the caller wipes if it is secret. The command shares our
 * standard error. If it fails, the processes that it started are ended too.
 * @throws KeyprovError if it fails, prints more than 64 KiB or nothing, or does not end in 15 minutes: `mfa-failed`,
 * `token-invalid` for a token for Microsoft Graph, `recovery-unavailable` for the secret of a recovery service.
 */
export async function commandOutput(command: string, options: CommandOptions): Promise<Bytes> {
  const late = () => failed(options.option, `it did not end within ${LIMIT_MINUTES} minutes`);
  const limit = { signal: options.signal, timeoutMs: LIMIT_MINUTES * 60_000, late };
  return await beforeEnd(withTimeout(limit, (signal) => run(command, { ...options, signal })));
}

async function run(command: string, { option, environment, input, signal }: CommandOptions): Promise<Bytes> {
  const ownGroup = mayHaveOwnGroup();
  const child = spawn(command, {
    shell: true,
    detached: ownGroup,
    stdio: [input === undefined ? 'inherit' : 'pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...environment },
  });
  let output: Bytes = new Uint8Array(0);
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('exit', resolve);
    child.stdout?.on('data', (chunk: Uint8Array) => {
      const longer = concat(output, chunk);
      wipe(output, chunk);
      output = longer;
      if (output.length > MAX_SIZE) reject(tooLong(option));
    });
  });
  const closed = new Promise((resolve) => child.once('close', resolve));
  // It need not read its input.
  child.stdin?.on('error', () => undefined).end(input);
  try {
    const code = await unlessAborted(() => ended, signal);
    await endsWithin(GRACE_MS, closed);
    if (output.length > MAX_SIZE) throw tooLong(option);
    if (code !== 0) throw failed(option, code === null ? 'a signal ended it' : `it ended with exit code ${code}`);
    if (output.length === 0) throw failed(option, 'it printed nothing');
    return output;
  } catch (error) {
    child.stdout?.destroy();
    wipe(output);
    const family = familyOf(child, ownGroup);
    const kill = () => family('SIGKILL');
    process.once('exit', kill); // a second signal does not wait
    family('SIGTERM');
    await endsWithin(GRACE_MS, closed);
    process.off('exit', kill);
    kill();
    await endsWithin(GRACE_MS, closed);
    throw error;
  } finally {
    // Processes that it started may live on, and must not hold us up.
    child.stdout?.destroy();
  }
}

const tooLong = (option: CommandOption): KeyprovError => failed(option, `it printed more than ${MAX_SIZE} bytes`);

function failed(option: CommandOption, problem: string): KeyprovError {
  const message = `the command given with ${option} failed: ${problem}`;
  const options = { remedy: 'read its messages, and run the command on its own' };
  if (option === '--recovery-command') return new KeyprovError('recovery-unavailable', message, options);
  return new MfaError(option === '--token-command' ? 'mfa-failed' : 'token-invalid', message, options);
}

/** Returns the access token that a command prints. @throws MfaError `token-invalid` if it prints anything else. */
export async function commandToken(command: string, options: CommandOptions): Promise<string> {
  return await withSecret(await commandOutput(command, options), (output) => {
    const text = decodeFileText(output)?.trim() ?? '';
    if (/^[!-~]+$/.test(text)) return text;
    const problem = text.includes('\n') ? 'several lines' : 'something that is not a token';
    throw new MfaError('token-invalid', `the command given with ${options.option} printed ${problem}`, {
      remedy: 'make it print only the access token',
    });
  });
}
