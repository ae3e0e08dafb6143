import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../../src/bytes.ts';
import { encodeDnBinary } from '../../../src/formats/windows/dn-binary.ts';
import { encodeKeyCredentialLink, parseKeyCredentialLink } from '../../../src/formats/windows/key-credential-link.ts';
import { ldapReader } from '../../../src/registration/ldap-reader.ts';
import type { LdapEntry, LdapSearcher } from '../../../src/registration/ldap-user.ts';
import { asyncRefusal } from '../../refusal.ts';

const { blobs, dnWithBinary } = JSON.parse(readFileSync('test/vectors/keycredential.json', 'utf8')) as {
  blobs: readonly { readonly name: string; readonly blobHex: string }[];
  dnWithBinary: readonly { readonly name: string; readonly string: string; readonly valid: boolean }[];
};
const BASE = 'DC=contoso,DC=test';
const DN = `CN=Lovelace\\, Ada,CN=Users,${BASE}`;
const blob = (name: string) => fromHex(blobs.find((found) => found.name === name)?.blobHex ?? '');
const dnBinary = (name: string, dn = DN) => encodeDnBinary({ binary: blob(name), dn });
const goodBlobs = blobs.filter(({ name }) => name !== 'Parse_Impacket');

type Search = Parameters<LdapSearcher['search']>;

function directory(answer: (...search: Search) => Promise<readonly LdapEntry[]>) {
  const searches: Search[] = [];
  const ignored: string[] = [];
  const client: LdapSearcher = {
    search: async (...search) => {
      searches.push(search);
      return { searchEntries: await answer(...search) };
    },
  };
  const reader = ldapReader(client, { base: BASE, onIgnored: (_, reason) => ignored.push(reason) });
  return { reader, searches, ignored };
}
const withValues = (values: LdapEntry[string]) => directory(async () => [{ dn: DN, 'msDS-KeyCredentialLink': values }]);

