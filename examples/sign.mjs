// @ts-check
// Signs with the key that provision.mjs made: `node sign.mjs DIRECTORY PIN USER ID`.
import { verify } from 'node:crypto';
import { encodeSpkiPem, isKeyprovError, keySources, openKey, openKeyStore } from 'keyprov';

const [directory = 'example', pin = '271828', user = 'ada@contoso.test', id] = process.argv.slice(2);
const data = new TextEncoder().encode('hello');
try {
  const store = await openKeyStore(`${directory}/keys`, { create: false });
  const key = await openKey({ store, user, id, sources: keySources({ tpm: `libtpms:${directory}/tpm` }) });
  try {
    const signature = await key.sign({ data, pin: new TextEncoder().encode(pin) });
    console.log(key.backend, key.assurance, verify('sha256', data, encodeSpkiPem(key.publicKey), signature));
  } finally {
    await key.close();
  }
} catch (error) {
  if (isKeyprovError(error, 'pin-wrong')) console.log(`The PIN is wrong. Tries left: ${error.triesLeft}`);
  else if (isKeyprovError(error, 'pin-last-try')) console.log(`${error.triesLeft} try is left before the TPM locks.`);
  else if (isKeyprovError(error, 'key-not-found')) console.log(`No key: ${error.remedy}.`);
  else if (isKeyprovError(error, 'key-ambiguous'))
    console.log(`${error.message}. Give the ID of one as the last argument.`);
  else if (isKeyprovError(error)) console.log([error.message, error.remedy].filter(Boolean).join('; '));
  else throw error;
  process.exitCode = 1;
}
