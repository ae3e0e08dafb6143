import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type KeyStore, openKeyStore } from '../../../src/keys/key-store.ts';
import { findKey, findKeys } from '../../../src/provisioning/find-key.ts';
import { asyncRefusal } from '../../refusal.ts';

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
