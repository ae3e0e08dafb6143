import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Attribute, Change } from 'ldapts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fromHex, toHex, view } from '../../src/bytes.ts';
import { isKeyprovError } from '../../src/errors.ts';
import { encodeDnBinary } from '../../src/formats/windows/dn-binary.ts';
import {
  type BuildKeyCredentialLink,
  buildKeyCredentialLink,
  encodeKeyCredentialLink,
  KEY_CREDENTIAL_USAGE,
  parseKeyCredentialLink,
} from '../../src/formats/windows/key-credential-link.ts';
import { ldapReader } from '../../src/registration/ldap-reader.ts';
import { type ExpectedKey, syncStatus } from '../../src/registration/sync-status.ts';
import {
  addKeyCredential,
  type BoundClient,
  bindDirectory,
  type DirectoryConnection,
  type LdapClient,
  type LdapWriter,
  removeKeyCredential,
  startDirectory,
} from '../../src/testing/index.ts';
import { missingPrograms } from '../programs.ts';
import { type SambaDc, sambaMissing, startSambaDc } from './support/samba-dc.ts';

const ATTRIBUTE = 'msDS-KeyCredentialLink';
const { blobs } = JSON.parse(readFileSync('test/vectors/keycredential.json', 'utf8')) as {
  blobs: readonly { readonly name: string; readonly blobHex: string }[];
};
const DEVICE = '10985e4b-0809-443d-8679-149422d9e170';
const OTHER_DEVICE = 'e9899e73-db27-4af9-b7eb-c4201d6577eb';

/** A unique key. */
const newBlob = (fields: Partial<BuildKeyCredentialLink> = {}) =>
  buildKeyCredentialLink({ keyMaterial: view(randomBytes(283)), deviceId: DEVICE, ...fields });

/** The tests for every directory. */
interface AnyDirectory extends AsyncDisposable {
  readonly connection: DirectoryConnection;
  addUser(user: { readonly upn: string; readonly name?: string }): Promise<string>;
  removeUser(upn: string): Promise<void>;
}

const directories = [
  {
    name: 'slapd',
    missing: missingPrograms('slapd'),
    start: (): Promise<AnyDirectory> => startDirectory(),
    malformed: 19,
  },
  { name: 'Samba', missing: sambaMissing(), start: (): Promise<AnyDirectory> => startSambaDc(), malformed: 34 },
];

