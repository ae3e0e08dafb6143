import { describe, expect, it } from 'vitest';
import { toHex } from '../../../src/bytes.ts';
import { encode } from '../../../src/tpm/codec/index.ts';
import { TPMT_PUBLIC } from '../../../src/tpm/structures/object.ts';
import { akTemplate, ekTemplate, srkTemplate, userKeyTemplate } from '../../../src/tpm/templates.ts';

const ZEROS = (length: number) => '00'.repeat(length);
const POLICY_A = '837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa';
const POLICY_B_256 = 'ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0';
const POLICY_B_384 = 'b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12';
const POLICY_B_512 =
  'b8221ca69e8550a4914de3faa6a18c072cc01208073a928d5d66d59ef79e49a429c41a6b269571d57edb25fbdb1838425608b413cd616a5f6db5b6071af99bea';
const WINDOWS_HELLO = '9dffcbf36c383ae699fb9868dc6dcb89d7153884be2803922c124158bfad22ae';

/**
 * TCG EK Credential Profile for TPM 2.0, annex B; TCG TPM v2.0 Provisioning Guidance, 7.5.1; Windows Hello as seen in
 * its attestations. Each line was used on swtpm 0.7.1, H-7 excepted.
 */
const TEMPLATES: readonly [string, ReturnType<typeof akTemplate>, string][] = [
  [
    'EK L-1',
    ekTemplate('L-1'),
    `0001 000b 000300b2 0020 ${POLICY_A} 0006 0080 0043 0010 0800 00000000 0100 ${ZEROS(256)}`,
  ],
  [
    'EK L-2',
    ekTemplate('L-2'),
    `0023 000b 000300b2 0020 ${POLICY_A} 0006 0080 0043 0010 0003 0010 0020 ${ZEROS(32)} 0020 ${ZEROS(32)}`,
  ],
  ['EK H-1', ekTemplate('H-1'), `0001 000b 000300f2 0020 ${POLICY_B_256} 0006 0080 0043 0010 0800 00000000 0000`],
  ['EK H-2', ekTemplate('H-2'), `0023 000b 000300f2 0020 ${POLICY_B_256} 0006 0080 0043 0010 0003 0010 0000 0000`],
  ['EK H-3', ekTemplate('H-3'), `0023 000c 000300f2 0030 ${POLICY_B_384} 0006 0100 0043 0010 0004 0010 0000 0000`],
  ['EK H-4', ekTemplate('H-4'), `0023 000d 000300f2 0040 ${POLICY_B_512} 0006 0100 0043 0010 0005 0010 0000 0000`],
  ['EK H-6', ekTemplate('H-6'), `0001 000c 000300f2 0030 ${POLICY_B_384} 0006 0100 0043 0010 0c00 00000000 0000`],
  ['EK H-7', ekTemplate('H-7'), `0001 000c 000300f2 0030 ${POLICY_B_384} 0006 0100 0043 0010 1000 00000000 0000`],
  [
    'SRK RSA 2048',
    srkTemplate('rsa-2048'),
    `0001 000b 00030472 0000 0006 0080 0043 0010 0800 00000000 0100 ${ZEROS(256)}`,
  ],
  [
    'SRK RSA 2048, empty unique',
    srkTemplate('rsa-2048', 'empty'),
    '0001 000b 00030472 0000 0006 0080 0043 0010 0800 00000000 0000',
  ],
  [
    'SRK P-256',
    srkTemplate('p-256'),
    `0023 000b 00030472 0000 0006 0080 0043 0010 0003 0010 0020 ${ZEROS(32)} 0020 ${ZEROS(32)}`,
  ],
  [
    'SRK P-256, empty unique',
    srkTemplate('p-256', 'empty'),
    '0023 000b 00030472 0000 0006 0080 0043 0010 0003 0010 0000 0000',
  ],
  ['AK RSASSA-SHA256', akTemplate('rsa-2048'), '0001 000b 00050072 0000 0010 0014 000b 0800 00000000 0000'],
  ['AK ECDSA-SHA256', akTemplate('p-256'), '0023 000b 00050072 0000 0010 0018 000b 0003 0010 0000 0000'],
  [
    'user RSA 2048, as Windows Hello makes it',
    userKeyTemplate('rsa-2048', { noDA: true }),
    `0001 000b 00060472 0020 ${WINDOWS_HELLO} 0010 0010 0800 00000000 0000`,
  ],
  [
    'user RSA 2048, guarded by the lockout',
    userKeyTemplate('rsa-2048'),
    `0001 000b 00060072 0020 ${WINDOWS_HELLO} 0010 0010 0800 00000000 0000`,
  ],
  [
    'user RSA 3072',
    userKeyTemplate('rsa-3072'),
    `0001 000b 00060072 0020 ${WINDOWS_HELLO} 0010 0010 0c00 00000000 0000`,
  ],
  [
    'user P-256, as Windows Hello makes it',
    userKeyTemplate('p-256'),
    `0023 000b 00040072 0020 ${WINDOWS_HELLO} 0010 0010 0003 0010 0000 0000`,
  ],
  ['user P-384', userKeyTemplate('p-384'), `0023 000b 00040072 0020 ${WINDOWS_HELLO} 0010 0010 0004 0010 0000 0000`],
  [
    'user P-256 for key agreement',
    userKeyTemplate('p-256', { usage: 'agree' }),
    `0023 000b 00020072 0020 ${WINDOWS_HELLO} 0010 0010 0003 0010 0000 0000`,
  ],
  [
    'user RSA 2048 for key agreement, which is the same as any other',
    userKeyTemplate('rsa-2048', { usage: 'agree' }),
    `0001 000b 00060072 0020 ${WINDOWS_HELLO} 0010 0010 0800 00000000 0000`,
  ],
];

describe('the template of', () => {
  it.each(TEMPLATES)('%s has exactly the bytes of its profile', (_, template, hex) => {
    expect(toHex(encode(TPMT_PUBLIC, template))).toBe(hex.replaceAll(' ', ''));
  });
});
