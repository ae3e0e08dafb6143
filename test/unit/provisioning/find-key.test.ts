import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { toBase64, toBase64Url, toHex } from '../../../src/bytes.ts';
import { keyIdOf } from '../../../src/formats/windows/key-registration.ts';
import { type KeyStore, openKeyStore } from '../../../src/keys/key-store.ts';
import { findKey, findKeys } from '../../../src/provisioning/find-key.ts';
import { keyRecord } from '../../key-record.ts';
import { asyncRefusal } from '../../refusal.ts';
import { ecKey } from '../../signing-key.ts';

let store: KeyStore;
beforeEach(async () => {
  store = await openKeyStore(mkdtempSync(join(tmpdir(), 'keyprov test-')));
});
afterEach(() => rmSync(store.directory, { recursive: true }));

it.each([{ id: 'ngc-0' }, { user: 'eve@contoso.test' }])(
  'a key that is not there has advice for a shell: %j',
  async (choice) => {
    expect(await findKeys(store, choice)).toEqual([]);
    const inStore = `--store '${store.directory}'`;
    expect(await asyncRefusal(() => findKey(store, choice))).toMatch(
      `; list the store's keys (keyprov status ${inStore}), or make a key (keyprov provision, or keyprov create ${inStore} without a service)`,
    );
  },
);

it('a key is found by its Key ID in base64, base64url and hexadecimal, if no record has that id', async () => {
  const record = keyRecord('mine');
  const keyId = keyIdOf(record.publicKey);
  const texts = [toBase64(keyId), toBase64Url(keyId), toHex(keyId), toHex(keyId).toUpperCase()];
  for (const id of texts) expect(await findKeys(store, { id })).toEqual([]);
  await store.save(record);
  for (const id of texts) {
    expect((await findKey(store, { id })).record.id).toBe(record.id);
    expect(await findKeys(store, { id: id.replace(/^./, (first) => (first === '0' ? '1' : '0')) })).toEqual([]);
  }
  await store.save({ ...record, id: toHex(keyId), publicKey: ecKey('P-256').publicKey });
  expect((await findKey(store, { id: toHex(keyId) })).record.id).toBe(toHex(keyId));
});
