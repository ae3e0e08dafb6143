import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { equal, utf8 } from '../../../src/bytes.ts';
import { decodeSpki } from '../../../src/crypto/public-key.ts';
import { MfaError } from '../../../src/errors/mfa-error.ts';
import { PinError } from '../../../src/errors/pin-error.ts';
import { TpmError } from '../../../src/errors/tpm-error.ts';
import { KeyprovError } from '../../../src/errors.ts';
import type { KeyRecord } from '../../../src/keys/key-record.ts';
import { KeyStore, openKeyStore } from '../../../src/keys/key-store.ts';
import type { KeyProvider, ProvidedKey } from '../../../src/keys/provider.ts';
import { definePinPolicy, definePolicy, type PinPolicy, pinHistoryContains } from '../../../src/policy/index.ts';
import { type ChangeUserPinOptions, changeUserPin } from '../../../src/provisioning/change-pin.ts';
import type { NewPinPrompt, NewPinRequest } from '../../../src/provisioning/pin-entry.ts';
import { openRecoverySecret, type PinRecoveryRequest } from '../../../src/provisioning/pin-recovery.ts';
import { newPinState, readPinState, writePinState } from '../../../src/provisioning/pin-state.ts';
import { resetPinKeepingKey } from '../../../src/provisioning/reset-pin.ts';
import { keyRecord } from '../../key-record.ts';
import { asyncRefusal } from '../../refusal.ts';

const OLD = '258096';
const NEW = '369025';
const policy = definePinPolicy();
const remembering = definePinPolicy({ history: 2 });
const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
const spki = decodeSpki(new Uint8Array(pair.publicKey.export({ type: 'spki', format: 'der' })));
if (spki.kty !== 'RSA') throw new Error('no RSA key');
const recovery = { servicePublicKey: spki, user: 'ann@example.com' };

/** The events, in order. */
let log: string[];
let directory: string;
let store: KeyStore;
let provider: ReturnType<typeof fakeProvider>;

/** A provider that makes no signatures: it knows the PIN of each private key that it gave out. */
function fakeProvider() {
  const pins = new Map<string, Uint8Array>([['first', utf8(OLD)]]);
  const seen: (boolean | undefined)[] = [];
  /** The buffers of the PINs that it received: the key's, and the new ones. */
  const held: { current: Uint8Array[]; next: Uint8Array[] } = { current: [], next: [] };
  const opens = ({ privateKey }: ProvidedKey, pin: Uint8Array | undefined): boolean =>
    pin !== undefined && equal(pins.get(privateKey) ?? utf8(''), pin);
  const check = (key: ProvidedKey, pin: Uint8Array | undefined, options: object): void => {
    seen.push('force' in options ? options.force === true : undefined);
    if (!opens(key, pin)) throw new PinError('pin-wrong', 'the PIN is wrong', { triesLeft: 3 });
  };
  const fake: KeyProvider = {
    backend: 'tpm',
    assurance: 'virtual',
    supports: async () => true,
    create: () => Promise.reject(new Error('not asked for here')),
    sign: async (key, options) => {
      log.push('try');
      check(key, options.pin, options);
      return utf8('signature');
    },
    changePin: async (key, options) => {
      log.push('change');
      held.current.push(options.pin);
      held.next.push(options.newPin);
      check(key, options.pin, options);
      const privateKey = `key ${pins.size}`;
      pins.set(privateKey, new Uint8Array(options.newPin));
      return { ...key, privateKey };
    },
  };
  return { ...fake, opens, seen, held };
}

/** Answers with these PINs; keeps the bytes that it gave. */
function answers(...pins: readonly string[]) {
  const given: Uint8Array[] = [];
  const prompt: NewPinPrompt = async ({ step, problems }: NewPinRequest) => {
    log.push(`${step}${problems.map(({ code }) => ` ${code}`).join('')}`);
    const pin = utf8(pins[given.length] ?? '');
    given.push(pin);
    return pin;
  };
  return { prompt, given };
}

async function savedKey(rules: PinPolicy = policy, withRecovery = true): Promise<void> {
  const record = keyRecord('user', { privateKey: 'first' });
  const { publicKey } = record;
  const options = { publicKey, cost: 16, ...(withRecovery && { recovery }) };
  await store.save(writePinState(record, await newPinState(utf8(OLD), rules, options)));
}

