import { KeyprovError } from '../../errors.ts';
import type { KeyStore } from '../../keys/key-store.ts';
import { openPinTryLog } from '../../keys/pin-try-log.ts';
import type { KeyChoice } from '../../provisioning/find-key.ts';
import type { Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { findMeantKey } from '../stored-key.ts';
import type { Outcome } from '../terminal/report.ts';
import { NOT_DONE } from './unregister.ts';

/**
 * Sets the count of wrong PINs of a software key to 0, even if it is damaged or an old copy.
 * @throws KeyprovError `key-invalid` if the store does not count the key's PINs; `key-not-found`, `key-ambiguous`.
 */
export async function resetPinTries(
  store: KeyStore,
  choice: KeyChoice,
  isSure: boolean,
  context: Pick<Context, 'report' | 'prompter' | 'signal'>,
): Promise<Outcome> {
  const { prompter, signal } = context;
  const { id, backend, hasPin, publicKey } = (await findMeantKey(store, choice, context)).record;
  if (!hasPin) {
    throw new KeyprovError('key-invalid', `the key ${id} has no PIN, so there is no count to reset`, {
      remedy: 'select another key with --key',
    });
  }
  if (backend !== 'software') {
    throw new KeyprovError('key-invalid', `the TPM counts the wrong PINs of the key ${id}`, {
      remedy: 'reset its count with keyprov tpm --reset-lockout',
    });
  }
  const question = `This sets the count of wrong PINs of the key ${id} in ${store.directory} to 0.`;
  if (!isSure && !(await prompter.confirm(question, signal))) return NOT_DONE;
  await (await openPinTryLog(store.directory)).reset(publicKey, { signal });
  return {
    exitCode: EXIT.done,
    lines: [`the count of wrong PINs of the key ${id} is now 0`],
    json: { store: store.directory, id, pinTriesReset: true },
  };
}
