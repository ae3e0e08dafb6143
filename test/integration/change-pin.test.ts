import '../cheap-scrypt.mjs';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test as base, describe, expect } from 'vitest';
import { copy, toHex, utf8 } from '../../src/bytes.ts';
import { decodeSpki, type RsaPublicKey } from '../../src/crypto/public-key.ts';
import { verifySignature } from '../../src/crypto/verify-signature.ts';
import { type KeyStore, openKeyStore } from '../../src/keys/key-store.ts';
import { openPinTryLog } from '../../src/keys/pin-try-log.ts';
import type { KeyProvider } from '../../src/keys/provider.ts';
import { openSoftwareKeyProvider } from '../../src/keys/software-provider.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePinPolicy, type PinPolicy } from '../../src/policy/index.ts';
import { changeUserPin } from '../../src/provisioning/change-pin.ts';
import { openRecoverySecret, type PinRecoveryRequest, recoveryRequestOf } from '../../src/provisioning/pin-recovery.ts';
import { newPinState, pinMustChangeOf, readPinState, writePinState } from '../../src/provisioning/pin-state.ts';
import { resetPinKeepingKey } from '../../src/provisioning/reset-pin.ts';
import { faultyTransport } from '../../src/testing/faulty-transport.ts';
import { readLockout } from '../../src/tpm/capabilities.ts';
import { DictionaryAttackLockReset, DictionaryAttackParameters } from '../../src/tpm/commands/dictionary-attack.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import type { TpmTransport } from '../../src/tpm/transport.ts';
import { openLibtpms } from '../../src/tpm/transports/libtpms.ts';
import { CHEAP_SCRYPT } from '../cheap-scrypt-option.ts';
import { keyRecord } from '../key-record.ts';
import { PYTHON, pythonLacks } from '../programs.ts';
import { bundle } from './support/bundle.ts';

const OLD = '4-Spring-19/07';
const NEW = '8-Autumn-42/31';
const THIRD = '1-Winter-77/55';
const policy = definePinPolicy({ history: 3 });
const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
const recovery = { servicePublicKey: servicePublicKey(), user: 'ann@example.com' };
const data = utf8('what is signed');

/** Each test has a separate store, so that a test that timed out cannot write to another one's. */
const test = base.extend<{ root: string; store: KeyStore }>({
  // biome-ignore lint/correctness/noEmptyPattern: it needs nothing
  root: async ({}, use) => {
    const root = await mkdtemp(join(tmpdir(), 'keyprov-change-pin-'));
    await use(root);
    await rm(root, { recursive: true });
  },
  store: async ({ root }, use) => await use(await openKeyStore(join(root, 'keys'))),
});
const started: ChildProcess[] = [];

afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

function servicePublicKey(): RsaPublicKey {
  const key = decodeSpki(new Uint8Array(pair.publicKey.export({ type: 'spki', format: 'der' })));
  if (key.kty !== 'RSA') throw new Error('no RSA key');
  return key;
}

/** Makes the key `user` with the old PIN, and a recovery. */
async function saveKey(store: KeyStore, provider: KeyProvider, rules: PinPolicy = policy): Promise<void> {
  const key = await provider.create({ algorithm: 'p-256', pin: utf8(OLD) });
  const { backend, algorithm, publicKey, privateKey, hasPin, pinDerivation, parent } = key;
  const { pinDerivation: _, parent: __, ...rest } = keyRecord('user', { assurance: provider.assurance });
  const record = { ...rest, backend, algorithm, publicKey, privateKey, hasPin };
  const state = await newPinState(utf8(OLD), rules, { publicKey, recovery });
  await store.save(
    writePinState({ ...record, ...(pinDerivation && { pinDerivation }), ...(parent && { parent }) }, state),
  );
}

const answering = (...pins: readonly string[]) => {
  const left = [...pins];
  return async () => utf8(left.shift() ?? '');
};
const change = (
  store: KeyStore,
  provider: KeyProvider,
  from: string,
  to: readonly string[],
  rules: PinPolicy = policy,
) =>
  changeUserPin(store, 'user', { provider, currentPin: utf8(from), prompt: answering(...to), policy: rules, recovery });

/** Whether the key in the store signs with that PIN. Costs a try if it does not. */
async function opens(store: KeyStore, provider: KeyProvider, pin: string): Promise<boolean> {
  const key = await store.load('user');
  const signed = await provider.sign(key, { data, pin: utf8(pin) }).catch((error: unknown) => {
    expect(error).toMatchObject({ code: 'pin-wrong' });
    return undefined;
  });
  return signed !== undefined && verifySignature(key.publicKey, 'sha256', data, signed, 'der');
}