const options = (more: Partial<ChangeUserPinOptions> = {}): ChangeUserPinOptions => ({
  provider,
  currentPin: utf8(OLD),
  prompt: answers(NEW, NEW).prompt,
  policy,
  ...more,
});
const isOpenedBy = async (pin: string) => provider.opens(await store.load('user'), utf8(pin));

beforeEach(async () => {
  log = [];
  provider = fakeProvider();
  directory = await mkdtemp(join(tmpdir(), 'keyprov-pin-'));
  store = await openKeyStore(directory);
});
afterEach(() => rm(directory, { recursive: true }));

describe('changeUserPin', () => {
  it('tries the PIN, asks for a new one, changes it, and keeps the state of the new one', async () => {
    await savedKey(remembering);
    const before = await store.load('user');
    const { prompt, given } = answers(NEW, NEW);
    const now = () => Date.parse('2026-02-03T04:05:06.007Z');
    const changed = await changeUserPin(store, 'user', options({ prompt, now, policy: remembering }));
    expect(log).toEqual(['try', 'enter', 'confirm', 'change']);
    expect(await store.load('user')).toEqual(changed);
    expect({ ...changed, privateKey: '', annotations: {} }).toEqual({ ...before, privateKey: '', annotations: {} });
    expect([await isOpenedBy(OLD), await isOpenedBy(NEW)]).toEqual([false, true]);
    const state = readPinState(changed);
    expect(state).toMatchObject({ setAt: '2026-02-03T04:05:06.007Z', met: remembering });
    const [newest, second] = state?.history.entries ?? [];
    expect(state?.history.entries).toHaveLength(2);
    expect(await pinHistoryContains({ entries: newest ? [newest] : [] }, utf8(NEW))).toBe(true);
    expect(second).toEqual(readPinState(before)?.history.entries[0]);
    expect([...given, ...provider.held.next]).toEqual([1, 2, 3].map(() => new Uint8Array(6)));
  });

  it('leaves a given current PIN to the caller, and wipes one that it asked for', async () => {
    await savedKey();
    const pin = utf8(OLD);
    await changeUserPin(store, 'user', options({ currentPin: pin }));
    expect(pin).toEqual(utf8(OLD));
    const asked = utf8(NEW);
    // One buffer for all answers: it must not matter.
    const prompt: NewPinPrompt = async () => {
      asked.set(utf8('741085'));
      return asked;
    };
    await changeUserPin(store, 'user', options({ currentPin: async () => asked, prompt }));
    expect([asked, provider.held.current.at(-1)]).toEqual([1, 2].map(() => new Uint8Array(6)));
    expect(await isOpenedBy('741085')).toBe(true);
  });

  it.each([
    ['a whole policy', definePolicy(), "; 'minLength' is missing"],
    ['nothing', null, ''],
  ])('tries and writes nothing if the rules are %s', async (_, rules, which) => {
    await savedKey();
    const before = await store.load('user');
    await expect(changeUserPin(store, 'user', options({ policy: rules as never }))).rejects.toThrow(
      new TypeError(`the rules for a PIN must be a PinPolicy, such as a Policy's member 'pin'${which}`),
    );
    expect([log, await store.load('user')]).toEqual([[], before]);
  });

  it('refuses a new PIN that the rules do not allow before it asks for the current one', async () => {
    await savedKey();
    const currentPin = async () => {
      log.push('asked');
      return utf8(OLD);
    };
    const weak = options({ currentPin, prompt: utf8('12') });
    await expect(changeUserPin(store, 'user', weak)).rejects.toMatchObject({ code: 'pin-refused' });
    expect(log).toEqual([]);
  });

  it('does not try a current PIN with a line break, which none has', async () => {
    await savedKey();
    const wrong = options({ currentPin: utf8(`${OLD}\n`) });
    await expect(changeUserPin(store, 'user', wrong)).rejects.toMatchObject({ code: 'pin-refused' });
    expect(log).toEqual([]);
  });

  it('asks for no new PIN after a wrong current one', async () => {
    await savedKey();
    const wrong = options({ currentPin: utf8('000001') });
    await expect(changeUserPin(store, 'user', wrong)).rejects.toMatchObject({ code: 'pin-wrong', triesLeft: 3 });
    expect(log).toEqual(['try']);
    expect(await isOpenedBy(OLD)).toBe(true);
  });

  it('refuses the PINs of the history, including the current one', async () => {
    await savedKey(remembering);
    await changeUserPin(store, 'user', options({ policy: remembering }));
    log = [];
    const { prompt } = answers(OLD, NEW, '1111', '741085', '741086', '741085', '741085');
    await changeUserPin(store, 'user', options({ currentPin: utf8(NEW), prompt, policy: remembering }));
    expect(log.slice(1, -1)).toEqual([
      'enter',
      'enter in-history',
      'enter in-history',
      'enter too-short common-pattern',
      'confirm',
      'enter confirmation-differs',
      'confirm',
    ]);
    // Only two are kept, so the first one may come back.
    await changeUserPin(
      store,
      'user',
      options({ currentPin: utf8('741085'), prompt: answers(OLD, OLD).prompt, policy: remembering }),
    );
    expect(await isOpenedBy(OLD)).toBe(true);
  });

  it('refuses the current PIN even if no history was kept when it was set', async () => {
    await store.save(keyRecord('user', { privateKey: 'first' }));
    await changeUserPin(store, 'user', options({ prompt: answers(OLD, NEW, NEW).prompt, policy: remembering }));
    expect(log).toEqual(['try', 'enter', 'enter in-history', 'confirm', 'change']);
    expect(readPinState(await store.load('user'))?.history.entries).toHaveLength(2);
  });

  it('drops the history and accepts any PIN if policy keeps no history', async () => {
    await savedKey(remembering);
    await changeUserPin(store, 'user', options({ prompt: answers(OLD, OLD).prompt }));
    expect(readPinState(await store.load('user'))).toMatchObject({ met: policy, history: { entries: [] } });
  });

  it('keeps the recovery only if it is set up again', async () => {
    await savedKey();
    const old = readPinState(await store.load('user'))?.recovery;
    expect(old).toBeDefined();
    await changeUserPin(store, 'user', options({ recovery }));
    const again = readPinState(await store.load('user'))?.recovery;
    expect(again?.encryptedSecret).not.toBe(old?.encryptedSecret);
    const { prompt } = answers('741085', '741085');
    await changeUserPin(store, 'user', options({ currentPin: utf8(NEW), prompt }));
    expect(readPinState(await store.load('user'))?.recovery).toBeUndefined();
  });

  it('passes force to both uses of the PIN', async () => {
    await savedKey();
    await changeUserPin(store, 'user', options({ force: true }));
    expect(provider.seen).toEqual([true, true]);
  });

  it('does not try the old PIN on a key that has got another one', async () => {
    await savedKey();
    const { prompt } = answers(NEW, NEW);
    const slow: NewPinPrompt = async (request, more) => {
      if (request.step === 'enter') {
        log.push('somebody else');
        await changeUserPin(store, 'user', options({ prompt: answers('741085', '741085').prompt }));
      }
      return await prompt(request, more);
    };
    expect(await asyncRefusal(() => changeUserPin(store, 'user', options({ prompt: slow })))).toMatch(
      /^store-busy: another process changed the key user while the user chose a new PIN;/,
    );
    expect(log.filter((what) => what === 'change')).toHaveLength(1);
    expect(await isOpenedBy('741085')).toBe(true);
  });

  it('refuses a key without a PIN, and a missing key', async () => {
    const { pinDerivation: _, ...bare } = keyRecord('user', { hasPin: false });
    await store.save(bare);
    expect(await asyncRefusal(() => changeUserPin(store, 'user', options()))).toMatch(/^key-invalid: /);
    expect(await asyncRefusal(() => changeUserPin(store, 'none', options()))).toMatch(/^key-not-found: /);
    expect(log).toEqual([]);
  });

  it('passes on the abort and the errors of the prompt', async () => {
    await savedKey();
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(changeUserPin(store, 'user', options({ signal }))).rejects.toThrow('enough');
    const prompt = () => Promise.reject(new Error('the window was closed'));
    await expect(changeUserPin(store, 'user', options({ prompt }))).rejects.toThrow('the window was closed');
    expect(log).toEqual(['try']);
    expect(await isOpenedBy(OLD)).toBe(true);
  });

  describe('leaves a key that opens when it ends', () => {
    const failing = (when: 'before' | 'after') =>
      new (class extends KeyStore {
        override async update(...[id, change, more]: Parameters<KeyStore['update']>): Promise<KeyRecord> {
          const result = await super.update(
            id,
            async (record) => {
              const next = await change(record);
              if (when === 'before') throw new KeyprovError('store-io', 'the disk is full');
              return next;
            },
            more,
          );
          throw new KeyprovError('store-io', `the power went after ${result.id} was written`);
        }
      })(directory);

    it.each([
      ['with the old PIN', 'between the change in the TPM and the new record', 'before', true],
      ['with the new PIN', 'right after the new record', 'after', false],
    ] as const)('%s: %s', async (_, __, when, isOld) => {
      await savedKey();
      const error = await asyncRefusal(() => changeUserPin(failing(when), 'user', options()));
      expect(error).toMatch(/^store-io: /);
      expect(log.at(-1)).toBe('change');
      expect([await isOpenedBy(OLD), await isOpenedBy(NEW)]).toEqual([isOld, !isOld]);
    });
  });
});

