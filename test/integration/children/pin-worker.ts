/**
 * Tries a key's PINs with a log of tries: `script MODE DIRECTORY START`. The process's clock started at START (a value of
 * process.hrtime) and runs a billion times too fast, so that an hour passes quickly.
 *
 * `sign`: signs with a wrong PIN of the key `user` in the store of the directory, and prints the code of the error.
 * `hang`: begins a try, prints `inside` and stops forever. `many`: makes wrong tries forever, and prints `tried` for each.
 */
import { writeSync } from 'node:fs';
import { utf8 } from '../../../src/bytes.ts';
import { isKeyprovError } from '../../../src/errors.ts';
import { openKeyStore } from '../../../src/keys/key-store.ts';
import { openPinTryLog } from '../../../src/keys/pin-try-log.ts';
import { openSoftwareKeyProvider } from '../../../src/keys/software-provider.ts';

const [, , mode = '', directory = '', start = ''] = process.argv;
const attempts = await openPinTryLog(directory, {
  now: () => Number(process.hrtime.bigint() - BigInt(start)) * 1_000,
});
const key = await (await openKeyStore(directory)).load('user');

const codeOf = (error: unknown) => {
  if (isKeyprovError(error)) return error.code;
  throw error;
};

if (mode === 'sign') {
  const options = { data: utf8('data'), pin: utf8('000000') };
  const code = await openSoftwareKeyProvider({ pinTries: attempts })
    .sign(key, options)
    .then(() => 'signed', codeOf);
  writeSync(1, code);
}
if (mode === 'hang') {
  setInterval(() => undefined, 1_000);
  await attempts.attempt(key.publicKey, () => new Promise(() => writeSync(1, 'inside\n')));
}
while (mode === 'many') {
  const tryPin = async () => {
    writeSync(1, 'tried\n');
    return false;
  };
  const code = await attempts.attempt(key.publicKey, tryPin).then(() => 'right', codeOf);
  if (code !== 'pin-wrong') throw new Error(code);
}
