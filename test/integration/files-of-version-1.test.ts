import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/bytes.ts';
import { verifySignature } from '../../src/crypto/verify-signature.ts';
import { type KeyStore, openKeyStore } from '../../src/keys/key-store.ts';
import { openKey } from '../../src/provisioning/open-key.ts';
import { listRuns } from '../../src/provisioning/run-journal.ts';
import { asyncRefusal } from '../refusal.ts';

const PIN = utf8('591834');
const NEW_PIN = utf8('604817');
const DATA = utf8('what is signed');

let store: KeyStore;
beforeEach(async () => {
  store = await openKeyStore(await mkdtemp(join(tmpdir(), 'keyprov-version-1-')));
});
afterEach(() => rm(store.directory, { recursive: true }));

describe('files of version 1', () => {
  it('still open: a registered key signs, and is written in the new form when it changes', async () => {
    await cp('test/vectors/old-store', store.directory, { recursive: true });
    await using key = await openKey({ store, user: 'alice@contoso.test' });
    expect(key.record).toMatchObject({ deviceId: '47f577e3-d2d0-4a0a-8aca-e0501098bde4', hasPin: true });
    expect(key.registration).toMatchObject({
      user: 'alice@contoso.test',
      service: expect.stringContaining('service.test'),
    });
    expect(key.record.policy).toMatchObject({ hardware: 'discouraged', pin: { minLength: 6, history: 2 } });
    const signature = await key.sign({ data: DATA, pin: PIN });
    expect(verifySignature(key.publicKey, 'sha256', DATA, signature, 'pkcs1')).toBe(true);
    expect(await asyncRefusal(() => key.changePin({ pin: PIN, newPin: PIN }))).toMatch(/^pin-refused: /);
    await key.changePin({ pin: PIN, newPin: NEW_PIN });
    const text = await readFile(join(store.directory, `key-${key.record.id}.json`), 'utf8');
    expect(JSON.parse(text)).toMatchObject({ version: 2, record: { user: 'alice@contoso.test' } });
  });

  it('still say how far a run was', async () => {
    await cp('test/vectors/old-store', store.directory, { recursive: true });
    const [run] = await listRuns(store);
    expect(run).toMatchObject({ active: false, state: { user: 'bob@contoso.test', progress: { step: 'sending' } } });
    expect(run?.state.progress).toMatchObject({ key: { backend: 'software', hasPin: true } });
  });
});
