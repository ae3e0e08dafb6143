import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/bytes.ts';
import { decodeKeyRecord, encodeKeyRecord, type KeyRecord } from '../../../src/keys/key-record.ts';
import { definePinPolicy, definePolicy, type PinSettings, pinHistoryContains } from '../../../src/policy/index.ts';
import {
  newPinState,
  type PinState,
  pinMustChangeOf,
  readPinState,
  writePinState,
} from '../../../src/provisioning/pin-state.ts';
import { keyRecord } from '../../key-record.ts';
import { refusal } from '../../refusal.ts';

const record = keyRecord('user', { annotations: { note: 'stays' } });
const { publicKey } = record;
const NOW = Date.parse('2026-05-06T07:08:09.010Z');
const now = () => NOW;
const DAY = 86_400_000;

const base64 = (size: number) => Buffer.alloc(size, 7).toString('base64');
const entry = {
  kdf: 'scrypt',
  cost: 16,
  blockSize: 8,
  parallelization: 1,
  salt: base64(16),
  hash: base64(32),
} as const;
const recovery = {
  user: 'ann@example.com',
  serviceKey: base64(32),
  encryptedSecret: base64(256),
  sealedPin: base64(156),
};
const state: PinState = {
  setAt: '2026-05-06T07:08:09.010Z',
  met: definePinPolicy({ minLength: 8, special: 'required', history: 3 }),
  history: { entries: [entry] },
  recovery,
};

describe('the state of a PIN', () => {
  it('is kept with the other annotations, and read back unchanged', () => {
    const text = encodeKeyRecord(writePinState(record, state));
    const read = decodeKeyRecord(text, 'a file');
    expect(readPinState(read)).toEqual(state);
    expect({ ...read, annotations: { ...read.annotations, pin: null } }).toEqual({
      ...record,
      annotations: { note: 'stays', pin: null },
    });
    expect(readPinState(record)).toBeUndefined();
    const { recovery: _, ...without } = state;
    expect(readPinState(writePinState(read, without))).toEqual(without);
  });

  it('starts with the time, the rules, and the history that they ask for', async () => {
    const policy = definePinPolicy({ history: 2 });
    const history = { entries: [entry, entry] };
    const made = await newPinState(utf8('258-0963'), policy, { publicKey, history, now, cost: 16 });
    expect({ ...made, history: undefined }).toEqual({ setAt: state.setAt, met: policy, history: undefined });
    expect(made.history.entries).toHaveLength(2);
    expect(made.history.entries[1]).toBe(entry);
    expect(await pinHistoryContains({ entries: made.history.entries.slice(0, 1) }, utf8('258-0963'))).toBe(true);
    const plain = await newPinState(utf8('258-0963'), definePinPolicy(), { publicKey, history, now });
    expect(plain.history).toEqual({ entries: [] });
  });

  const damaged: [string, Record<string, unknown>][] = [
    ['pin: not a JSON object', { pin: 'text' }],
    ['pin: not a JSON object', { pin: null }],
    ['unknown member "more"', { pin: { ...state, more: 1 } }],
    ['setAt: missing', { pin: { ...state, setAt: undefined } }],
    ['setAt: not a time', { pin: { ...state, setAt: '2026-05-06' } }],
    ['setAt: not a time', { pin: { ...state, setAt: 'soon' } }],
    ['met: not a JSON object', { pin: { ...state, met: [] } }],
    ['met: digits: missing', { pin: { ...state, met: { ...state.met, digits: undefined } } }],
    ['pin.minLength: is 3', { pin: { ...state, met: { ...state.met, minLength: 3 } } }],
    ['unknown member "numericOnlyStrict"', { pin: { ...state, met: { ...state.met, numericOnlyStrict: false } } }],
    ['history: not a list', { pin: { ...state, history: { entries: {} } } }],
    ['unknown member "keep"', { pin: { ...state, history: { entries: [], keep: 3 } } }],
    ['kdf: not scrypt', { pin: { ...state, history: { entries: [{ ...entry, kdf: 'md5' }] } } }],
    ['cost: not a whole number', { pin: { ...state, history: { entries: [{ ...entry, cost: 1.5 }] } } }],
    ['salt: not 16 bytes long', { pin: { ...state, history: { entries: [{ ...entry, salt: base64(15) }] } } }],
    ['hash: ', { pin: { ...state, history: { entries: [{ ...entry, hash: '!' }] } } }],
    ['unknown member "pin"', { pin: { ...state, history: { entries: [{ ...entry, pin: '1' }] } } }],
    ['recovery: not a JSON object', { pin: { ...state, recovery: null } }],
    ['user: missing', { pin: { ...state, recovery: { ...recovery, user: undefined } } }],
    ['serviceKey: the wrong length', { pin: { ...state, recovery: { ...recovery, serviceKey: base64(20) } } }],
    [
      'encryptedSecret: the wrong length',
      { pin: { ...state, recovery: { ...recovery, encryptedSecret: base64(255) } } },
    ],
    ['sealedPin: the wrong length', { pin: { ...state, recovery: { ...recovery, sealedPin: base64(155) } } }],
    ['pin: recovery: sealedPin: not canonical', { pin: { ...state, recovery: { ...recovery, sealedPin: 'ab' } } }],
  ];
  it.each(damaged)('that is damaged is not guessed at: %s', (problem, annotations) => {
    const of: KeyRecord = { ...record, annotations: JSON.parse(JSON.stringify(annotations)) };
    const message = refusal(() => readPinState(of));
    expect(message).toMatch(/^store-invalid: the PIN state of the key user is damaged: /);
    expect(message).toContain(problem);
    expect(refusal(() => pinMustChangeOf(of, state.met, NOW))).toBe(message);
  });
});

