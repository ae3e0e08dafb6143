import '../cheap-scrypt.mjs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { verifyStatement } from '../../src/attestation/index.ts';
import { toHex, utf8 } from '../../src/bytes.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import { verifySignature } from '../../src/crypto/verify-signature.ts';
import { parseKeyRegistration } from '../../src/formats/windows/key-registration.ts';
import { keySources, type TpmSource } from '../../src/keys/key-sources.ts';
import { type KeyStore, openKeyStore } from '../../src/keys/key-store.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { findKeys } from '../../src/provisioning/find-key.ts';
import { openKey } from '../../src/provisioning/open-key.ts';
import { makeKey, provisionKey } from '../../src/provisioning/provision-key.ts';
import { openTestTpm } from '../../src/testing/index.ts';
import { listHandles, readLockout } from '../../src/tpm/capabilities.ts';
import { Clear } from '../../src/tpm/commands/hierarchy.ts';
import { GetRandom } from '../../src/tpm/commands/random.ts';
import { TPM_HT, TPM_RH } from '../../src/tpm/constants.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { asyncRefusal } from '../refusal.ts';

const PIN = utf8('591834');
const NEW_PIN = utf8('604817');
const CHALLENGE = utf8('a challenge of the service');
const DATA = utf8('what is signed');

let store: KeyStore;
beforeEach(async () => {
  store = await openKeyStore(await mkdtemp(join(tmpdir(), 'keyprov-open-')));
});
afterEach(() => rm(store.directory, { recursive: true }));

/** Names a TPM with a state that outlives its opening, and how to be done with it. */
const PLACES: Record<string, () => Promise<{ readonly tpm: TpmSource | 'none'; stop(): Promise<void> }>> = {
  libtpms: async () => ({ tpm: `libtpms:${join(store.directory, 'tpm')}`, stop: async () => {} }),
  swtpm: async () => {
    const server = await startSwtpm();
    return { tpm: server.address, stop: () => server.stop() };
  },
  software: async () => ({ tpm: 'none', stop: async () => {} }),
};

describe.each(Object.entries(PLACES))('a key in %s', (name, start) => {
  const isTpm = name !== 'software';
  const policy = definePolicy({ algorithm: 'p-256', hardware: isTpm ? 'required' : 'preferred', pin: { history: 2 } });

  it('is stored, opened, used and changed with the same calls on every backend', async () => {
    const { tpm, stop } = await start();
    try {
      const sources = keySources({ tpm, store });
      const made = await provisionKey({
        ...{ policy, sources, pin: PIN, challenge: CHALLENGE },
        ...{ user: 'ada@contoso.test', deviceId: '47f577e3-d2d0-4a0a-8aca-e0501098bde4' },
      });
      await store.save(made);
      expect(made.record.policy).toEqual(policy);
      expect(made.request.carriesAttestation).toBe(isTpm);
      expect(made.request.reason).toBe(isTpm ? undefined : 'a software key cannot be attested');

      await using key = await openKey({ store, user: 'ADA@contoso.test', sources });
      expect(key.record).toEqual(made.record);
      const verifies = (signature: Uint8Array) => verifySignature(key.publicKey, 'sha256', DATA, signature, 'der');
      expect(verifies(await key.sign({ data: DATA, pin: PIN }))).toBe(true);
      async function* pieces() {
        yield DATA.subarray(0, 4);
        yield DATA.subarray(4);
      }
      expect(verifies(await key.sign({ data: pieces(), pin: PIN }))).toBe(true);
      expect(await asyncRefusal(() => key.sign({ data: Readable.from(['text']), pin: PIN }))).toMatch(
        /each piece of the/,
      );
      expect(await asyncRefusal(() => key.sign({ data: pieces(), pin: utf8('591834\n') }))).toMatch(
        /^pin-refused: .*line/,
      );
      expect(await asyncRefusal(() => key.sign({ data: DATA, pin: NEW_PIN }))).toMatch(/^pin-wrong: /);
      expect(await key.prove()).toMatchObject({ backend: made.record.backend, assurance: made.record.assurance });

      if (isTpm) {
        const statement = await key.attest({ challenge: CHALLENGE });
        const { ok } = verifyStatement(statement, {
          ...{ challenge: CHALLENGE, attestationKey: { pubArea: statement.ak.pubArea } },
          expectedKey: { spki: encodeSpki(key.publicKey) },
        });
        expect(ok).toBe(true);
      } else {
        expect(await asyncRefusal(() => key.attest({ challenge: CHALLENGE }))).toMatch(/^attestation-unavailable: /);
      }
      const { request } = await key.request({ challenge: CHALLENGE });
      const parsed = parseKeyRegistration(request.body, request.profile);
      expect('attestation' in parsed).toBe(isTpm);

      expect(await asyncRefusal(() => key.changePin({ pin: PIN, newPin: utf8('1') }))).toMatch(/^pin-refused: /);
      expect(await asyncRefusal(() => key.changePin({ pin: PIN, newPin: PIN }))).toMatch(/^pin-refused: /);
      await key.changePin({ pin: PIN, newPin: NEW_PIN });
      expect(await store.load(made.record.id)).toEqual(key.record);
      expect(verifies(await key.sign({ data: DATA, pin: NEW_PIN }))).toBe(true);

      const { crypto, keys } = await key.webCrypto({ pin: async () => utf8('604817') });
      const algorithm = { name: 'ECDSA', hash: 'SHA-256' };
      const signature = await crypto.subtle.sign(algorithm, keys.privateKey, DATA);
      expect(await crypto.subtle.verify(algorithm, keys.publicKey, signature, DATA)).toBe(true);
    } finally {
      await stop();
    }
  });

  it('without a PIN states no rules for one, and is kept without a cast', async () => {
    const { tpm, stop } = await start();
    try {
      const sources = keySources({ tpm, store });
      const made = await makeKey({ policy, sources });
      await store.save(made);
      expect(made.record.policy).toEqual({ ...policy, pin: undefined });
      await using key = await openKey({ store, sources });
      expect(verifySignature(key.publicKey, 'sha256', DATA, await key.sign({ data: DATA }), 'der')).toBe(true);
      expect(await asyncRefusal(() => key.changePin({ pin: PIN, newPin: NEW_PIN }))).toMatch(/^key-invalid: .* no PIN/);
    } finally {
      await stop();
    }
  });
});

