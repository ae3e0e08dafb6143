import { Change } from 'ldapts';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../../../src/bytes.ts';
import { decodeDnBinary, encodeDnBinary } from '../../../../src/formats/windows/dn-binary.ts';
import { buildKeyCredentialLink, parseKeyCredentialLink } from '../../../../src/formats/windows/key-credential-link.ts';
import { addKeyCredential, removeKeyCredential } from '../../../../src/testing/directory/key-credential-writer.ts';
import type { LdapWriter } from '../../../../src/testing/directory/ldap-client.ts';
import { asyncRefusal } from '../../../refusal.ts';

const BASE = 'DC=contoso,DC=test';
const DN = `CN=Lovelace\\2C Ada,CN=Users,${BASE}`;
const USER = { base: BASE, user: 'ada@contoso.test' };
const newBlob = (byte: number) => buildKeyCredentialLink({ keyMaterial: new Uint8Array(283).fill(byte) });
const keyIdOf = (blob: Uint8Array) => parseKeyCredentialLink(blob).keyId;
const blob = newBlob(1);
const value = encodeDnBinary({ binary: blob, dn: DN });

/** A directory with one user. `answer` is called for each change, and throws if the directory refuses it. */
function directory(values: readonly string[], answer: (change: Change) => void = () => {}) {
  const changes: string[] = [];
  const client: LdapWriter = {
    search: async () => ({ searchEntries: [{ dn: DN, 'msDS-KeyCredentialLink': [...values] }], searchReferences: [] }),
    modify: async (dn, change) => {
      if (!(change instanceof Change)) return expect.fail('not one change');
      const { type, values } = change.modification;
      changes.push(`${dn} ${change.operation} ${type} ${values.map(String).join()}`);
      answer(change);
    },
  };
  return { client, changes };
}
const refuse = (code: number | string | undefined) => () => {
  throw Object.assign(new Error('the reason'), code === undefined ? {} : { code });
};

describe('addKeyCredential', () => {
  it("adds one value, with the user's name as the directory writes it, and replaces nothing", async () => {
    const { client, changes } = directory([encodeDnBinary({ binary: newBlob(2), dn: DN })]);
    expect(await addKeyCredential(client, { ...USER, blob })).toBe('added');
    expect(changes).toEqual([
      `${DN} add msDS-KeyCredentialLink B:${2 * blob.length}:${toHex(blob).toUpperCase()}:${DN}`,
    ]);
  });

  it('lets the directory decide whether the value exists', async () => {
    const { client, changes } = directory([value], refuse(20));
    expect(await addKeyCredential(client, { ...USER, blob })).toBe('present');
    expect(changes).toHaveLength(1);
  });

  it.each([
    [16, 'service-refused: LDAP add of a key of'],
    [19, 'request-invalid: LDAP add of a key of'],
    [21, 'request-invalid: LDAP add of a key of'],
    [34, 'request-invalid: LDAP add of a key of'],
    [32, 'service-refused: LDAP add of a key of'],
    [50, 'service-refused: LDAP add of a key of'],
    [51, 'service-unreachable: LDAP add of a key of'],
    ['ECONNRESET', 'service-unreachable: LDAP add of a key of'],
    [undefined, 'service-unreachable: LDAP add of a key of'],
  ])('reports %s correctly', async (code, expected) => {
    const { client } = directory([], refuse(code));
    const found = await asyncRefusal(() => addKeyCredential(client, { ...USER, blob }));
    expect(found).toContain(`${expected} ${DN}: the reason`);
  });

  it('refuses an empty blob before it asks', async () => {
    const { client, changes } = directory([]);
    await expect(addKeyCredential(client, { ...USER, blob: new Uint8Array() })).rejects.toBeInstanceOf(TypeError);
    expect(changes).toEqual([]);
  });
});

describe('removeKeyCredential', () => {
  const remove = (client: LdapWriter) => removeKeyCredential(client, { ...USER, keyId: keyIdOf(blob) });

  it('removes the values with that Key ID as they were read, one by one', async () => {
    const renamed = encodeDnBinary({ binary: blob, dn: `CN=Byron,${BASE}` })
      .toLowerCase()
      .replace('b:', 'B:');
    const others = ['nonsense', `B:0::${DN}`, encodeDnBinary({ binary: fromHex('a5a5'), dn: DN })];
    const { client, changes } = directory([...others, value, encodeDnBinary({ binary: newBlob(2), dn: DN }), renamed]);
    expect(decodeDnBinary(renamed).binary).toEqual(blob);
    expect(await remove(client)).toBe('removed');
    expect(changes).toEqual([value, renamed].map((one) => `${DN} delete msDS-KeyCredentialLink ${one}`));
  });

  it('finds nothing to remove', async () => {
    const { client, changes } = directory([]);
    expect([await remove(client), changes]).toEqual(['absent', []]);
  });

  it('reports it as absent if another client was faster', async () => {
    const { client, changes } = directory([value], refuse(16));
    expect([await remove(client), changes.length]).toEqual(['absent', 1]);
  });

  it.each([
    [20, 'service-refused'],
    [50, 'service-refused'],
    [52, 'service-unreachable'],
  ])('reports %s correctly', async (code, expected) => {
    const { client } = directory([value], refuse(code));
    expect(await asyncRefusal(() => remove(client))).toContain(
      `${expected}: LDAP delete of a key of ${DN}: the reason`,
    );
  });
});
