import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { addAbortSignal } from 'node:stream';
import { type Bytes, concatSecrets, wipe, withSecret } from '../../bytes.ts';
import { KeyprovError } from '../../errors.ts';
import { MAX_PIN_BYTES, pinFromFile } from '../../policy/index.ts';
import { withoutNewline } from '../../policy/judge-pin.ts';
import { errorCode } from '../../storage/file-error.ts';
import { decodeAs } from '../../text.ts';
import { fileIo } from '../file-io.ts';
import { UsageError } from '../options/arguments.ts';
import type { Report } from './report.ts';

/** Room for a newline, and for one byte that shows that the PIN is too long. */
const MAX_SIZE = MAX_PIN_BYTES + 3;

/**
 * Reads a PIN from a file, or from standard input if the path is `-`: its bytes without the trailing newline.
 * Warns if others can read or change the file. The caller wipes the PIN.
 * @throws PinRefusedError as {@link pinFromFile} does; UsageError for a terminal as standard input, which would show the
 * PIN; KeyprovError `store-io` for a file that cannot be read.
 */
export async function readPin(path: string, report: Report, signal: AbortSignal): Promise<Bytes> {
  const name = path === '-' ? 'standard input' : path;
  return await withSecret(await readSecretFile(path, 'PIN', report, signal), (file) => pinFromFile(file, { name }));
}

/**
 * Reads a password that is not a PIN, as {@link readPin} does: any text of at most {@link MAX_PIN_BYTES}. An empty one is
 * refused, since a directory takes it for a sign-in without a name. `option` is for messages.
 * @throws UsageError; KeyprovError `store-io`.
 */
export async function readPassword(path: string, option: string, report: Report, signal: AbortSignal): Promise<string> {
  return await withSecret(await readSecretFile(path, 'password', report, signal), (file) => {
    const wrong = (problem: string) => new UsageError([`${option}: the password ${problem}`]);
    const password = withoutNewline(file);
    if (password.length === 0) throw wrong('is empty');
    if (password.length > MAX_PIN_BYTES) throw wrong(`has more than ${MAX_PIN_BYTES} bytes`);
    const text = decodeAs('utf-8', password);
    if (text === undefined || text.includes('\0')) throw wrong('is not UTF-8');
    return text;
  });
}

/**
 * Reads the first bytes of a file with a secret: as many as the longest PIN has, and a few more to detect one that is too
 * long. Warnings call it the `what` file. The caller wipes the bytes.
 * @throws UsageError for a terminal as standard input, which would show the secret; KeyprovError `store-io`.
 */
export async function readSecretFile(path: string, what: string, report: Report, signal: AbortSignal): Promise<Bytes> {
  if (path === '-' && process.stdin.isTTY) {
    throw new UsageError([`standard input is a terminal, which would show the ${what}: pipe it in`]);
  }
  return await withSecret(new Uint8Array(MAX_SIZE), async (buffer) => {
    const name = path === '-' ? 'standard input' : path;
    const read = () =>
      readInto(buffer, path, signal).catch((error: unknown) => {
        if (errorCode(error) !== 'ENOENT') throw error;
        throw new KeyprovError(
          'store-io',
          `the ${what} file does not exist; its name is not shown, since it may be the ${what}`,
          {
            remedy: `pass a file that contains the ${what}, or - for standard input`,
          },
        );
      });
    const length = await fileIo(name, read, signal);
    if (path !== '-') await warnOfOthers(path, what, report);
    return concatSecrets(buffer.subarray(0, length));
  });
}

async function warnOfOthers(path: string, what: string, report: Report): Promise<void> {
  const user = process.geteuid?.();
  if (user === undefined) return; // Windows
  const stats = await stat(path);
  if (stats.isCharacterDevice()) return; // such as /dev/null, which must stay as it is
  const { uid, mode } = stats;
  const rights = [(mode & 0o044) !== 0 && 'read', (mode & 0o022) !== 0 && 'write'].filter(Boolean);
  if (rights.length > 0) report.warn(`others can ${rights.join(' and ')} the ${what} file ${path}; chmod 600 it`);
  if (uid !== 0 && uid !== user) {
    report.warn(
      `the ${what} file ${path} belongs to user ${uid}, who can read and change the ${what}; chown ${user} it`,
    );
  }
}

/** Fills the buffer as far as the input reaches; returns the number of bytes. */
async function readInto(buffer: Uint8Array, path: string, signal: AbortSignal): Promise<number> {
  const stream = addAbortSignal(signal, path === '-' ? process.stdin : createReadStream(path, { end: MAX_SIZE }));
  let length = 0;
  for await (const chunk of stream) {
    const bytes: Uint8Array = chunk;
    const part = bytes.subarray(0, buffer.length - length);
    buffer.set(part, length);
    length += part.length;
    wipe(bytes);
    if (length === buffer.length) break;
  }
  return length;
}