describe('the TPM of a key', () => {
  const policy = definePolicy({ algorithm: 'p-256', hardware: 'required', attestation: 'none' });
  const lives = (tpm: Tpm) => tpm.run(GetRandom, { bytesRequested: 1 }).then(() => true);

  it.each<[string, (tpm: Tpm) => TpmSource]>([
    ['is given open', (tpm) => tpm],
    ['is given by a function that opens nothing', (tpm) => async () => tpm],
  ])('stays open, and empty, if it %s', async (_, sourceOf) => {
    await using kit = await openTestTpm();
    const sources = { tpm: sourceOf(kit.tpm) };
    await store.save(await makeKey({ policy, sources, pin: PIN }));
    const key = await openKey({ store, sources });
    await key.sign({ data: DATA, pin: PIN });
    await key.close();
    expect(await lives(kit.tpm)).toBe(true);
    expect(await listHandles(kit.tpm, TPM_HT.TRANSIENT)).toEqual([]);
    expect(await asyncRefusal(() => key.sign({ data: DATA, pin: PIN }))).toMatch(/^transport-closed: the key ngc-/);
  });

  it('is opened once, at the first use, and closed with the key, if it is given by its address', async () => {
    const opened: Tpm[] = [];
    const address = `libtpms:${join(store.directory, 'tpm')}`;
    const tpm = async () => {
      const one = await openTpm(address);
      opened.push(one);
      return one;
    };
    await store.save(await makeKey({ policy, sources: { tpm }, pin: PIN }));
    expect(opened).toHaveLength(1);
    const key = await openKey({ store, sources: { tpm } });
    expect(opened).toHaveLength(1);
    await Promise.all([key.sign({ data: DATA, pin: PIN }), key.prove()]);
    expect(opened).toHaveLength(2);
    await key.close();
    for (const one of opened) expect(await asyncRefusal(() => lives(one))).toMatch(/^transport-closed: /);
  });

  it('is named if it is another one', async () => {
    const address = `libtpms:${join(store.directory, 'tpm')}`;
    await store.save(await makeKey({ policy, sources: { tpm: address }, pin: PIN }));
    await using none = await openKey({ store, sources: {} });
    expect(await asyncRefusal(() => none.prove())).toBe(
      `no-tpm: the key ${none.record.id} was made in the TPM at ${none.record.tpm?.address} ` +
        `(the key is in a TPM, but the sources have no TPM); use the TPM at ${none.record.tpm?.address}`,
    );
    await using other = await openKey({ store, sources: { tpm: 'libtpms' } });
    for (const use of [
      () => other.sign({ data: DATA, pin: PIN }),
      () => other.prove(),
      () => other.attest({ challenge: CHALLENGE }),
      () => other.request({ challenge: CHALLENGE, attestation: 'required' }),
    ]) {
      expect(await asyncRefusal(use)).toMatch(
        /^tpm-identity-changed: the key .* is not in the TPM at libtpms.*; use the TPM at libtpms:/,
      );
    }
  });

  it('is not sought at its old address if it is here and was cleared', async () => {
    const [old, now] = ['old', 'now'].map((name) => join(store.directory, name));
    const sources = { tpm: `libtpms:${old}` };
    const attested = definePolicy({ algorithm: 'p-256', hardware: 'required', attestation: 'required' });
    await store.save((await provisionKey({ policy: attested, sources, pin: PIN, challenge: CHALLENGE })).record);
    await rename(`${old}`, `${now}`);
    await using tpm = await openTpm(`libtpms:${now}`);
    await tpm.run(Clear, { authHandle: TPM_RH.LOCKOUT });
    await using key = await openKey({ store, sources: { tpm } });
    expect(await asyncRefusal(() => key.sign({ data: DATA, pin: PIN }))).toMatch(
      /^tpm-identity-changed: the TPM that made the key \S+ was cleared: .*; provision a new key$/,
    );
  });
});

