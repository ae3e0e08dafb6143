import type { Command } from 'commander';
import { toBase64, withSecret } from '../../bytes.ts';
import { absolutePath } from '../../storage/user-paths.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { checkInput, checkOutput, piecesOfNamed, writeResult } from '../file-io.ts';
import { type Arguments, UsageError } from '../options/arguments.ts';
import { keyOptions, pinOptions, readKeyArguments } from '../options/key-option.ts';
import { openExistingStore } from '../options/store-option.ts';
import { requiredOption, valueOption } from '../options/value-option.ts';
import { withStoredKey } from '../stored-key.ts';
import { readPinOf } from '../terminal/pin-input.ts';
import type { Outcome } from '../terminal/report.ts';

/** `keyprov sign`. */
export const signCommand: CliCommand = {
  examples: [
    'keyprov sign --in letter --out letter.sig',
    'keyprov sign --store key --tpm libtpms:tpm --in letter --pin-file pin',
    'keyprov sign --user ada@contoso.com --in letter --json',
  ],
  define,
  run: runSign,
};

function define(command: Command): void {
  command
    .description('sign a file with SHA-256 (RSASSA-PKCS1-v1_5, or ECDSA in DER), and verify the signature')
    .addOption(requiredOption('--in <file>', 'file to sign, - for standard input'))
    .addOption(valueOption('--out <file>', 'file for the signature (default: base64 to standard output)'));
  const pin = pinOptions('file with the PIN, - for standard input');
  for (const option of [...keyOptions(), ...pin]) command.addOption(option);
}

async function runSign(given: Arguments, context: Context): Promise<Outcome> {
  const { report, signal } = context;
  const input = given.required('in');
  const output = given.text('out');
  const file = given.text('pin-file');
  const force = given.has('force');
  const wanted = await readKeyArguments(given, context);
  if (input === '-' && file === '-') given.problems.push('--in and --pin-file cannot both be standard input');
  given.check();
  await checkInput(input);
  await checkOutput(given);
  const store = await openExistingStore(given, context);
  return await withStoredKey(store, wanted, context, async (stored) => {
    const { key, record } = stored;
    if (input === '-' && file === undefined && record.hasPin) {
      throw new UsageError(['--pin-file is missing: standard input is the file to sign']);
    }
    return await withSecret(await readPinOf(stored, file, context), async (pin) => {
      report.progress.begin('sign', `with the ${record.algorithm} key ${record.id}`);
      const signature = await key.sign({ data: piecesOfNamed(input, signal), pin, force, signal });
      if (output !== undefined) await writeResult(output, signature, signal);
      report.progress.end('done, and verified');
      const base64 = toBase64(signature);
      return {
        exitCode: EXIT.done,
        lines: output === undefined ? [base64] : [],
        json: {
          ...{ id: record.id, backend: record.backend, signature: base64 },
          ...(output !== undefined && { file: absolutePath(output) }),
        },
      };
    });
  });
}
