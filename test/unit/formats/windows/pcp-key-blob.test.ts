import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { concat, fromHex, toHex } from '../../../../src/bytes.ts';
import { decodePcpKeyBlob, encodePcpKeyBlob, hasPcpPolicy } from '../../../../src/formats/windows/pcp-key-blob.ts';
import { decode } from '../../../../src/tpm/codec/index.ts';
import { windowsHelloBranches } from '../../../../src/tpm/policy-digest.ts';
import { publicKeyOf } from '../../../../src/tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../../../src/tpm/structures/object.ts';

const composed = JSON.parse(readFileSync('test/vectors/pcp.json', 'utf8')).vectors[0];
const { windowsKeyBlobs } = JSON.parse(readFileSync('test/vectors/kast.json', 'utf8'));
const composedBytes = fromHex(composed.blobHex);
const blob = decodePcpKeyBlob(composedBytes);

describe('decodePcpKeyBlob', () => {
  it('reads the composed blob', () => {
    expect(blob).toMatchObject({ form: 'windows-10', flags: 1, pcrAlgId: 0, otherParts: {} });
    expect(blob.privateArea).toHaveLength(222);
    expect(blob.policyDigests).toEqual(windowsHelloBranches());
    const key = publicKeyOf(decode(TPMT_PUBLIC, blob.pubArea));
    expect(key.kty === 'RSA' && toHex(key.n)).toBe(composed.public.modulus);
    expect(hasPcpPolicy(blob)).toBe(true);
  });

  it.each<{ description: string; hex: string; privateBytes: number }>(windowsKeyBlobs)(
    'reads a blob of Windows: $description',
    ({ hex, privateBytes }) => {
      const read = decodePcpKeyBlob(fromHex(hex));
      expect(read).toMatchObject({ form: 'windows-10', flags: 2, pcrAlgId: 0, otherParts: {} });
      expect(read.privateArea).toHaveLength(privateBytes);
      expect(read.policyDigests).toEqual(windowsHelloBranches());
      expect(hasPcpPolicy(read)).toBe(true);
      expect(toHex(encodePcpKeyBlob(read))).toBe(hex);
    },
  );

  it('reads back written blobs, in both forms and with all parts', () => {
    const otherParts = {
      migrationPublic: fromHex('01'),
      migrationPrivate: fromHex('0202'),
      pcrBinding: fromHex('030303'),
      pcrDigest: fromHex('04'),
      encryptedSecret: fromHex('0505'),
      tpm12HostageBlob: fromHex('06'),
    };
    for (const change of [
      {},
      { form: 'windows-8' },
      { policyDigests: [] },
      { privateArea: new Uint8Array(0) },
      { policyDigests: blob.policyDigests.slice(0, 4) },
      { otherParts },
      { otherParts: { pcrDigest: fromHex('07') } },
      { pcrAlgId: 0x000b, flags: 0xffffffff },
    ] as const) {
      const changed = { ...blob, ...change };
      const bytes = encodePcpKeyBlob(changed);
      expect(decodePcpKeyBlob(bytes)).toEqual(changed);
    }
    expect(encodePcpKeyBlob(blob)).toEqual(composedBytes);
    expect(encodePcpKeyBlob({ ...blob, form: 'windows-8' })).toHaveLength(composedBytes.length - 4);
    const { migrationPrivate, pcrBinding } = otherParts;
    const some = toHex(encodePcpKeyBlob({ ...blob, policyDigests: [], otherParts: { migrationPrivate, pcrBinding } }));
    expect(some.endsWith(`${toHex(blob.privateArea)}0202030303`)).toBe(true);
  });

  it('refuses a blob that is cut off anywhere, or has extra bytes', () => {
    for (let length = 0; length < composedBytes.length; length++) {
      const cut = composedBytes.subarray(0, length);
      expect(() => decodePcpKeyBlob(cut)).toThrow(expect.objectContaining({ code: 'request-invalid' }));
    }
    const longer = concat(composedBytes, new Uint8Array(1));
    expect(() => decodePcpKeyBlob(longer)).toThrow(/header and parts need 768 bytes, but it has 769/);
  });

  /** `replacement` written over the blob at offset `at`. */
  const over = (at: number, replacement: string): Uint8Array => {
    const bytes = composedBytes.slice();
    bytes.set(fromHex(replacement), at);
    return bytes;
  };
  it.each<[string, Uint8Array, RegExp]>([
    ['another magic', over(0, '4d'), /does not begin with PCPM/],
    ['the magic in the other order', over(0, '4d504350'), /does not begin with PCPM/],
    ['a header of another size', over(4, '3c'), /its header has 60 bytes/],
    ['a key of TPM 1.2', over(8, '01'), /its type is 1, not 2 \(TPM 2\.0\)/],
    ['padding that is not zero', over(54, '01'), /padding after pcrAlgId/],
    ['parts of other sizes', over(16, '390100'), /need 769 bytes/],
    ['a public area of another size', over(56, '0135'), /TPM2B_PUBLIC/],
    ['sizes that would need 16 GiB', over(16, 'ffffffffffffffffffffffffffffffff'), /header and parts need/],
    ['a public area that is none', over(58, 'ffff'), /TPMI_ALG_PUBLIC/],
    ['policies that are too many', over(56 + 312 + 224, '00000009'), /9 items; at most 8/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => decodePcpKeyBlob(bytes)).toThrow(message);
    expect(() => decodePcpKeyBlob(bytes)).toThrow(expect.objectContaining({ code: 'request-invalid' }));
  });

  it('refuses an empty list of policies, which is written as no list', () => {
    const bytes = encodePcpKeyBlob({ ...blob, policyDigests: [] });
    const withList = concat(bytes, new Uint8Array(4));
    withList[32] = 4;
    expect(() => decodePcpKeyBlob(withList)).toThrow(/its list of policies is empty/);
  });
});

describe('hasPcpPolicy', () => {
  it('is true only for the branches of the authPolicy', () => {
    const branches = windowsHelloBranches();
    expect(hasPcpPolicy({ ...blob, policyDigests: branches })).toBe(true);
    for (const policyDigests of [[], branches.slice(0, 4), branches.slice(0, 5), [...branches].reverse()]) {
      expect(hasPcpPolicy({ ...blob, policyDigests })).toBe(false);
    }
  });

  it('is true for four branches with the policy of Windows 8', () => {
    const windows8 = fromHex('1e7cebb36f1335d083befaa3a27d8ef7f91525afe1b23af7ba2b59b1e129d439');
    const pubArea = blob.pubArea.slice();
    pubArea.set(windows8, 10);
    expect(hasPcpPolicy({ ...blob, pubArea, policyDigests: windowsHelloBranches().slice(0, 4) })).toBe(true);
    expect(hasPcpPolicy({ ...blob, pubArea })).toBe(false);
  });
});