describe('which key is opened', () => {
  const make = (user: string, deviceId?: string) =>
    makeKey({
      ...{ policy: definePolicy({ algorithm: 'p-256', hardware: 'discouraged' }), sources: keySources({ store }) },
      ...{ user, deviceId },
    });

  it('says user, device or the id of its record', async () => {
    const [one, two] = [await make('ada@contoso.test', '1'), await make('ada@contoso.test', '2')];
    for (const made of [one, two, await make('bob@contoso.test')]) await store.save(made);
    const opened = async (choice: object) => (await openKey({ store, ...choice })).record.id;
    expect(await opened({ user: 'Ada@contoso.test', deviceId: '2' })).toBe(two.record.id);
    expect(await opened({ id: one.record.id })).toBe(one.record.id);
    expect(await asyncRefusal(() => opened({ user: 'ada@contoso.test' }))).toMatch(
      new RegExp(
        `^key-ambiguous: several keys .*(${one.record.id}.*${two.record.id}|${two.record.id}.*${one.record.id})`,
      ),
    );
    expect(await asyncRefusal(() => opened({ user: 'eve@contoso.test' }))).toMatch(/^key-not-found: .* of eve@/);
    expect(await asyncRefusal(() => opened({ id: one.record.id, user: 'eve@contoso.test' }))).toMatch(
      /^key-not-found: /,
    );
    for (const choice of [{ id: 'ngc-0' }, { user: 'eve@contoso.test' }]) {
      expect(await findKeys(store, choice)).toEqual([]);
      const inStore = `--store ${store.directory}`;
      expect(await asyncRefusal(() => opened(choice))).toMatch(
        `; list the store's keys (keyprov status ${inStore}), or make a key (keyprov provision, or keyprov create ${inStore} without a service)`,
      );
    }
    await expect(openKey({})).rejects.toThrow(TypeError);
  });
});

describe('input from outside', () => {
  const made = (user: string) =>
    makeKey({
      ...{ policy: definePolicy({ algorithm: 'p-256', hardware: 'discouraged' }), sources: keySources({ store }) },
      user,
    });

  it('is checked: a record with an unknown member', async () => {
    const { record } = await made('ada@contoso.test');
    for (const change of [{ publicKey: undefined }, { backend: 'hsm' }, { privateKey: 7 }, { assurance: 'gold' }]) {
      const other: typeof record = JSON.parse('{}');
      Object.assign(other, record, change);
      expect(await asyncRefusal(() => openKey({ record: other }))).toMatch(
        /^key-invalid: openKey cannot use this record: /,
      );
    }
    expect(await asyncRefusal(() => openKey({ record, user: 'eve@contoso.test' }))).toMatch(/^key-not-found: /);
    expect((await openKey({ record, user: 'ADA@contoso.test' })).record).toBe(record);
  });

  it('does not hide the keys of others: damaged, unreadable and foreign files beside them', async () => {
    await store.save(await made('ada@contoso.test'));
    await writeFile(join(store.directory, 'key-damaged.json'), 'garbage');
    await mkdir(join(store.directory, 'key-directory.json'));
    expect((await openKey({ store, user: 'ada@contoso.test' })).record.user).toBe('ada@contoso.test');
    const { records, damaged } = await store.list();
    expect(records).toHaveLength(1);
    expect(damaged.map(({ code, message }) => `${code} ${/key-\w+\.json/.exec(message)}`)).toEqual([
      'store-invalid key-damaged.json',
      'not-private key-directory.json',
    ]);
    expect(await asyncRefusal(() => openKey({ store, user: 'eve@contoso.test' }))).toMatch(
      /^store-invalid: .*key-damaged/,
    );
  });

  it('is refused: an empty path for a store, and a function that opens no TPM', async () => {
    await expect(openKeyStore('')).rejects.toThrow(RangeError);
    const opener: () => Promise<Tpm> = JSON.parse('{}').nothing ?? (async () => JSON.parse('null'));
    const policy = definePolicy({ hardware: 'preferred' });
    await expect(makeKey({ policy, sources: { tpm: opener } })).rejects.toThrow(/did not return a Tpm/);
  });
});

