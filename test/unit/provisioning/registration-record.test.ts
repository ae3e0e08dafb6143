import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { computeKeyId } from '../../../src/formats/windows/cng-blob.ts';
import { encodePublicBlob } from '../../../src/formats/windows/key-registration.ts';
import { openKeyStore } from '../../../src/keys/key-store.ts';
import {
  listRegistrations,
  type RegistrationRecord,
  readRegistration,
  registrationToJson,
  withRegistration,
} from '../../../src/provisioning/registration-record.ts';
import { keyRecord } from '../../key-record.ts';
import { asyncRefusal, refusal } from '../../refusal.ts';

const record = keyRecord('ngc-1');
const registration: RegistrationRecord = {
  user: 'alice@contoso.test',
  deviceId: '47f577e3-d2d0-4a0a-8aca-e0501098bde4',
  kid: '0ce67455-8ea1-4523-be5f-bfd09190fad6',
  keyId: computeKeyId(encodePublicBlob(record.publicKey)),
  attestationLevel: 'none',
  aikStatus: 'none',
  domain: 'contoso.test',
  tenant: 'f5a1',
  service: 'https://service.test/key/',
  registered: new Date('2026-01-02T03:05:00.000Z'),
};
const registered = withRegistration(record, registration);
const json = registrationToJson(registration);

describe('the registration of a key', () => {
  it('is kept in its annotations and read back', () => {
    expect(readRegistration(registered)).toEqual(registration);
    expect(registered.annotations).toMatchObject({ counter: 0, registration: { kid: registration.kid } });
    expect(readRegistration(record)).toBeUndefined();
  });

  it.each([
    ['no object', 'yes', 'is damaged: registration: not a JSON object'],
    ['a missing member', { user: 'x' }, 'is damaged: registration: registered: missing'],
    ['no time', { ...json, registered: 'now' }, 'is damaged: registered is not a time'],
    ['another level', { ...json, aikStatus: 'x' }, 'is damaged: registration: aikStatus: not one of'],
  ])('is refused with %s', (_, value, problem) => {
    const damaged = { ...record, annotations: { registration: value } };
    expect(refusal(() => readRegistration(damaged))).toMatch(
      `store-invalid: the registration of the key ngc-1 ${problem}`,
    );
  });

  it('is refused in the record of another key', () => {
    const other = withRegistration(record, { ...registration, keyId: new Uint8Array(32) });
    expect(refusal(() => readRegistration(other))).toMatch('the registration of the key ngc-1 belongs to another key');
  });
});

describe('listRegistrations', () => {
  it('finds the keys of a user or a device, in any case', async () => {
    const store = await openKeyStore(await mkdtemp(join(tmpdir(), 'keyprov-registrations-')));
    try {
      await store.save(keyRecord('unregistered'));
      await store.save(registered);
      const found = async (of: Parameters<typeof listRegistrations>[1]) =>
        (await listRegistrations(store, of)).map((one) => one.record.id);
      expect(await found({})).toEqual(['ngc-1']);
      expect(await found({ user: 'ALICE@contoso.test' })).toEqual(['ngc-1']);
      expect(await found({ user: 'alice@contoso.test', deviceId: registration.deviceId.toUpperCase() })).toEqual([
        'ngc-1',
      ]);
      expect(await found({ user: 'bob@contoso.test' })).toEqual([]);
      await store.save(withRegistration(keyRecord('ngc-2'), { ...registration, keyId: new Uint8Array(32) }));
      expect(await asyncRefusal(() => found({}))).toMatch('store-invalid: the registration of the key ngc-2');
      // It may be the key of its own user, and of no other.
      expect(await asyncRefusal(() => found({ user: keyRecord('ngc-2').user }))).toMatch(
        'store-invalid: the registration of the key ngc-2',
      );
      expect(await found({ user: 'bob@contoso.test' })).toEqual([]);
    } finally {
      await rm(store.directory, { recursive: true });
    }
  });
});
