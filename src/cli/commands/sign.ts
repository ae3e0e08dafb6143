import { readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type Bytes, toBase64, wipe } from '../../bytes.ts';
import { verifySignature } from '../../crypto/verify-signature.ts';
import { KeyprovError } from '../../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { fileIo } from '../file-io.ts';
import { type Arguments, valueOption } from '../options/arguments.ts';
import { readTpmAddress, tpmOption } from '../options/tpm-option.ts';
import { readKey } from '../record.ts';
import { signWith, warnOfOtherTpm } from '../sign-with.ts';
import { readPin } from '../terminal/pin-file.ts';
import type { Outcome, Report } from '../terminal/report.ts';

/** Describes `keyprov sign`. */
export function defineSign(command: Command): void {
  command
    .description('sign a file with a key that keyprov provision has made, and verify the signature')
    .addOption(valueOption('--dir <dir>', 'the directory that keyprov provision wrote'))
    .addOption(valueOption('--in <file>', 'what to sign (SHA-256; RSASSA-PKCS1-v1_5, or ECDSA in DER)'))
    .addOption(valueOption('--out <file>', 'where to put the signature (default: base64 on standard output)'))
    .addOption(valueOption('--pin-file <file>', 'the PIN of the key, - for standard input'))
    .addOption(tpmOption())
    .option('--json', 'print one JSON object and nothing else');
}

/** Runs `keyprov sign`. */
export async function runSign(given: Arguments, report: Report, signal: AbortSignal): Promise<Outcome> {
  const directory = given.required('dir');
  const input = given.required('in');
  const output = given.text('out');
  const pinFile = given.text('pin-file');
  const address = readTpmAddress(given);
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
