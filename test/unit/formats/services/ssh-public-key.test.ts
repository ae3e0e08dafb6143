import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { concat, fromBase64, toBase64, toHex } from '../../../../src/bytes.ts';
import { decodeJwk } from '../../../../src/crypto/jwk.ts';
import { decodeSpki, type PublicKey } from '../../../../src/crypto/public-key.ts';
import {
  decodeSshPublicKey,
  decodeSshPublicKeyLine,
  encodeSshPublicKey,
  encodeSshPublicKeyLine,
} from '../../../../src/formats/services/ssh-public-key.ts';
import { refusal } from '../../../refusal.ts';

const { rsa2048, ecc } = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8'));
const ecKey = (crv: string) => decodeSpki(fromBase64(ecc.curves[crv].spkiB64));
const keys: [string, string, PublicKey][] = [
  ['ssh-rsa', 'AAAAB3NzaC1yc2EAAAADAQABAAABAQC2kFDmlV1cZJFFu9boI', decodeJwk(rsa2048.jwk)],
  ['ecdsa-sha2-nistp256', 'AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBKwD', ecKey('P-256')],
  ['ecdsa-sha2-nistp384', 'AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBLX1', ecKey('P-384')],
  ['ecdsa-sha2-nistp521', 'AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBABM', ecKey('P-521')],
];

describe.each(keys)('an SSH public key %s', (type, beginning, key) => {
  it('is written as a line and read back, with and without a comment', () => {
    const line = encodeSshPublicKeyLine({ publicKey: key });
    expect(line.startsWith(`${type} ${beginning}`)).toBe(true);
    expect(decodeSshPublicKeyLine(line)).toEqual({ publicKey: key, comment: '' });
    expect(decodeSshPublicKeyLine(`${encodeSshPublicKeyLine({ publicKey: key, comment: 'ada on tpm' })}\n`)).toEqual({
      publicKey: key,
      comment: 'ada on tpm',
    });
  });

  it('is refused when cut off at any byte, or with a byte left over', () => {
    const blob = encodeSshPublicKey(key);
    expect(decodeSshPublicKey(blob)).toEqual(key);
    for (let length = 0; length < blob.length; length++) {
      expect(refusal(() => decodeSshPublicKey(blob.subarray(0, length)))).toMatch(/^request-invalid: SSH public key: /);
    }
    expect(refusal(() => decodeSshPublicKey(concat(blob, new Uint8Array(1))))).toBe(
      'request-invalid: SSH public key: 1 byte left over',
    );
  });
});

describe('decodeSshPublicKeyLine', () => {
  const [[, , rsa], [, , p256]] = keys as [(typeof keys)[0], (typeof keys)[0]];
  const line = encodeSshPublicKeyLine({ publicKey: p256 });
  const blob = encodeSshPublicKey(p256);
  const withBytes = (change: (hex: string) => string) =>
    `ecdsa-sha2-nistp256 ${toBase64(Buffer.from(change(toHex(blob)), 'hex'))}`;
  it.each([
    ['options', `no-pty ${line}`, /not canonical padded base64$/],
    ['two lines', `${line}\n${line}`, /not of the form/],
    ['no base64', 'ssh-rsa A', /not canonical padded base64$/],
    [
      'the type of another key',
      line.replace('nistp256', 'nistp384'),
      /the line says ecdsa-sha2-nistp384, but the key is/,
    ],
    ['another type', `ssh-dss ${toBase64(encodeSshPublicKey(rsa))}`, /the line says ssh-dss, but the key is ssh-rsa$/],
    [
      'an unknown type inside',
      withBytes((hex) => hex.replace('6563', '7878')),
      /type "xxdsa-sha2-nistp256" is unknown/,
    ],
    [
      'another curve inside',
      withBytes((hex) => hex.replace('000000086e', '0000000877')),
      /does not match the curve "wistp256"$/,
    ],
    [
      'a compressed point',
      withBytes((hex) => hex.replace('0000004104', '0000004102')),
      /are not an uncompressed point$/,
    ],
  ])('refuses %s', (_, text, problem) => {
    const said = refusal(() => decodeSshPublicKeyLine(text));
    expect(said).toMatch(/^request-invalid: SSH public key: /);
    expect(said).toMatch(problem);
  });

  it('refuses RSA numbers that are negative, zero or too long', () => {
    const rsaWith = (e: string) => {
      const size = (e.length / 2).toString(16).padStart(8, '0');
      return Buffer.from(toHex(encodeSshPublicKey(rsa)).replace('00000003010001', size + e), 'hex');
    };
    expect(refusal(() => decodeSshPublicKey(rsaWith('800001')))).toMatch(/a number is negative or zero$/);
    expect(refusal(() => decodeSshPublicKey(rsaWith('')))).toMatch(/a number is negative or zero$/);
    expect(refusal(() => decodeSshPublicKey(rsaWith('00010001')))).toMatch(/not in its shortest form$/);
  });

  it.each([' ', ' a ', '#', 'é\t', '\u2028', '\u2029\u0085', 'x'.repeat(9000)])(
    'reads its comment %j back',
    (comment) => {
      const line = encodeSshPublicKeyLine({ publicKey: rsa, comment });
      expect(decodeSshPublicKeyLine(line).comment).toBe(comment);
    },
  );

  it('refuses to write a line longer than it reads', () => {
    expect(() => encodeSshPublicKeyLine({ publicKey: rsa, comment: 'x'.repeat(16_384) })).toThrow(
      /the limit is 16384$/,
    );
  });

  it('refuses to write a comment of two lines', () => {
    expect(() => encodeSshPublicKeyLine({ publicKey: rsa, comment: 'a\nssh-rsa' })).toThrow(TypeError);
  });
});
