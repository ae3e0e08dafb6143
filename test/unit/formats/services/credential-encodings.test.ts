import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../../../src/bytes.ts';
import {
  computeKeylimeAuthTag,
  decodeGoAttestationCredential,
  decodeKeylimeBlob,
  decodeSizedCredential,
  decodeSmallstepCredential,
  decodeTpm2ToolsCredential,
  encodeGoAttestationCredential,
  encodeKeylimeBlob,
  encodeSizedCredential,
  encodeSmallstepCredential,
  encodeTpm2ToolsCredential,
} from '../../../../src/formats/services/credential-encodings.ts';
import { decodeTachChallenge, encodeTachChallenge } from '../../../../src/formats/windows/tach-challenge.ts';
import { refusal } from '../../../refusal.ts';

const { p256 } = JSON.parse(readFileSync('test/vectors/make-credential.json', 'utf8'));
const credential = {
  credentialBlob: fromHex(p256.credentialBlob.slice(4)),
  encryptedSecret: fromHex(p256.encryptedSecret.slice(4)),
};
const sized = p256.credentialBlob + p256.encryptedSecret;
const base64 = (hex: string): string => Buffer.from(hex, 'hex').toString('base64');

describe('a credential', () => {
  it('is both parts with their lengths for Windows', () => {
    expect(toHex(encodeSizedCredential(credential))).toBe(sized);
    expect(decodeSizedCredential(fromHex(sized))).toEqual(credential);
  });

  it('is a file with magic number and version for tpm2-tools', () => {
    expect(toHex(encodeTpm2ToolsCredential(credential))).toBe(`badcc0de00000001${sized}`);
    expect(decodeTpm2ToolsCredential(fromHex(`badcc0de00000001${sized}`))).toEqual(credential);
  });

  it('is that file in base64 for keylime', () => {
    expect(encodeKeylimeBlob(credential)).toBe(base64(`badcc0de00000001${sized}`));
    expect(decodeKeylimeBlob(base64(`badcc0de00000001${sized}`))).toEqual(credential);
  });

  it('is JSON with both parts and their lengths for go-attestation and smallstep', () => {
    const [blob, secret] = [base64(p256.credentialBlob), base64(p256.encryptedSecret)];
    expect(encodeGoAttestationCredential(credential)).toEqual({ Credential: blob, Secret: secret });
    expect(decodeGoAttestationCredential({ Credential: blob, Secret: secret })).toEqual(credential);
    expect(encodeSmallstepCredential(credential)).toEqual({ credential: blob, secret });
    expect(decodeSmallstepCredential({ credential: blob, secret, more: 1 })).toEqual(credential);
  });

  it.each([
    ['nothing', ''],
    ['a part that is cut off', sized.slice(0, -2)],
    ['one part', p256.credentialBlob],
    ['bytes left over', `${sized}00`],
    ['a part that is too long', `ffff${'00'.repeat(0xffff)}`],
  ])('is not read from %s', (_, hex) => {
    expect(refusal(() => decodeSizedCredential(fromHex(hex)))).toMatch(/^credential-invalid: /);
    expect(refusal(() => decodeTpm2ToolsCredential(fromHex(`badcc0de00000001${hex}`)))).toMatch(
      /^credential-invalid: /,
    );
  });

  it('is not read from a file with another magic number or version', () => {
    for (const head of ['badcc0df00000001', 'badcc0de00000002', 'badcc0de']) {
      expect(refusal(() => decodeTpm2ToolsCredential(fromHex(head + sized)))).toMatch(/^credential-invalid: /);
    }
  });

  it.each([
    [null],
    ['text'],
    [{}],
    [{ credential: base64(p256.credentialBlob) }],
    [{ credential: base64(p256.credentialBlob), secret: '*' }],
    [{ credential: base64(p256.credentialBlob), secret: base64(p256.encryptedSecret.slice(4)) }],
    [{ credential: base64(`${p256.credentialBlob}00`), secret: base64(p256.encryptedSecret) }],
  ])('is not read from the JSON %j', (json) => {
    expect(refusal(() => decodeSmallstepCredential(json))).toMatch(/^credential-invalid: /);
    expect(refusal(() => decodeGoAttestationCredential(json))).toMatch(/^credential-invalid: /);
  });

  it('is not read from a keylime blob that is not base64', () => {
    expect(refusal(() => decodeKeylimeBlob('*'))).toMatch(/^credential-invalid: /);
  });
});

describe('computeKeylimeAuthTag', () => {
  it('is the HMAC-SHA384 of the agent id with the base64 text of the secret as key', () => {
    const secret = Buffer.from('0123456789abcdef0123456789abcdef');
    const id = 'd432fbb3-d2f1-4a97-9ef7-75bd81c00000';
    const key = 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=';
    expect(computeKeylimeAuthTag(secret, id)).toBe(createHmac('sha384', key).update(id).digest('hex'));
  });
});

describe('a TACH challenge', () => {
  const head = (version: string, tail: string) => `54414348010000000${version}00000018000000${'8c000000'}${tail}000000`;

  it('is a header, the credential, and the bytes behind it', () => {
    const plain = head('1', '00') + sized;
    expect(toHex(encodeTachChallenge({ ...credential, aikOpaque: new Uint8Array(0) }))).toBe(plain);
    expect(decodeTachChallenge(fromHex(plain))).toEqual({ ...credential, aikOpaque: new Uint8Array(0) });
    const more = `${head('2', '03')}${sized}aabbcc`;
    expect(toHex(encodeTachChallenge({ ...credential, aikOpaque: fromHex('aabbcc') }))).toBe(more);
    expect(decodeTachChallenge(fromHex(more))).toEqual({ ...credential, aikOpaque: fromHex('aabbcc') });
  });

  it.each([
    ['nothing', ''],
    ['a header alone', head('1', '00')],
    ['another magic number', `00${(head('1', '00') + sized).slice(2)}`],
    ['a version that does not fit', head('2', '00') + sized],
    ['bytes left over', `${head('1', '00')}${sized}00`],
    ['a tail that is cut off', `${head('2', '03')}${sized}aabb`],
  ])('is not read from %s', (_, hex) => {
    expect(refusal(() => decodeTachChallenge(fromHex(hex)))).toMatch(/^credential-invalid: /);
  });
});