/** A PIN in the forms that files may contain: two text encodings, raw, in hexadecimal, and in base64 at any offset. */
function encodingsOf(secret: Uint8Array): Buffer[] {
  const utf16 = Buffer.from(Buffer.from(secret).toString('latin1'), 'utf16le');
  const forms = [Buffer.from(secret), utf16, Buffer.from(utf16).swap16()];
  return forms.flatMap((bytes) => {
    const hex = bytes.toString('hex');
    const base64 = [0, 1, 2].flatMap((shift) => {
      const text = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64');
      // Without the characters at both ends that other bytes have a part in.
      const inner = text.slice(shift === 0 ? 0 : shift + 1, -4);
      return [inner, inner.replaceAll('+', '-').replaceAll('/', '_')];
    });
    return [bytes, ...[hex, hex.toUpperCase(), ...base64].map((text) => Buffer.from(text))];
  });
}

/** Every file below the test's directory that contains the secret in any encoding. */
async function filesWith(root: string, secret: Uint8Array): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const content = await readFile(join(entry.parentPath, entry.name));
    if (encodingsOf(secret).some((form) => content.includes(form))) found.push(entry.name);
  }
  return found;
}

/** A provider, and a function that ends its backend. */
interface Opened extends AsyncDisposable {
  readonly provider: KeyProvider;
}

async function openInTpm(_: KeyStore): Promise<Opened> {
  const tpm = await openTpm('libtpms');
  return { provider: await openTpmKeyProvider(tpm), [Symbol.asyncDispose]: () => tpm.close() };
}

async function openInSoftware(store: KeyStore): Promise<Opened> {
  const provider = openSoftwareKeyProvider({ pinTries: await openPinTryLog(store.directory) });
  return { provider, [Symbol.asyncDispose]: async () => {} };
}