it('overlapping tries of wrong PINs stop before the one that would lock the TPM', async () => {
  await using kit = await openTestTpm();
  const sources = { tpm: kit.tpm };
  const made = await makeKey({ policy: definePolicy({ algorithm: 'p-256' }), sources, pin: PIN });
  await using key = await openKey({ record: made.record, sources });
  const { maxTries } = await readLockout(kit.tpm);
  const tries = Array.from({ length: maxTries + 3 }, () => asyncRefusal(() => key.sign({ data: DATA, pin: NEW_PIN })));
  const codes = (await Promise.all(tries)).map((text) => text.split(':')[0]);
  expect(codes.filter((code) => code === 'pin-wrong')).toHaveLength(maxTries - 1);
  expect(codes.filter((code) => code === 'pin-last-try')).toHaveLength(4);
  expect(await readLockout(kit.tpm)).toMatchObject({ inLockout: false, failedTries: maxTries - 1 });
  const algorithm = { name: 'ECDSA', hash: 'SHA-256' };
  const unforced = await key.webCrypto({ pin: async () => utf8('591834') });
  await expect(unforced.crypto.subtle.sign(algorithm, unforced.keys.privateKey, DATA)).rejects.toMatchObject({
    cause: { code: 'pin-last-try', remedy: expect.stringContaining('`force: true`') },
  });
  const forced = await key.webCrypto({ pin: async () => utf8('591834'), force: true });
  expect((await forced.crypto.subtle.sign(algorithm, forced.keys.privateKey, DATA)).byteLength).toBe(64);
  expect((await key.sign({ data: DATA, pin: PIN, force: true })).length).toBeGreaterThan(60);
});

it('a prompt that is never answered ends with its signal', async () => {
  const sources = keySources({ tpm: 'none', store });
  await store.save(await makeKey({ policy: definePolicy({ algorithm: 'p-256' }), sources, pin: PIN }));
  await using key = await openKey({ store, sources });
  const abort = new AbortController();
  const newPin = (): Promise<Uint8Array> => {
    queueMicrotask(() => abort.abort(new Error('closed')));
    return new Promise(() => {});
  };
  await expect(key.changePin({ pin: PIN, newPin, signal: abort.signal })).rejects.toThrow('closed');
});

describe('files beside a record', () => {
  it('that contain its private key are rewritten with the PIN, and removed with the key', async () => {
    const sources = keySources({ tpm: 'none', store });
    const { record } = await makeKey({ policy: definePolicy({ algorithm: 'p-256' }), sources, pin: PIN });
    await writeFile(join(store.directory, 'key.pem'), record.privateKey);
    await writeFile(join(store.directory, 'mine.pem'), 'of the user');
    await store.save({ ...record, exports: ['key.pem'] });
    await using key = await openKey({ store, sources });
    await key.changePin({ pin: PIN, newPin: NEW_PIN });
    expect(await readFile(join(store.directory, 'key.pem'), 'utf8')).toBe(key.record.privateKey);
    expect(key.record.privateKey).not.toBe(record.privateKey);
    await store.delete(record.id);
    expect(await readdir(store.directory)).toContain('mine.pem');
    expect(await readdir(store.directory)).not.toContain('key.pem');
  });
});

it('a record says which TPM made its key', async () => {
  await using kit = await openTestTpm();
  const policy = definePolicy({ algorithm: 'p-256' });
  const { record, keyId } = await makeKey({ policy, sources: { tpm: kit.tpm } });
  expect(record.tpm).toMatchObject({
    address: kit.tpm.transport.address,
    virtual: true,
    vendor: { manufacturer: 'IBM' },
  });
  expect(record.id).toBe(`ngc-${toHex(keyId).slice(0, 32)}`);
});
