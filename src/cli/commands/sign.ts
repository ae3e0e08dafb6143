import { readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type Bytes, toBase64, wipe } from '../../bytes.ts';
import { verifySignature } from '../../crypto/verify-signature.ts';
import { KeyprovError } from '../../errors.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { fileIo } from '../file-io.ts';
import type { Arguments } from '../options/arguments.ts';
import { readTpmAddress, tpmOption } from '../options/tpm-option.ts';
import { requiredOption, valueOption } from '../options/value-option.ts';
import { readKey } from '../record.ts';
import { signWith, warnOfOtherTpm } from '../sign-with.ts';
import { readPin } from '../terminal/pin-file.ts';
import type { Outcome } from '../terminal/report.ts';

/** `keyprov sign`. */
export const signCommand: CliCommand = {
  name: 'sign',
  examples: [
    'keyprov sign --dir key --in letter --out letter.sig',
    'keyprov sign --dir key --in letter --pin-file pin --tpm libtpms:tpm',
  ],
  define,
  run: runSign,
};

function define(command: Command): void {
  command
    .summary('sign a file')
    .description('sign a file (SHA-256; RSASSA-PKCS1-v1_5, or ECDSA in DER), and verify the signature')
    .addOption(requiredOption('--dir <dir>', 'the directory that keyprov create wrote'))
    .addOption(requiredOption('--in <file>', 'what to sign'))
    .addOption(valueOption('--out <file>', 'where to put the signature (default: base64 to standard output)'))
    .addOption(valueOption('--pin-file <file>', 'the PIN of the key, - for standard input'))
    .addOption(tpmOption());
}

async function runSign(given: Arguments, context: Context): Promise<Outcome> {
  const { report, signal } = context;
  const directory = given.required('dir');
  const input = given.required('in');
  const output = given.text('out');
  const pinFile = given.text('pin-file');
  const address = readTpmAddress(given, context);
  given.check();
  const key = await readKey(directory);
  warnOfOtherTpm(key, address, report);
  const data = await fileIo(input, () => readFile(input));
  const pin = pinFile === undefined ? undefined : await readPin(pinFile, report, signal);
  let signature: Bytes;
  report.progress.begin('sign', `with the ${key.algorithm} key in ${directory}`);
  try {
    signature = await signWith(key, { data, pin, signal }, { directory, address });
  } finally {
    wipe(pin);
  }
  if (!verifySignature(key.publicKey, 'sha256', data, signature, key.publicKey.kty === 'RSA' ? 'pkcs1' : 'der')) {
    throw new KeyprovError('key-invalid', `the signature does not verify with public.pem in ${directory}`);
  }
  if (output !== undefined) await fileIo(output, () => writeFile(output, signature));
  report.progress.end('done, and verified with public.pem');
  const text = output === undefined ? `${toBase64(signature)}\n` : '';
  const file = output === undefined ? {} : { file: resolve(output) };
  return { exitCode: EXIT.done, text, json: { backend: key.backend, signature: toBase64(signature), ...file } };
}
