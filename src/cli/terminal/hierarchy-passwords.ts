import { readFileSync, statSync } from 'node:fs';
import { type Bytes, concatSecrets, view, wipe, withSecret } from '../../bytes.ts';
import type { HierarchyName } from '../../errors/tpm-error.ts';
import { withoutNewline } from '../../policy/judge-pin.ts';
import { describeFileError, errorCode } from '../../storage/file-error.ts';
import { isMarkedText } from '../../text.ts';
import type { HierarchyAuth } from '../../tpm/hierarchy-auth.ts';
import { NEEDED_PASSWORDS } from '../../tpm/needed-passwords.ts';
import type { Context } from '../command.ts';
import { type Arguments, UsageError } from '../options/arguments.ts';
import { PASSWORDS } from '../options/password-names.ts';
import { readSecretFile } from './pin-file.ts';

/** The size of a SHA-512 digest, the longest value that a TPM takes. Part 1, 13. */
const MAX_PASSWORD_BYTES = 64;

/**
 * Supplies passwords when the TPM needs them: from the files of `--tpm-auth`, or from the terminal. Without either
 * there is none, and standard input is left for the PIN.
 */
export function hierarchyPasswords(given: Arguments, { prompter, report, signal }: Context): HierarchyAuth {
  const files = readFiles(given);
  const auth: Partial<Record<HierarchyName, () => Promise<Bytes | undefined>>> = {};
  for (const [option, member, what] of PASSWORDS) {
    const file = files.get(option);
    if (file === undefined && !prompter.isTerminal) continue;
    const ask = async (): Promise<Bytes | undefined> => {
      const isFile = file !== undefined && file !== '-';
      const question = `Password of the TPM's ${what}`;
      return await withSecret(
        await (isFile ? readSecretFile(file, 'password', report, signal) : prompter.askSecretOnce(question, signal)),
        (secret) => secret && passwordIn(secret, `--tpm-auth ${option}`),
      );
    };
    auth[member] = ask;
    if (file !== undefined) NEEDED_PASSWORDS.set(ask, new Set(['any']));
  }
  return auth;
}

function readFiles(given: Arguments): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const text of given.texts('tpm-auth')) {
    const [option = '', ...path] = text.split('=');
    const isKnown = PASSWORDS.some(([name]) => name === option);
    // The value is not repeated: it may be a password given by mistake.
    if (isKnown && path.join('=') !== '') {
      files.set(option, path.join('='));
      given.problems.push(...problemsOf(path.join('='), `--tpm-auth ${option}`));
    } else given.problems.push(`--tpm-auth needs one of ${PASSWORDS.map(([name]) => `${name}=FILE`).join(', ')}`);
  }
  return files;
}

/**
 * What is wrong with a file: the TPM may ask for the password only on another machine, or after the PIN. A pipe is read only
 * then.
 */
function problemsOf(path: string, option: string): readonly string[] {
  if (path === '-') return [];
  let bytes: Uint8Array | undefined;
  try {
    const stats = statSync(path);
    if (!stats.isFile() && !stats.isDirectory()) return [];
    // No password and newline is longer.
    bytes =
      stats.isFile() && stats.size > MAX_PASSWORD_BYTES + 2
        ? new Uint8Array(MAX_PASSWORD_BYTES + 2)
        : readFileSync(path);
    wipe(passwordIn(view(bytes), option));
    return [];
  } catch (error) {
    if (error instanceof UsageError) return error.problems;
    if (errorCode(error) === undefined) throw error;
    // The name is not repeated: it may be the password.
    return [
      `${option}: the file ${errorCode(error) === 'ENOENT' ? 'does not exist' : describeFileError(path, error).what}`,
    ];
  } finally {
    wipe(bytes);
  }
}

/** The bytes without one trailing newline. Refuses those of a text that a program has marked, as they cost a try. */
function passwordIn(bytes: Bytes, option: string): Bytes {
  const password = withoutNewline(bytes);
  if (password.length === 0) throw new UsageError([`${option}: the password is empty`]);
  if (password.length > MAX_PASSWORD_BYTES) {
    throw new UsageError([`${option}: a TPM password has at most ${MAX_PASSWORD_BYTES} bytes`]);
  }
  if (isMarkedText(bytes)) {
    throw new UsageError([
      `${option}: the file is text in UTF-16 or with a byte order mark: write it in UTF-8 without one`,
    ]);
  }
  return concatSecrets(password);
}
