import { type Bytes, checkObject } from '../bytes.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import { KeyprovError, sayError } from '../errors.ts';
import { requestInvalid } from '../formats/x509/in-request.ts';
import { JsonMembers } from '../json.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import { checkMembers } from '../known-members.ts';
import {
  type AddToPinHistoryOptions,
  addToPinHistory,
  definePinPolicy,
  type MergedPolicy,
  type PinChangeReason,
  type PinHistory,
  type PinHistoryEntry,
  type PinPolicy,
  pinMustChange,
} from '../policy/index.ts';
import { type PinRecovery, type PinRecoverySetup, SEALED_PIN_SIZE, sealForRecovery } from './pin-recovery.ts';

/** State of the PIN of a key, in the annotations of its record under `pin`. Does not reveal the PIN. */
export interface PinState {
  /** When the PIN was set: ISO 8601 in UTC with milliseconds. */
  readonly setAt: string;
  /** The rules that the PIN met when it was set. */
  readonly met: PinPolicy;
  /** The PINs from which the next one must differ, including this one; empty if the rules ask for none. */
  readonly history: PinHistory;
  /** Present if the PIN can be reset without a new key. */
  readonly recovery?: PinRecovery;
}

/** Options of {@link newPinState}. */
export interface NewPinStateOptions extends Omit<AddToPinHistoryOptions, 'keep'> {
  /** The user key. A recovery is bound to it. */
  readonly publicKey: PublicKey;
  /** The PINs before this one. Default none, as for a new key. */
  readonly history?: PinHistory | undefined;
  /** Absent: the PIN can be reset only with a new key. */
  readonly recovery?: PinRecoverySetup | undefined;
  /** The time in milliseconds since 1970; default `Date.now`. */
  readonly now?: (() => number) | undefined;
}

/**
 * The state for a PIN that was just set and meets these rules. The caller wipes the PIN.
 * @throws RangeError if `recovery` has no user or a service key of less than 2048 bits, or is given for a PIN of more
 * than 127 bytes; the reason of `signal`.
 */
export async function newPinState(pin: Uint8Array, policy: PinPolicy, options: NewPinStateOptions): Promise<PinState> {
  checkObject(policy, 'the PIN rules', 'history');
  options = checkMembers(
    'newPinState',
    options,
    'publicKey history recovery now:function? cost:number? pepper:bytes? signal',
  );
  const { publicKey, history = { entries: [] }, recovery, now = Date.now, ...hashing } = options;
  return {
    setAt: new Date(now()).toISOString(),
    met: policy,
    history: await addToPinHistory(history, pin, { ...hashing, keep: policy.history }),
    ...(recovery && { recovery: sealForRecovery(pin, publicKey, recovery) }),
  };
}

/**
 * Returns the record with this state of its PIN. Its other annotations stay.
 * @throws TypeError for a state that {@link readPinState} would refuse.
 */
export function writePinState(record: KeyRecord, state: PinState): KeyRecord {
  checkObject(record, 'the key record', 'annotations:object');
  checkObject(state, 'the PIN state', 'met:object', 'history:object');
  const { setAt, met, history, recovery } = state;
  const pin = {
    setAt,
    met: { ...met },
    history: { entries: history.entries.map((entry) => ({ ...entry })) },
    ...(recovery && { recovery: { ...recovery } }),
  };
  try {
    parseState(pin);
  } catch (cause) {
    throw new TypeError(`the PIN state cannot be saved: ${sayError(cause)}`, { cause });
  }
  return { ...record, annotations: { ...record.annotations, pin } };
}

/**
 * Reads the state of the PIN of a key; undefined if none was kept.
 * @throws KeyprovError `store-invalid` if it is damaged.
 */
export function readPinState(record: KeyRecord): PinState | undefined {
  checkObject(record, 'the key record', 'annotations:object');
  const { pin } = record.annotations;
  if (pin === undefined) return undefined;
  try {
    return parseState(pin);
  } catch (cause) {
    throw new KeyprovError('store-invalid', `the PIN state of the key ${record.id} is damaged: ${sayError(cause)}`, {
      cause,
      remedy: 'restore a copy of the record, or replace the key with a new one',
    });
  }
}