describe.each([
  ['a TPM', openInTpm, 2, 1],
  ['software', openInSoftware, 4, 4],
] as const)('the PIN of a key in %s', (_, open, triesLeft, triesLeftLater) => {
  test('is changed, and the key stays', async ({ store }) => {
    await using opened = await open(store);
    const { provider } = opened;
    await saveKey(store, provider);
    const { publicKey } = await store.load('user');
    const changed = await change(store, provider, OLD, [NEW, NEW]);
    expect(changed.publicKey).toEqual(publicKey);
    expect(await store.load('user')).toEqual(changed);
    expect(await opens(store, provider, NEW)).toBe(true);
    expect(await opens(store, provider, OLD)).toBe(false);
  });

  test('costs one try if the current one is wrong, and stays', async ({ store }) => {
    await using opened = await open(store);
    const { provider } = opened;
    await saveKey(store, provider);
    const wrong = () => change(store, provider, NEW, [THIRD, THIRD]);
    await expect(wrong()).rejects.toMatchObject({ code: 'pin-wrong', triesLeft });
    expect(await opens(store, provider, OLD)).toBe(true);
    // The right PIN in between resets a software key's count; a TPM keeps counting.
    await expect(wrong()).rejects.toMatchObject({ code: 'pin-wrong', triesLeft: triesLeftLater });
  });

  test('is refused while it is in the history, and must be changed once the rules are tightened', async ({ store }) => {
    await using opened = await open(store);
    const { provider } = opened;
    await saveKey(store, provider);
    const changed = await change(store, provider, OLD, [OLD, NEW, NEW]);
    expect(await opens(store, provider, NEW)).toBe(true);
    expect(pinMustChangeOf(changed, policy, Date.now())).toEqual([]);
    const tighter = definePinPolicy({ minLength: 16, history: 3 });
    expect(pinMustChangeOf(changed, tighter, Date.now()).map(({ setting }) => setting)).toEqual(['minLength']);
    const long = `${THIRD}.${THIRD}`;
    const prompt = answering(THIRD, OLD, NEW, long, long);
    const options = { provider, currentPin: utf8(NEW), prompt, policy: tighter };
    expect(pinMustChangeOf(await changeUserPin(store, 'user', options), tighter, Date.now())).toEqual([]);
    expect(await opens(store, provider, long)).toBe(true);
  });

  test('is replaced through the recovery service, and the key stays; its files contain neither PIN nor secret', async ({
    root,
    store,
  }) => {
    await using opened = await open(store);
    const { provider } = opened;
    await saveKey(store, provider);
    const { publicKey } = await store.load('user');
    const sent: PinRecoveryRequest[] = [];
    const secrets: Uint8Array[] = [];
    const reset = (...pins: readonly string[]) =>
      resetPinKeepingKey(store, 'user', {
        provider,
        recover: async (request) => {
          sent.push(request);
          const secret = openRecoverySecret(request, pair.privateKey);
          secrets.push(copy(secret));
          return secret;
        },
        prompt: answering(...pins),
        policy,
        recovery,
      });
    expect((await reset(OLD, NEW, NEW)).publicKey).toEqual(publicKey);
    expect(await opens(store, provider, NEW)).toBe(true);
    await reset(THIRD, THIRD);
    expect(await opens(store, provider, THIRD)).toBe(true);
    expect(await opens(store, provider, OLD)).toBe(false);
    expect(secrets.map(({ length }) => length)).toEqual([32, 32]);
    for (const secret of [...[OLD, NEW, THIRD].map(utf8), ...secrets]) {
      expect(await filesWith(root, secret)).toEqual([]);
      const text = Buffer.from(JSON.stringify(sent.map((request) => ({ ...request, ...hexOf(request) }))));
      expect(encodingsOf(secret).some((form) => text.includes(form))).toBe(false);
    }
    // And the search itself works.
    for (const [index, form] of encodingsOf(utf8(OLD)).entries()) {
      const name = `planted-${index}`;
      await writeFile(join(root, name), Buffer.concat([Buffer.from('xyz'), form, Buffer.from('xyz')]));
      expect(await filesWith(root, utf8(OLD))).toEqual([name]);
      await rm(join(root, name));
    }
  });

  test('is not recovered by the secret of another key, or one that the service made up', async ({ store }) => {
    await using opened = await open(store);
    const { provider } = opened;
    await saveKey(store, provider);
    const foreign = await provider.create({ algorithm: 'p-256', pin: utf8(OLD) });
    const { recovery: theirs } = await newPinState(utf8(OLD), policy, { publicKey: foreign.publicKey, recovery });
    const recover = async (request: PinRecoveryRequest) => openRecoverySecret(request, pair.privateKey);
    const reset = (secret: typeof recover) =>
      resetPinKeepingKey(store, 'user', { provider, recover: secret, prompt: answering(NEW, NEW), policy });
    const made = async () => new Uint8Array(32).fill(1);
    await expect(reset(made)).rejects.toMatchObject({ code: 'recovery-unavailable' });
    await store.update('user', (record) => {
      const state = readPinState(record);
      if (state === undefined || theirs === undefined) throw new Error('no state');
      return writePinState(record, { ...state, recovery: theirs });
    });
    await expect(reset(recover)).rejects.toMatchObject({ code: 'recovery-unavailable' });
    expect(await opens(store, provider, OLD)).toBe(true);
  });
});

function hexOf({ keyId, serviceKey, encryptedSecret }: PinRecoveryRequest): object {
  return { keyId: toHex(keyId), serviceKey: toHex(serviceKey), encryptedSecret: toHex(encryptedSecret) };
}

