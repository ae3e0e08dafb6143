import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../../src/bytes.ts';
import { HASHES, type HashAlg, TPM_ALG, TPM_CC, TPM_RH } from '../../../src/tpm/constants.ts';
import { handleName } from '../../../src/tpm/names.ts';
import {
  ekPolicyA,
  ekPolicyB,
  ekPolicyC,
  policyAuthValue,
  policyCommandCode,
  policyDigest,
  policyOr,
  policySecret,
  windowsHelloBranches,
  windowsHelloPolicy,
} from '../../../src/tpm/policy-digest.ts';

const { policies } = JSON.parse(readFileSync('test/vectors/pcp.json', 'utf8'));

/** The policies of the TCG EK Credential Profile 2.5, annex B.6, as published. */
const EK_POLICIES: readonly [string, HashAlg, string, string, string][] = [
  [
    'SHA-256',
    TPM_ALG.SHA256,
    '837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa',
    'ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0',
    '3767e2edd43ff45a3a7e1eaefcef78643dca964632e7aad82c673a30d8633fde',
  ],
  [
    'SHA-384',
    TPM_ALG.SHA384,
    '8bbf2266537c171cb56e403c4dc1d4b64f432611dc386e6f532050c3278c930e143e8bb1133824ccb431053871c6db53',
    'b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12',
    'd6032ce61f2fb3c240eb3cf6a33237ef2b6a16f4293c22b455e261cffd217ad5b4947c2d73e63005eed2dc2b3593d165',
  ],
  [
    'SHA-512',
    TPM_ALG.SHA512,
    '1e3b76502c8a1425aa0b7b3fc646a1b0fae063b03b5368f9c4cddecaff0891dd682bac1a85d4d832b781ea451915de5fc5bf0dc4a1917cd42fa041e3f998e0ee',
    'b8221ca69e8550a4914de3faa6a18c072cc01208073a928d5d66d59ef79e49a429c41a6b269571d57edb25fbdb1838425608b413cd616a5f6db5b6071af99bea',
    '589ee1e146544716e8deafe6db247b01b81e9f9c7dd16b814aa159138749105fba5388dd1dea702f35240c184933121e2c61b8f50d3ef91393a49a38c3f73fc8',
  ],
];

describe.each(EK_POLICIES)('the policies of endorsement keys with %s', (_, hash, a, b, c) => {
  it('are the published PolicyA, PolicyB and PolicyC', () => {
    expect([ekPolicyA(hash), ekPolicyB(hash), ekPolicyC(hash)].map(toHex)).toEqual([a, b, c]);
  });
});

it.each([
  ['PolicyB', ekPolicyB],
  ['PolicyC', ekPolicyC],
] as const)('%s is refused for SHA-1', (_, policyOf) => {
  expect(() => policyOf(TPM_ALG.SHA1)).toThrow(
    expect.objectContaining({ code: 'tpm-unsupported', remedy: 'use SHA-256, SHA-384 or SHA-512' }),
  );
});

describe('the policy of Windows Hello keys', () => {
  it('has the six published branches in their order', () => {
    expect(windowsHelloBranches().map(toHex)).toEqual(policies.digests.map(({ hex }: { hex: string }) => hex));
  });

  it('is the published digest, the empty branch adding nothing', () => {
    expect(toHex(windowsHelloPolicy())).toBe('9dffcbf36c383ae699fb9868dc6dcb89d7153884be2803922c124158bfad22ae');
    expect(toHex(windowsHelloPolicy())).toBe(policies.policyOrOfAllNonEmpty.hex);
  });

  it('has the form of Windows 8.1 with the first four branches', () => {
    const four = policyDigest(TPM_ALG.SHA256, policyOr(...windowsHelloBranches().slice(0, 4)));
    expect(toHex(four)).toBe('1e7cebb36f1335d083befaa3a27d8ef7f91525afe1b23af7ba2b59b1e129d439');
    expect(toHex(four)).toBe(policies.policyOrOfFirstFour.hex);
  });
});

describe('policyDigest', () => {
  it.each([TPM_ALG.SHA1, TPM_ALG.SHA256, TPM_ALG.SHA384, TPM_ALG.SHA512] as const)(
    'without steps is all zeros, as long as a digest of 0x%i',
    (hash) => {
      expect(policyDigest(hash)).toStrictEqual(new Uint8Array(HASHES[hash].size));
    },
  );

  it('depends on the order of the steps', () => {
    const certify = policyCommandCode(TPM_CC.Certify);
    expect(toHex(policyDigest(TPM_ALG.SHA256, certify, policyAuthValue))).toBe(policies.digests[2].hex);
    expect(toHex(policyDigest(TPM_ALG.SHA256, policyAuthValue, certify))).not.toBe(policies.digests[2].hex);
  });

  it('discards what was before PolicyOR', () => {
    const or = policyOr(fromHex('00'.repeat(32)), fromHex('11'.repeat(32)));
    expect(policyDigest(TPM_ALG.SHA256, policyAuthValue, or)).toStrictEqual(policyDigest(TPM_ALG.SHA256, or));
  });

  it('covers the policyRef of PolicySecret', () => {
    const secret = (policyRef?: Uint8Array) =>
      toHex(policyDigest(TPM_ALG.SHA256, policySecret(handleName(TPM_RH.ENDORSEMENT), policyRef)));
    expect(secret()).toBe(secret(new Uint8Array(0)));
    expect(secret(new Uint8Array(1))).not.toBe(secret());
  });
});