it('a state that could not be read again is not written', () => {
  const met = definePolicy() as never;
  expect(refusal(() => writePinState(record, { ...state, met }))).toMatch(
    /^foreign: TypeError: the PIN state cannot be saved: pin: met: unknown member "hardware"/,
  );
});

describe('pinMustChangeOf', () => {
  it('refuses a complete policy, whose rules it would not find', () => {
    expect(refusal(() => pinMustChangeOf(record, definePolicy() as never, NOW))).toMatch(
      /^foreign: TypeError: .*'minLength' is missing$/,
    );
  });

  const reasons = (of: KeyRecord, policy: PinSettings, days = 0) =>
    pinMustChangeOf(of, definePinPolicy(policy), NOW + days * DAY).map(({ code, setting }) => `${code} ${setting}`);
  const kept = writePinState(record, state);

  it('compares the rules that the PIN met, and its age, with the present policy', () => {
    expect(reasons(kept, { minLength: 8 }, 10_000)).toEqual([]);
    expect(reasons(kept, { minLength: 9, digits: 'required' })).toEqual([
      'policy-tightened minLength',
      'policy-tightened digits',
    ]);
    expect(reasons(kept, { expirationDays: 30 }, 29)).toEqual([]);
    expect(reasons(kept, { expirationDays: 30 }, 30)).toEqual(['expired expirationDays']);
  });

  it('is empty for a key without a PIN', () => {
    const { pinDerivation: _, ...bare } = { ...kept, hasPin: false };
    expect(reasons(bare, { minLength: 100, expirationDays: 1 }, 10)).toEqual([]);
  });

  it('counts no rule as met without a kept state, and the age from the creation of the key', () => {
    expect(reasons(record, {})).toEqual(['policy-tightened minLength', 'policy-tightened maxLength']);
    const created = Date.parse(record.created);
    expect(reasons(record, { expirationDays: 100, special: 'required' }, (created - NOW) / DAY + 100)).toEqual([
      'expired expirationDays',
      'policy-tightened minLength',
      'policy-tightened maxLength',
      'policy-tightened special',
    ]);
  });
});
