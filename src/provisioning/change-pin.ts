import { type Bytes, checkObject, concatSecrets, isBytes, utf8, wipe, withSecret } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import { checkStore, type KeyStore } from '../keys/key-store.ts';
import type { ChangePinOptions, KeyProvider, SignOptions } from '../keys/provider.ts';
import type { PinTryOptions } from '../keys/tpm-pin.ts';
import { TpmKeyProvider } from '../keys/tpm-provider.ts';
import { checkMembers } from '../known-members.ts';
import { addToPinHistory, judgePin, type PinHistory, type PinPolicy, pinHistoryContains } from '../policy/index.ts';
import { checkPossiblePin } from '../policy/judge-pin.ts';
import { checkPinRules } from '../policy/pin-policy.ts';
import { askSecret, type SignalOptions } from '../signal.ts';
import { type EnterPinOptions, enterNewPin, type NewPinPrompt } from './pin-entry.ts';
import type { PinRecoverySetup } from './pin-recovery.ts';
import { newPinState, readPinState, writePinState } from './pin-state.ts';

/** Options for setting a new PIN. */
export interface ReplacePinOptions extends PinTryOptions {
  /** The provider of the key: its backend, and for a TPM key its TPM. */
  readonly provider: KeyProvider;
  /** A function that asks for the new PIN; or the new PIN itself in UTF-8, which the caller wipes. */
  readonly prompt: NewPinPrompt | Uint8Array;
  /** The rules for the new PIN. */
  readonly policy: PinPolicy;
  /** Pepper of the PIN history; see `PinHistoryOptions`. The same on every call. */
  readonly pepper?: Uint8Array | undefined;
  /**
   * Sets up a recovery, so the new PIN can be reset without a new key. Absent: it cannot, even if the old PIN could.
   */
  readonly recovery?: PinRecoverySetup | undefined;
  /** The time in milliseconds since 1970; default `Date.now`. */
  readonly now?: (() => number) | undefined;
}

/** The members of {@link ReplacePinOptions}, for `checkMembers`. */
export const REPLACE_MEMBERS = 'provider prompt policy pepper:bytes? recovery now:function? force:boolean? signal';

/** Options of {@link changeUserPin}. */
export interface ChangeUserPinOptions extends ReplacePinOptions {
  /** The current PIN in UTF-8, which the caller wipes; or a function that asks for it, whose result is wiped here. */
  readonly currentPin: Uint8Array | ((options: SignalOptions) => Promise<Uint8Array>);
}

/**
 * Changes the PIN of a key: tries the current PIN, asks for a new one until policy and history allow it, and replaces
 * the record with one that opens only with the new PIN. The key and its registration stay the same. Returns the new
 * record.
 *
 * A wrong current PIN costs one try and ends the change. The correct one costs none. The old record and PIN stay valid
 * until the new record is on disk: the TPM keeps nothing of a key, and TPM2_ObjectChangeAuth (Part 3, 12.8) returns
 * another encrypted copy. So if the process is killed at any moment, the key opens with one of the two PINs.
 *
 * @throws KeyprovError as `store.load` and `provider.changePin` do: `key-not-found`, `pin-wrong`, `pin-last-try`,
 * `tpm-lockout`, `key-locked`; `key-invalid` for a key without a PIN; `pin-refused` as {@link enterNewPin} does;
 * `store-busy` if another process changed the key meanwhile; errors of the prompts, and the reason of `signal`;
 * TypeError if `provider` or rules of `policy` are missing; PolicyError if one is wrong.
 */
export async function changeUserPin(store: KeyStore, id: string, options: ChangeUserPinOptions): Promise<KeyRecord> {
  checkStore('changeUserPin', store);
  options = checkMembers('changeUserPin', options, 'currentPin', REPLACE_MEMBERS);
  checkObject(options.provider, 'provider of changeUserPin', 'backend', 'sign', 'changePin');
  checkObject(options, 'options of changeUserPin', 'currentPin');
  const { currentPin, signal } = options;
  const record = await loadWithPin(store, id);
  signal?.throwIfAborted();
  await refuseNewPin(options);
  const keep = keepIn(store, id, options);
  if (isBytes(currentPin)) return await replacePin(record, currentPin, options, keep);
  await checkLoads(record, options);
  return await withSecret(await askSecret('the result of currentPin', () => currentPin({ signal }), signal), (pin) =>
    replacePin(record, pin, options, keep),
  );
}

/** Loads a key that has a PIN. @throws KeyprovError as `store.load` does, and `key-invalid` for one without. */
export async function loadWithPin(store: KeyStore, id: string): Promise<KeyRecord> {
  const record = await store.load(id);
  checkHasPin(record);
  return record;
}