describe.each(directories)('keys in $name', ({ missing, start, malformed }) => {
  describe.skipIf(missing !== undefined)('(installed)', () => {
    let directory: AnyDirectory;
    let connector: BoundClient;
    let reader: BoundClient;
    let base: string;
    /** A new one for each test. */
    let user: string;
    let dn: string;
    let number = 0;

    beforeAll(async () => {
      directory = await start();
      ({ base } = directory.connection);
      connector = await bindDirectory(directory.connection, directory.connection.connector);
      reader = await bindDirectory(directory.connection, directory.connection.reader);
    });

    afterAll(async () => {
      await connector?.close();
      await reader?.close();
      await directory?.[Symbol.asyncDispose]();
    });

    beforeEach(async () => {
      number++;
      user = `ada${number}@contoso.test`;
      dn = await directory.addUser({ upn: user, name: `Lovelace, "Ada" ${number}` });
    });

    const add = (blob: Uint8Array, client: LdapWriter = connector.client) =>
      addKeyCredential(client, { base, user, blob });
    const remove = (blob: Uint8Array, client: LdapWriter = connector.client) =>
      removeKeyCredential(client, { base, user, keyId: parseKeyCredentialLink(blob).keyId });

    const write = (value: string, operation: 'add' | 'delete' = 'add', type = ATTRIBUTE, client = connector.client) =>
      client.modify(dn, new Change({ operation, modification: new Attribute({ type, values: [value] }) }));

    /** The attribute's values, read without keyprov. */
    async function rawValues(client: LdapClient = reader.client): Promise<string[]> {
      const found = await client.search(base, { filter: `(userPrincipalName=${user})`, attributes: [ATTRIBUTE] });
      return [found.searchEntries[0]?.[ATTRIBUTE] ?? []].flat().map(String);
    }
    const rawHex = async () => (await rawValues()).map((value) => value.split(':')[2]?.toLowerCase()).sort();

    async function readKeys(): Promise<{ keys: string[]; ignored: string[] }> {
      const ignored: string[] = [];
      const keys = await ldapReader(reader.client, { base, onIgnored: (_, reason) => ignored.push(reason) }).read(user);
      return { keys: keys.map(({ keyId }) => toHex(keyId)), ignored };
    }

    /** The error's code, and the directory's result code in it. */
    async function failure(work: Promise<unknown>): Promise<unknown[]> {
      const error: unknown = await work.then(
        () => expect.fail('nothing was thrown'),
        (thrown: unknown) => thrown,
      );
      if (!isKeyprovError(error)) throw error;
      const { cause } = error;
      return [error.code, cause instanceof Error && 'code' in cause ? cause.code : undefined];
    }

    it.each(blobs)('are kept byte for byte: $name', async ({ blobHex }) => {
      expect(await add(fromHex(blobHex))).toBe('added');
      const [value = '', ...others] = await rawValues();
      const [kind, digits, hex = ''] = value.split(':');
      expect([kind, digits, hex.toLowerCase(), others]).toEqual(['B', `${blobHex.length}`, blobHex, []]);
    });

    it('are kept all together', async () => {
      for (const { blobHex } of blobs) await add(fromHex(blobHex));
      expect(await rawHex()).toEqual(blobs.map(({ blobHex }) => blobHex).sort());
      const { keys, ignored } = await readKeys();
      // The one with a wrong KeyHash is left out.
      expect([keys.length, ignored.length]).toEqual([blobs.length - 1, 1]);
    });

    it('are there already when they are added again', async () => {
      const blob = newBlob();
      expect([await add(blob), await add(blob)]).toEqual(['added', 'present']);
      expect(await rawHex()).toEqual([toHex(blob)]);
    });

    it('are all there when two write at the same time, and one of them removes others', async () => {
      await using second = await bindDirectory(directory.connection, directory.connection.connector);
      const old = Array.from({ length: 5 }, () => newBlob());
      for (const blob of old) await add(blob);
      const [mine, theirs] = [1, 2].map(() => Array.from({ length: 15 }, () => newBlob()));
      const added = await Promise.all([
        ...(mine ?? []).map((blob) => add(blob)),
        ...(theirs ?? []).map((blob) => add(blob, second.client)),
        ...old.map((blob) => remove(blob, second.client)),
      ]);
      expect(new Set(added.slice(0, 30))).toEqual(new Set(['added']));
      expect(new Set(added.slice(30))).toEqual(new Set(['removed']));
      expect(await rawHex()).toEqual([...(mine ?? []), ...(theirs ?? [])].map((blob) => toHex(blob)).sort());
    });

    it('are added once when two add the same at the same time', async () => {
      await using second = await bindDirectory(directory.connection, directory.connection.connector);
      const blob = newBlob();
      expect((await Promise.all([add(blob), add(blob, second.client)])).sort()).toEqual(['added', 'present']);
      expect(await rawHex()).toEqual([toHex(blob)]);
    });

    it('are removed once, and other keys stay', async () => {
      const [blob, other] = [newBlob(), newBlob()];
      await add(blob);
      await add(other);
      expect([await remove(blob), await remove(blob)]).toEqual(['removed', 'absent']);
      expect(await rawHex()).toEqual([toHex(other)]);
    });

    it('are removed once when two remove the same at the same time', async () => {
      await using second = await bindDirectory(directory.connection, directory.connection.connector);
      const blob = newBlob();
      await add(blob);
      expect((await Promise.all([remove(blob), remove(blob, second.client)])).sort()).toEqual(['absent', 'removed']);
    });

    it('are removed; values that are not keys stay', async () => {
      const garbage = encodeDnBinary({ binary: new Uint8Array(64).fill(0xa5), dn });
      await write(garbage);
      const blob = newBlob();
      await add(blob);
      expect(await remove(blob)).toBe('removed');
      expect(await rawHex()).toEqual(['a5'.repeat(64)]);
    });

    it('go with the user', async () => {
      await add(newBlob());
      await directory.removeUser(user);
      await directory.addUser({ upn: user });
      expect(await rawValues()).toEqual([]);
    });

    describe('that are not ours', () => {
      const ours = { keyMaterial: view(randomBytes(283)), deviceId: DEVICE };
      const keyId = parseKeyCredentialLink(buildKeyCredentialLink(ours)).keyId;
      const spoiled = (id: number) =>
        encodeKeyCredentialLink(
          parseKeyCredentialLink(buildKeyCredentialLink(ours)).entries.map((entry) =>
            entry.id === id ? { id, value: entry.value.map((byte) => byte ^ 1) } : entry,
          ),
        );

      const status = async () => {
        const ignored: string[] = [];
        const key: ExpectedKey = { user, keyId, deviceId: DEVICE, registered: new Date() };
        const found = await syncStatus(key, {
          reader: ldapReader(reader.client, { base, onIgnored: (_, reason) => ignored.push(reason) }),
        });
        return { found, ignored };
      };

      it.each([
        ['a wrong KeyID', () => spoiled(1), 'Key ID'],
        ['a wrong KeyHash', () => spoiled(2), 'KeyHash'],
        ['changed key material', () => spoiled(3), 'Key ID'],
        ['garbage', () => new Uint8Array(64).fill(0xa5), 'version'],
      ])('do not count, and are reported: %s', async (_, blob, reason) => {
        await write(encodeDnBinary({ binary: blob(), dn }));
        const { found, ignored } = await status();
        expect([found.state, ignored]).toEqual(['pending', [expect.stringContaining(reason)]]);
      });

      it('do not count, and are reported: the key in the name of another user', async () => {
        const other = await directory.addUser({ upn: `eve${number}@contoso.test` });
        await write(encodeDnBinary({ binary: buildKeyCredentialLink(ours), dn: other }));
        const { found, ignored } = await status();
        expect([found.state, ignored]).toEqual(['pending', [expect.stringContaining('another owner')]]);
      });

      it('do not count: the key with another device, which is told', async () => {
        await add(newBlob({ ...ours, deviceId: OTHER_DEVICE }));
        const { found, ignored } = await status();
        expect([found, ignored]).toEqual([
          expect.objectContaining({ state: 'pending', otherDevice: OTHER_DEVICE }),
          [],
        ]);
      });

      it('do not count: the key for another use', async () => {
        await add(newBlob({ ...ours, usage: KEY_CREDENTIAL_USAGE.FIDO }));
        const { found, ignored } = await status();
        expect([found.state, 'otherDevice' in found, ignored]).toEqual(['pending', false, []]);
      });

      it('do not affect the valid one', async () => {
        await write(encodeDnBinary({ binary: spoiled(2), dn }));
        await add(newBlob({ ...ours, deviceId: OTHER_DEVICE }));
        await add(newBlob(ours));
        const { found, ignored } = await status();
        expect([found.state, ignored.length]).toEqual(['synced', 1]);
      });
    });

    describe('cannot be written', () => {
      it('of a user that does not exist', async () => {
        await directory.removeUser(user);
        expect(await failure(add(newBlob()))).toEqual(['service-answer', undefined]);
        expect(await failure(remove(newBlob()))).toEqual(['service-answer', undefined]);
      });

      it('by the reader, who sees them', async () => {
        const blob = newBlob();
        expect(await failure(add(blob, reader.client))).toEqual(['service-refused', 50]);
        await add(blob);
        expect(await failure(remove(blob, reader.client))).toEqual(['service-refused', 50]);
        expect((await readKeys()).keys).toEqual([toHex(parseKeyCredentialLink(blob).keyId)]);
      });

      it('in a form that the directory does not take', async () => {
        const cut: LdapWriter = {
          search: (...search) => connector.client.search(...search),
          modify: () => write(`B:3:abc:${dn}`),
        };
        expect(await failure(add(newBlob(), cut))).toEqual(['request-invalid', malformed]);
        expect(await rawValues()).toEqual([]);
      });
    });

    it('are all that the connector can write', async () => {
      await expect(write('a note', 'add', 'description')).rejects.toMatchObject({ code: 50 });
      await expect(write(user, 'delete', 'userPrincipalName')).rejects.toMatchObject({ code: 50 });
      await expect(connector.client.del(dn)).rejects.toMatchObject({ code: 50 });
    });

    it('are for those only who say who they are', async () => {
      const { connector: account } = directory.connection;
      const wrong = bindDirectory(directory.connection, { dn: account.dn, password: 'wrong' });
      expect(await failure(wrong)).toEqual(['service-refused', 49]);
    });

    it('are not read when the signal has aborted', async () => {
      const signal = AbortSignal.abort(new Error('enough'));
      await expect(addKeyCredential(connector.client, { base, user, blob: newBlob() }, { signal })).rejects.toThrow(
        'enough',
      );
      await expect(bindDirectory(directory.connection, directory.connection.reader, { signal })).rejects.toThrow(
        'enough',
      );
    });
  });
});