/**
 * Why the PIN of a key must be changed at this time (milliseconds since 1970): it expired, or a rule is now stricter
 * than the one it met. Does not need the PIN. Without a kept state, no rule counts as met. Empty for a key without a
 * PIN.
 * @throws KeyprovError `store-invalid` as {@link readPinState} does; TypeError if rules of `policy` are missing;
 * PolicyError if one is wrong.
 */
export function pinMustChangeOf(record: KeyRecord, policy: PinPolicy, now: number): PinChangeReason[] {
  checkObject(record, 'the record for pinMustChangeOf', 'hasPin');
  if (!record.hasPin) return [];
  const { setAt, met } = readPinState(record) ?? { setAt: record.created, met: NO_RULES };
  return pinMustChange({ setAt: Date.parse(setAt), met }, policy, now);
}

/**
 * Returns the PIN rules for a key: the rules of the policy in force if a source sets any; otherwise the rules that its
 * current PIN met; otherwise the defaults. So a call without a policy does not loosen a key's rules.
 */
export function pinRulesFor(
  record: KeyRecord,
  { policy, setsPinRules }: Pick<MergedPolicy, 'policy' | 'setsPinRules'>,
): PinPolicy {
  return setsPinRules ? policy.pin : (readPinState(record)?.met ?? policy.pin);
}

const NO_RULES: PinPolicy = {
  minLength: 1,
  maxLength: Infinity,
  uppercase: 'allowed',
  lowercase: 'allowed',
  special: 'allowed',
  digits: 'allowed',
  history: 0,
  expirationDays: 0,
};

const RULES = Object.keys(NO_RULES);

function parseState(json: unknown): PinState {
  const state = new JsonMembers('pin', json, requestInvalid, ['setAt', 'met', 'history', 'recovery']);
  const setAt = state.text('setAt');
  if (Number.isNaN(Date.parse(setAt)) || new Date(setAt).toISOString() !== setAt)
    throw state.wrong('setAt', 'not a time');
  const met = new JsonMembers('pin: met', state.value('met'), requestInvalid, RULES);
  const missing = RULES.find((rule) => !met.has(rule));
  if (missing !== undefined) throw met.wrong(missing, 'missing');
  const entries = new JsonMembers('pin: history', state.value('history'), requestInvalid, ['entries']).value('entries');
  if (!Array.isArray(entries)) throw state.wrong('history', 'not a list');
  const recovery = state.value('recovery');
  return {
    setAt,
    met: definePinPolicy(met.all()),
    history: { entries: entries.map(parseEntry) },
    ...(recovery !== undefined && { recovery: parseRecovery(recovery) }),
  };
}

function parseEntry(json: unknown): PinHistoryEntry {
  const numbers = ['cost', 'blockSize', 'parallelization'] as const;
  const entry = new JsonMembers('pin: history', json, requestInvalid, ['kdf', ...numbers, 'salt', 'hash']);
  if (entry.text('kdf') !== 'scrypt') throw entry.wrong('kdf', 'not scrypt');
  const [cost = 0, blockSize = 0, parallelization = 0] = numbers.map((name) => entry.integer(name));
  const base64 = (name: string, size: number): string => {
    if (entry.base64(name).length !== size) throw entry.wrong(name, `not ${size} bytes long`);
    return entry.text(name);
  };
  return { kdf: 'scrypt', cost, blockSize, parallelization, salt: base64('salt', 16), hash: base64('hash', 32) };
}

function parseRecovery(json: unknown): PinRecovery {
  const recovery = new JsonMembers('pin: recovery', json, requestInvalid, [
    'user',
    'serviceKey',
    'encryptedSecret',
    'sealedPin',
  ]);
  const base64 = (name: string, fits: (bytes: Bytes) => boolean): string => {
    if (!fits(recovery.base64(name))) throw recovery.wrong(name, 'the wrong length');
    return recovery.text(name);
  };
  return {
    user: recovery.text('user'),
    serviceKey: base64('serviceKey', ({ length }) => length === 32),
    encryptedSecret: base64('encryptedSecret', ({ length }) => length >= 256 && length <= 2048),
    sealedPin: base64('sealedPin', ({ length }) => length === SEALED_PIN_SIZE),
  };
}