export function checkHasPin({ id, hasPin }: KeyRecord): void {
  if (hasPin) return;
  throw new KeyprovError('key-invalid', `the key ${id} has no PIN to change`, { remedy: 'make a new key with a PIN' });
}

/** Refuses a new PIN that the rules do not allow, before it costs a try or a question. Only the history waits. */
export async function refuseNewPin({
  prompt,
  policy,
  signal,
}: Pick<ReplacePinOptions, 'prompt' | 'policy' | 'signal'>): Promise<void> {
  checkPinRules(policy);
  if (isBytes(prompt)) await judgePin(prompt, policy, { signal });
  else if (typeof prompt !== 'function')
    throw new TypeError('the new PIN must be a Uint8Array, or a function that asks for it');
}

/**
 * Loads a key in a TPM, before the user gives a PIN or proves who they are for a key that cannot be used now.
 * @throws KeyprovError `key-invalid` if the provider is for keys of the other backend; `tpm-identity-changed`, TpmError
 */
export async function checkLoads(
  record: KeyRecord,
  { provider, signal }: Pick<ReplacePinOptions, 'provider' | 'signal'>,
): Promise<void> {
  if (provider.backend !== record.backend) {
    const [key, given] = record.backend === 'tpm' ? ['a TPM', 'software'] : ['software', 'a TPM'];
    throw new KeyprovError(
      'key-invalid',
      `the key ${record.id} is in ${key}, but the provider is for keys in ${given}`,
      {
        remedy: 'pass a provider for the backend of the key',
      },
    );
  }
  if (provider instanceof TpmKeyProvider) await provider.useWithoutPin(record, { signal }, async () => {});
}

const CHECK = utf8('keyprov: is this the PIN of the key?');

/** Replaces the kept record by what `change` makes of it, under a lock, and returns the new record. */
export type KeepRecord = (change: (kept: KeyRecord) => Promise<KeyRecord>) => Promise<KeyRecord>;

export function keepIn(store: KeyStore, id: string, { signal }: SignalOptions): KeepRecord {
  return (change) => store.update(id, change, { signal });
}

/** Tries the current PIN, asks for a new one, sets it, and keeps the record. The caller wipes the current PIN. */
export async function replacePin(
  record: KeyRecord,
  pin: Uint8Array,
  options: ReplacePinOptions,
  keep: KeepRecord,
): Promise<KeyRecord> {
  const { provider, prompt, policy, pepper, recovery, now, force, signal } = options;
  checkPossiblePin(pin);
  const { history } = readPinState(record) ?? { history: { entries: [] } };
  // First: only a user with the current PIN may learn from the history whether another PIN is in it, and a mistyped PIN
  // is reported before a new one is typed twice. Only the key itself can check a PIN, and it counts the tries.
  const trial: SignOptions & PinTryOptions = { data: CHECK, pin, force, signal };
  wipe(await provider.sign(record, trial));
  const former = await withCurrent(history, pin, policy, { pepper, signal });
  return await withSecret(await chooseNewPin(prompt, { policy, history: former, pepper, signal }), async (newPin) => {
    const { publicKey } = record;
    const state = await newPinState(newPin, policy, { publicKey, history: former, pepper, recovery, now, signal });
    return await keep(async (kept) => {
      // The PIN has changed: trying the old one would cost a try.
      if (kept.privateKey !== record.privateKey) {
        const problem = `another process changed the key ${record.id} while the user chose a new PIN`;
        throw new KeyprovError('store-busy', problem, { remedy: "try again with the key's current PIN" });
      }
      const change: ChangePinOptions & PinTryOptions = { pin, newPin, force, signal };
      return writePinState({ ...kept, ...(await provider.changePin(kept, change)) }, state);
    });
  });
}

/** Returns a copy of a new PIN that policy allows. */
async function chooseNewPin(prompt: NewPinPrompt | Uint8Array, options: EnterPinOptions): Promise<Bytes> {
  if (!isBytes(prompt)) return await enterNewPin(prompt, options);
  const { policy, history, pepper, signal } = options;
  await judgePin(prompt, policy, { history, pepper, signal });
  return concatSecrets(prompt);
}

/** Adds the current PIN to the history, even if the rules it was set under kept none. */
async function withCurrent(
  history: PinHistory,
  pin: Uint8Array,
  { history: keep }: PinPolicy,
  options: Pick<ReplacePinOptions, 'pepper' | 'signal'>,
): Promise<PinHistory> {
  const [current] = history.entries;
  if (keep === 0) return { entries: [] };
  if (current !== undefined && (await pinHistoryContains({ entries: [current] }, pin, options))) return history;
  return await addToPinHistory(history, pin, { ...options, keep });
}
