import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { fromHex } from '../../src/bytes.ts';
import { encodeDnBinary } from '../../src/formats/windows/dn-binary.ts';
import { parseKeyCredentialLink } from '../../src/formats/windows/key-credential-link.ts';
import { ldapReader } from '../../src/registration/ldap-reader.ts';
import { syncStatus } from '../../src/registration/sync-status.ts';
import { anyText } from '../any-text.ts';

const { blobs } = JSON.parse(readFileSync('test/vectors/keycredential.json', 'utf8')) as {
  blobs: readonly { readonly name: string; readonly blobHex: string }[];
};
const blob = fromHex(blobs.find(({ name }) => name === 'Parse_UserKey2')?.blobHex ?? '');
const { keyId, deviceId = '' } = parseKeyCredentialLink(blob);
const DN = 'CN=Ada,CN=Users,DC=contoso,DC=test';

async function stateWith(...values: string[]): Promise<string> {
  const client = { search: async () => ({ searchEntries: [{ dn: DN, 'msDS-KeyCredentialLink': values }] }) };
  const reader = ldapReader(client, { base: DN });
  return (await syncStatus({ user: 'ada', keyId, deviceId, registered: new Date() }, { reader })).state;
}

it('counts our value', async () => {
  expect(await stateWith(encodeDnBinary({ binary: blob, dn: DN }))).toBe('synced');
});

it('counts our value no more when one of its bits is another', async () => {
  for (let bit = 0; bit < 8 * blob.length; bit++) {
    const binary = blob.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
    expect([bit, await stateWith(encodeDnBinary({ binary, dn: DN }))]).toEqual([bit, 'pending']);
  }
});

it('accepts nothing that is cut off, and no other bytes or text', async () => {
  for (let length = 1; length < blob.length; length++) {
    expect(await stateWith(encodeDnBinary({ binary: blob.subarray(0, length), dn: DN }))).toBe('pending');
  }
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 600 }).map((binary) => encodeDnBinary({ binary, dn: DN }));
  const values = fc.array(fc.oneof(bytes, anyText), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(values, async (found) => {
      expect(await stateWith(...found)).toBe('pending');
    }),
    { numRuns: 1000 },
  );
});
