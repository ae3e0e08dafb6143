import { KeyprovError, withCleanup } from '../errors.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { type FoundKey, findKey } from '../provisioning/find-key.ts';
import { policyProblem } from '../provisioning/fits-policy.ts';
import { openKey, type UserKey } from '../provisioning/open-key.ts';
import { pinMustChangeOf, pinRulesFor } from '../provisioning/pin-state.ts';
import type { RegisteredKey } from '../provisioning/registration-record.ts';
import type { Context } from './command.ts';
import { type KeyPlaces, withKeyPlaces } from './key-places.ts';
import { describePinChange } from './key-report.ts';
import type { Arguments } from './options/arguments.ts';
import type { KeyArguments } from './options/key-option.ts';

/** A key of a store, open for use. */
export interface StoredKey extends FoundKey {
  readonly store: KeyStore;
  readonly key: UserKey;
  readonly places: KeyPlaces;
}

/** Finds the key that the user means, and says so if others match too. */
export async function findMeantKey(
  store: KeyStore,
  choice: KeyArguments['choice'],
  { report }: Pick<Context, 'report'>,
): Promise<FoundKey> {
  const found = await findKey(store, choice);
  if (found.others.length > 0) {
    const ids = found.others.map(({ id }) => id).join(', ');
    report.progress.note(`key: using ${found.record.id}, which is registered; to use another one, pass --key: ${ids}`);
  }
  return found;
}

/** The end of the error about such a key. */
export const NOT_REGISTERED = 'is not registered';

/** Finds a registered key. @throws KeyprovError `key-not-found` if it is not registered. */
export async function findRegisteredKey(
  store: KeyStore,
  choice: KeyArguments['choice'],
  context: Pick<Context, 'report'>,
): Promise<FoundKey & RegisteredKey> {
  const { registration, ...found } = await findMeantKey(store, choice, context);
  if (registration !== undefined) return { ...found, registration };
  throw new KeyprovError('key-not-found', `the key ${found.record.id} in ${store.directory} ${NOT_REGISTERED}`, {
    remedy: `to remove it, run keyprov remove --key ${found.record.id}; to replace it, also make a new key with keyprov create`,
  });
}

/** Checks the arguments; if the service is missing, says where the key is registered. @throws UsageError */
export function checkWithService(given: Arguments, { registration: { service, tenant } }: RegisteredKey): void {
  const at = given.missing.indexOf('--service is missing');
  const where = `the key is registered at ${service}${tenant === '' ? '' : `, tenant ${tenant}`}`;
  if (at >= 0) given.missing[at] += `: ${where}`;
  given.check();
}

/**
 * Runs `work` with the key that the user means, and closes it.
 * @throws KeyprovError `key-not-found`, `key-ambiguous`; `hardware-required` and the like if the policy in force does not
 * allow the key.
 */
export async function withStoredKey<T>(
  store: KeyStore,
  { choice, tpm, inForce }: KeyArguments,
  context: Pick<Context, 'report' | 'signal'>,
  work: (stored: StoredKey) => Promise<T>,
): Promise<T> {
  const found = await findMeantKey(store, choice, context);
  const { record } = found;
  const problem = policyProblem(record, inForce.policy, { wantsPin: false });
  if (problem !== undefined) throw problem;
  const { signal, report } = context;
  const reasons = pinMustChangeOf(record, pinRulesFor(record, inForce), Date.now());
  if (reasons.length > 0) {
    report.warn(`the PIN ${describePinChange(reasons)} Use keyprov change-pin.`);
  }
  return await withKeyPlaces(tpm, store, async (places) => {
    const key = await openKey({ record, store, sources: places.sources, signal });
    return await withCleanup(
      () => work({ ...found, store, key, places }),
      () => key.close(),
    );
  });
}