describe('in a TPM', () => {
  test('neither change nor reset bypasses the lockout, and the reset continues after it', async ({ store }) => {
    await using tpm = await openTpm('libtpms');
    const provider = await openTpmKeyProvider(tpm);
    await saveKey(store, provider);
    await tpm.run(DictionaryAttackParameters, {
      lockHandle: TPM_RH.LOCKOUT,
      newMaxTries: 2,
      newRecoveryTime: 600,
      lockoutRecovery: 600,
    });
    await expect(change(store, provider, NEW, [])).rejects.toMatchObject({ code: 'pin-wrong', triesLeft: 1 });
    const recover = async (request: PinRecoveryRequest) => openRecoverySecret(request, pair.privateKey);
    const reset = (force = false) =>
      resetPinKeepingKey(store, 'user', { provider, recover, prompt: answering(NEW, NEW), policy, force });
    await expect(reset()).rejects.toMatchObject({ code: 'pin-last-try', triesLeft: 1, retryAfterSeconds: 600 });
    await expect(change(store, provider, OLD, [])).rejects.toMatchObject({ code: 'pin-last-try' });
    const forced = { provider, currentPin: utf8(NEW), prompt: answering(), policy, force: true };
    await expect(changeUserPin(store, 'user', forced)).rejects.toMatchObject({ code: 'pin-wrong', triesLeft: 0 });
    await expect(reset()).rejects.toMatchObject({ code: 'tpm-lockout', retryAfterSeconds: 600 });
    await expect(change(store, provider, OLD, [])).rejects.toMatchObject({ code: 'tpm-lockout' });
    await tpm.run(DictionaryAttackLockReset, { lockHandle: TPM_RH.LOCKOUT });
    await reset();
    expect(await opens(store, provider, NEW)).toBe(true);
    expect((await readLockout(tpm)).failedTries).toBe(0);
  });

  test.for(['lost', 'cut'] as const)(
    'a fault at any command of the change leaves one of the two PINs in force: %s',
    async (fault, { store }) => {
      await using transport = await openLibtpms();
      const { kind, address, emulator, managed } = transport;
      /** The same TPM for one connection after the other. */
      const shared: TpmTransport = {
        ...{ kind, address, emulator, managed },
        send: (...given) => transport.send(...given),
        close: async () => {},
      };
      const rules = definePinPolicy(); // without history, of which the work would be the greater part
      const first = await Tpm.open(shared);
      await saveKey(store, await openTpmKeyProvider(first), rules);
      await first.close();
      const before = await store.load('user');
      let met = 0;
      for (let at = 0; ; at++) {
        await transport.powerCycle();
        const faulty = faultyTransport(shared, (_, index) => (index === at ? fault : 'none'));
        const failed = await (async () => {
          const tpm = await Tpm.open(faulty);
          const provider = await openTpmKeyProvider(tpm);
          await change(store, provider, OLD, [NEW, NEW], rules);
        })().then(
          () => false,
          () => true,
        );
        const reached = faulty.commands > at;
        await transport.powerCycle();
        const tpm = await Tpm.open(shared);
        // A use of the PIN that was cut off counts as a wrong PIN.
        await tpm.run(DictionaryAttackLockReset, { lockHandle: TPM_RH.LOCKOUT });
        const provider = await openTpmKeyProvider(tpm);
        const record = await store.load('user');
        if (!reached) {
          expect([failed, await opens(store, provider, NEW), await opens(store, provider, OLD)]).toEqual([
            false,
            true,
            false,
          ]);
          break;
        }
        met++;
        // A fault during clean-up may leave the change in place; then it is complete.
        expect([at, await opens(store, provider, failed ? OLD : NEW)]).toEqual([at, true]);
        if (failed) expect(record).toEqual(before);
        else await store.update('user', () => before);
      }
      expect(met).toBeGreaterThan(15);
    },
  );

  test('a process that is killed on the way leaves the old PIN in force, or the new one', async ({ root, store }) => {
    using script = await bundle('test/integration/children/pin-change-worker.ts');
    const tpmDirectory = join(root, 'tpm');
    {
      await using tpm = await openTpm(`libtpms:${tpmDirectory}`);
      await saveKey(store, await openTpmKeyProvider(tpm));
    }
    for (const [stop, pin] of [
      ['before', OLD],
      ['after', NEW],
    ] as const) {
      const before = await store.load('user');
      const child = spawn(
        process.execPath,
        [CHEAP_SCRYPT, script.path, stop, store.directory, tpmDirectory, OLD, NEW],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      );
      started.push(child);
      const closed = once(child, 'close');
      const [said] = await Promise.race([once(child.stdout, 'data'), closed]);
      expect(String(said)).toBe('stopped\n');
      child.kill('SIGKILL');
      expect(await closed).toEqual([null, 'SIGKILL']);
      await using tpm = await openTpm(`libtpms:${tpmDirectory}`);
      const provider = await openTpmKeyProvider(tpm);
      expect((await readLockout(tpm)).failedTries).toBe(0);
      if (stop === 'before') expect(await store.load('user')).toEqual(before);
      expect(await opens(store, provider, pin)).toBe(true);
      // The store is not locked for good by the dead process.
      expect((await store.update('user', (record) => record)).id).toBe('user');
    }
  });
});

describe('a PIN recovery', () => {
  test.skipIf(pythonLacks('cryptography'))('is opened by Python after its description', async ({ store }) => {
    await saveKey(store, openSoftwareKeyProvider());
    const record = await store.load('user');
    const kept = readPinState(record)?.recovery;
    if (kept === undefined) throw new Error('no recovery');
    const { keyId } = recoveryRequestOf(kept, record.publicKey);
    const privateKey = pair.privateKey.export({ type: 'pkcs8', format: 'pem' });
    const input = JSON.stringify({ ...kept, keyId: toHex(keyId), privateKey });
    const pin = execFileSync(PYTHON, ['test/integration/children/open_pin_recovery.py'], { input, encoding: 'utf8' });
    expect(pin).toBe(OLD);
  });
});