describe('ldapReader', () => {
  it('names a client that returns no entries', async () => {
    const reader = ldapReader({ search: async () => Object(undefined) }, { base: BASE });
    await expect(reader.read('ada@contoso.test')).rejects.toThrow(
      new TypeError('the result of client.search must be an object with searchEntries'),
    );
  });

  it('reads every key of the user, byte for byte', async () => {
    const { reader, searches, ignored } = withValues(goodBlobs.map(({ name }) => dnBinary(name)));
    const found = await reader.read('ada@contoso.test');
    expect(found).toEqual(goodBlobs.map(({ blobHex }) => parseKeyCredentialLink(fromHex(blobHex))));
    expect([reader.place, ignored]).toEqual(['active-directory', []]);
    expect(searches).toEqual([
      [
        BASE,
        {
          scope: 'sub',
          filter: '(userPrincipalName=ada@contoso.test)',
          attributes: ['msDS-KeyCredentialLink'],
          sizeLimit: 2,
        },
      ],
    ]);
  });

  it('escapes the user in the filter', async () => {
    const { reader, searches } = withValues([]);
    await reader.read('a*)(uid=\\\0');
    expect(searches[0]?.[1].filter).toBe('(userPrincipalName=a\\2a\\29\\28uid=\\5c\\00)');
  });

  it.each<[string, LdapEntry, number]>([
    ['no attribute', { dn: DN }, 0],
    ['no value', { dn: DN, 'msDS-KeyCredentialLink': [] }, 0],
    ['a single value', { dn: DN, 'msDS-KeyCredentialLink': dnBinary('Parse_UserKey2') }, 1],
    ['bytes', { dn: DN, 'msDS-KeyCredentialLink': Buffer.from(dnBinary('Parse_UserKey2')) }, 1],
    ['a name in another case', { dn: DN, 'MSDS-keycredentiallink': [dnBinary('Parse_UserKey2')] }, 1],
    ['a range', { dn: DN, 'msDS-KeyCredentialLink;range=0-1499': [dnBinary('Parse_UserKey2')] }, 1],
    ['other attributes', { dn: DN, cn: dnBinary('Parse_UserKey2') }, 0],
  ])('accepts an entry with %s', async (_, entry, count) => {
    expect(await directory(async () => [entry]).reader.read('ada')).toHaveLength(count);
  });

  it.each([
    ['in another case', DN.toLowerCase()],
    ['with blanks', DN.replaceAll(/(?<!\\)([,=])/g, ' $1 ')],
    ['escaped in the other way', DN.replace('\\,', '\\2c')],
  ])('accepts the name of the owner %s', async (_, dn) => {
    const { reader, ignored } = withValues([dnBinary('Parse_UserKey2', dn)]);
    expect([dn === DN, (await reader.read('ada')).length, ignored]).toEqual([false, 1, []]);
  });

  const good = blob('Parse_UserKey2');
  const { entries } = parseKeyCredentialLink(good);
  const spoiled = (id: number) =>
    encodeKeyCredentialLink(
      entries.map((entry) => (entry.id === id ? { id, value: entry.value.map((byte) => byte ^ 1) } : entry)),
    );
  const ofBytes = (binary: Uint8Array) => encodeDnBinary({ binary, dn: DN });
  const foreign: readonly (readonly [string, string, string])[] = [
    ['the key of another user', dnBinary('Parse_UserKey2', `CN=Bob,CN=Users,${BASE}`), 'another owner'],
    ['a key of another unit', dnBinary('Parse_UserKey2', DN.replace('\\,', ',OU=')), 'another owner'],
    ['a wrong KeyID', ofBytes(spoiled(1)), 'Key ID'],
    ['a wrong KeyHash', ofBytes(spoiled(2)), 'KeyHash'],
    ['no KeyHash', ofBytes(encodeKeyCredentialLink(entries.filter(({ id }) => id !== 2))), 'no KeyHash'],
    ['changed key material', ofBytes(spoiled(3)), 'Key ID'],
    ['another device, put in afterwards', ofBytes(spoiled(6)), 'KeyHash'],
    ['a published value with a wrong KeyHash', dnBinary('Parse_Impacket'), 'KeyHash'],
    ['another version', ofBytes(new Uint8Array([0, 1, 0, 0, ...good.subarray(4)])), 'version'],
    ['a blob that is cut off', ofBytes(good.subarray(0, -1)), 'cut off'],
    ['garbage', ofBytes(new Uint8Array(64).fill(0xa5)), 'version'],
    ['a string', dnBinary('Parse_UserKey2').replace('B:', 'S:'), 'B:count:digits:name'],
    ['a wrong count', dnBinary('Parse_UserKey2').replace(/^B:\d+/, 'B:4'), 'its count is 4'],
    ['no bytes', `B:0::${DN}`, 'B:count:digits:name'],
    ...dnWithBinary
      .filter(({ valid }) => !valid)
      .map(({ name, string }) => [`the published value ${name}`, string, 'DN-Binary'] as const),
  ];

  it.each(foreign)('leaves out %s, and reads the others', async (_, value, reason) => {
    const { reader, ignored } = withValues([value, dnBinary('Parse_UserKey4'), value]);
    expect((await reader.read('ada')).map(({ keyId }) => toHex(keyId))).toEqual([
      toHex(parseKeyCredentialLink(blob('Parse_UserKey4')).keyId),
    ]);
    expect(ignored).toHaveLength(2);
    expect(ignored[0]).toContain(reason);
  });

  it.each([
    ['nobody', [], 'no entry', 'check the user name and the base of the search'],
    ['two', [{ dn: DN }, { dn: BASE }], 'more than one entry', 'choose a base with only one of them'],
  ])('refuses an answer with %s', async (_, entries, expected, remedy) => {
    const found = await asyncRefusal(() => directory(async () => entries).reader.read('ada'));
    expect(found).toBe(`service-answer: LDAP: ${expected} below ${BASE} matches (userPrincipalName=ada); ${remedy}`);
  });

  it.each([
    [
      'no connection',
      Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }),
      'service-unreachable',
    ],
    ['a lost connection', new Error('Connection closed'), 'service-unreachable'],
    ['busy', Object.assign(new Error('busy'), { code: 51 }), 'service-unreachable'],
    ['no rights', Object.assign(new Error('insufficient access'), { code: 50 }), 'service-refused'],
    ['no bind', Object.assign(new Error('bind first'), { code: 1 }), 'service-refused'],
    ['no such base', Object.assign(new Error('no such object'), { code: 32 }), 'service-refused'],
  ])('tells %s by its result code', async (_, error, code) => {
    const { reader } = directory(() => Promise.reject(error));
    const found = await asyncRefusal(() => reader.read('ada'));
    expect(found).toContain(`${code}: LDAP search for (userPrincipalName=ada): ${error.message}`);
  });

  it('ends with its signal, and throws its reason', async () => {
    const { reader, searches } = directory(() => new Promise(() => {}));
    const aborter = new AbortController();
    const reading = reader.read('ada', { signal: aborter.signal });
    aborter.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
    await expect(reader.read('ada', { signal: aborter.signal })).rejects.toThrow('enough');
    expect(searches).toHaveLength(1);
  });
});