describe.skipIf(sambaMissing() !== undefined)('keys in Active Directory as Samba has it', () => {
  let samba: SambaDc;
  let connector: BoundClient;

  beforeAll(async () => {
    samba = await startSambaDc();
    connector = await bindDirectory(samba.connection, samba.connection.connector);
  });

  afterAll(async () => {
    await connector?.close();
    await samba?.[Symbol.asyncDispose]();
  });

  it('are in its files byte for byte, as samba-tool reads them', async () => {
    const user = 'ada@contoso.test';
    const { base } = samba.connection;
    const dn = await samba.addUser({ upn: user });
    for (const { blobHex } of blobs) await addKeyCredential(connector.client, { base, user, blob: fromHex(blobHex) });
    const values = blobs.map(({ blobHex }) => `B:${blobHex.length}:${blobHex.toUpperCase()}:${dn}`);
    expect(samba.readWithSambaTool('ada', ATTRIBUTE).sort()).toEqual(values.sort());
  });

  it('follow a renamed user, and are still removed', async () => {
    const user = 'grace@contoso.test';
    const { base } = samba.connection;
    await samba.addUser({ upn: user, name: 'Grace Murray' });
    const blob = newBlob();
    const { keyId } = parseKeyCredentialLink(blob);
    await addKeyCredential(connector.client, { base, user, blob });
    const dn = await samba.renameUser(user, 'Hopper, Grace');
    expect(samba.readWithSambaTool('grace', ATTRIBUTE)).toEqual([encodeDnBinary({ binary: blob, dn })]);
    const ignored: string[] = [];
    const reader = ldapReader(connector.client, { base, onIgnored: (_, reason) => ignored.push(reason) });
    expect((await reader.read(user)).map((key) => toHex(key.keyId))).toEqual([toHex(keyId)]);
    expect(ignored).toEqual([]);
    expect(await addKeyCredential(connector.client, { base, user, blob })).toBe('present');
    expect(await removeKeyCredential(connector.client, { base, user, keyId })).toBe('removed');
    expect(samba.readWithSambaTool('grace', ATTRIBUTE)).toEqual([]);
  });

  it('may be without bytes, which does not count and is reported', async () => {
    const user = 'joan@contoso.test';
    const { base } = samba.connection;
    const dn = await samba.addUser({ upn: user });
    const modification = new Attribute({ type: ATTRIBUTE, values: [`B:0::${dn}`] });
    await connector.client.modify(dn, new Change({ operation: 'add', modification }));
    const ignored: string[] = [];
    const reader = ldapReader(connector.client, { base, onIgnored: (value) => ignored.push(value) });
    expect([await reader.read(user), ignored]).toEqual([[], [`B:0::${dn}`]]);
  });
});
