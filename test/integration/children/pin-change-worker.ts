/**
 * Changes the PIN of the key `user`, with a TPM in a directory, and stops forever midway: `script STOP STORE TPM OLD NEW`.
 * STOP is `before` (the TPM has made the key with the new PIN, but its record has not been written) or `after` (the record
 * has been written). Prints `stopped` then.
 */
import { writeSync } from 'node:fs';
import { utf8 } from '../../../src/bytes.ts';
import { openKeyStore } from '../../../src/keys/key-store.ts';
import type { KeyProvider } from '../../../src/keys/provider.ts';
import { openTpmKeyProvider } from '../../../src/keys/tpm-provider.ts';
import { definePinPolicy } from '../../../src/policy/index.ts';
import { changeUserPin } from '../../../src/provisioning/change-pin.ts';
import { openTpm } from '../../../src/tpm/open-tpm.ts';

const [, , stop = '', directory = '', tpmDirectory = '', oldPin = '', newPin = ''] = process.argv;

const hang = (): Promise<never> => {
  setInterval(() => undefined, 1_000);
  return new Promise(() => writeSync(1, 'stopped\n'));
};

const opened = await openTpmKeyProvider(await openTpm(`libtpms:${tpmDirectory}`));
const provider: KeyProvider = {
  backend: opened.backend,
  assurance: opened.assurance,
  supports: (algorithm, options) => opened.supports(algorithm, options),
  create: (options) => opened.create(options),
  sign: (key, options) => opened.sign(key, options),
  changePin: async (key, options) => {
    const changed = await opened.changePin(key, options);
    return stop === 'before' ? await hang() : changed;
  },
};
await changeUserPin(await openKeyStore(directory), 'user', {
  provider,
  currentPin: utf8(oldPin),
  prompt: async () => utf8(newPin),
  policy: definePinPolicy(),
});
await hang();