describe('a wrong provider', () => {
  it.each([
    ['none', undefined],
    ['null', null],
    ['text', 'tpm'],
    ['sources of keys', { tpm: 'auto' }],
    ['a provider that cannot change a PIN', { backend: 'tpm', sign: () => undefined }],
  ])('is a TypeError before anyone is asked: %s', async (_, wrong) => {
    await savedKey();
    const given = options({ provider: wrong as never, currentPin: async () => utf8(`${log.push('asked')}`) });
    const { currentPin: __, ...others } = given;
    const recover = () => Promise.reject(new Error(`${log.push('asked')}`));
    await expect(changeUserPin(store, 'user', given)).rejects.toThrow(
      new TypeError('provider of changeUserPin must be an object with backend and sign and changePin'),
    );
    await expect(resetPinKeepingKey(store, 'user', { ...others, recover })).rejects.toThrow(
      new TypeError('provider of resetPinKeepingKey must be an object with backend and sign and changePin'),
    );
    expect(log).toEqual([]);
  });
});

describe('resetPinKeepingKey', () => {
  const reset = (more: Partial<Parameters<typeof resetPinKeepingKey>[2]> = {}) => {
    const asked: PinRecoveryRequest[] = [];
    const given: Uint8Array[] = [];
    const recover = async (request: PinRecoveryRequest) => {
      log.push('recover');
      asked.push(request);
      const secret = openRecoverySecret(request, pair.privateKey);
      given.push(secret);
      return secret;
    };
    const { currentPin: _, ...rest } = options();
    return { asked, given, run: () => resetPinKeepingKey(store, 'user', { ...rest, recover, ...more }) };
  };

  it('opens the old PIN with the secret of the service, and sets a new one', async () => {
    await savedKey();
    const { run, asked, given } = reset({ recovery });
    const { publicKey, privateKey } = await store.load('user');
    const record = await run();
    expect(log).toEqual(['recover', 'try', 'enter', 'confirm', 'change']);
    expect([record.publicKey, record.privateKey === privateKey]).toEqual([publicKey, false]);
    expect([await isOpenedBy(OLD), await isOpenedBy(NEW)]).toEqual([false, true]);
    expect(asked.map((request) => request.user)).toEqual(['ann@example.com']);
    expect(given).toEqual([new Uint8Array(32)]);
    expect([...provider.held.current, ...provider.held.next]).toEqual([1, 2].map(() => new Uint8Array(6)));
    // And it can be repeated: the new PIN has its own recovery.
    const { prompt } = answers('741085', '741085');
    await reset({ prompt }).run();
    expect(await isOpenedBy('741085')).toBe(true);
    expect(await asyncRefusal(reset().run)).toMatch(
      /^recovery-unavailable: the PIN cannot be recovered: PIN recovery was not set up for the key user;/,
    );
  });

  it('keeps the history', async () => {
    await savedKey(remembering);
    await reset({ prompt: answers(OLD, NEW, NEW).prompt, policy: remembering }).run();
    expect(log).toEqual(['recover', 'try', 'enter', 'enter in-history', 'confirm', 'change']);
  });

  it('refuses a new PIN that the rules do not allow before it asks the service', async () => {
    await savedKey();
    await expect(reset({ prompt: utf8('12') }).run()).rejects.toMatchObject({ code: 'pin-refused' });
    expect(log).toEqual([]);
  });

  it('fails without a recovery setup, without asking anyone', async () => {
    await savedKey(policy, false);
    expect(await asyncRefusal(reset().run)).toMatch(/^recovery-unavailable: /);
    expect(log).toEqual([]);
  });

  it('fails with a provider for the other backend, without asking anyone', async () => {
    await savedKey();
    const { asked, given, run } = reset({ provider: { ...provider, backend: 'software' } });
    const refusal = 'key-invalid: the key user is in a TPM, but the provider is for keys in software; pass a ';
    expect(await asyncRefusal(run)).toContain(refusal);
    expect([asked, given, log]).toEqual([[], [], []]);
    const currentPin = () => Promise.reject(new Error('not asked for here'));
    const change = options({ provider: { ...provider, backend: 'software' }, currentPin });
    expect(await asyncRefusal(() => changeUserPin(store, 'user', change))).toContain(refusal);
  });

  it('fails with a wrong secret, which it wipes, before it touches the key', async () => {
    await savedKey();
    for (const size of [32, 31, 0]) {
      const secret = new Uint8Array(size).fill(7);
      expect(await asyncRefusal(reset({ recover: async () => secret }).run)).toMatch(/^recovery-unavailable: /);
      expect(secret).toEqual(new Uint8Array(size));
    }
    expect(log).toEqual([]);
    expect(await isOpenedBy(OLD)).toBe(true);
  });

  it('fails with the recovery of another key', async () => {
    await savedKey();
    const { publicKey } = keyRecord('other', { publicKey: recovery.servicePublicKey });
    const foreign = await newPinState(utf8(OLD), policy, { publicKey, recovery, cost: 16 });
    await store.update('user', (record) => writePinState(record, foreign));
    expect(await asyncRefusal(reset().run)).toMatch(/^recovery-unavailable: .* is for another user or key;/);
    const secret = async () => {
      const { encryptedSecret = '' } = foreign.recovery ?? {};
      const { privateDecrypt } = await import('node:crypto');
      const key = { key: pair.privateKey, oaepHash: 'sha256', oaepLabel: Buffer.from('keyprov PIN recovery') };
      return new Uint8Array(privateDecrypt(key, Buffer.from(encryptedSecret, 'base64')).subarray(0, 32));
    };
    expect(await asyncRefusal(reset({ recover: secret }).run)).toMatch(
      /^recovery-unavailable: .* does not open this key's PIN;/,
    );
    expect(log).toEqual(['recover']);
  });

  it('reports a key whose PIN is not the sealed one', async () => {
    await savedKey();
    const { publicKey } = await store.load('user');
    const stale = await newPinState(utf8('741085'), policy, { publicKey, recovery, cost: 16 });
    await store.update('user', (record) => writePinState(record, stale));
    await expect(reset().run()).rejects.toMatchObject({
      code: 'recovery-unavailable',
      cause: { code: 'pin-wrong', triesLeft: 3 },
    });
    expect(log).toEqual(['recover', 'try']);
  });

  it('passes on the errors of the service, and a lockout of the TPM before it asks for a new PIN', async () => {
    await savedKey();
    const refused = new MfaError('mfa-failed', 'no');
    await expect(reset({ recover: () => Promise.reject(refused) }).run()).rejects.toBe(refused);
    const locked: KeyProvider = {
      ...provider,
      sign: () => Promise.reject(new TpmError('tpm-lockout', 'locked', { retryAfterSeconds: 600 })),
    };
    await expect(reset({ provider: locked }).run()).rejects.toMatchObject({
      code: 'tpm-lockout',
      retryAfterSeconds: 600,
    });
    expect(log).toEqual(['recover']);
    expect(await isOpenedBy(OLD)).toBe(true);
  });
});
