import { describe, expect, it } from 'vitest';
import {
  decodeActivationChallenge,
  decodeActivationResponse,
  encodeActivationChallenge,
  encodeActivationResponse,
  isActivated,
} from '../../../src/attestation/activation-challenge.ts';
import { fromHex } from '../../../src/bytes.ts';
import { refusal } from '../../refusal.ts';

const challenge = { version: 1, credentialBlob: fromHex('0102'), encryptedSecret: fromHex('ff') } as const;
const response = { version: 1, secret: fromHex('00aa') } as const;

describe('a challenge and its response', () => {
  it('become JSON in hexadecimal and come back', () => {
    expect(encodeActivationChallenge(challenge)).toEqual({ version: 1, credentialBlob: '0102', encryptedSecret: 'ff' });
    expect(decodeActivationChallenge(encodeActivationChallenge(challenge))).toEqual(challenge);
    expect(encodeActivationResponse(response)).toEqual({ version: 1, secret: '00aa' });
    expect(decodeActivationResponse(encodeActivationResponse(response))).toEqual(response);
  });

  it.each([
    [undefined],
    [null],
    ['x'],
    [{}],
    [{ version: 2, secret: '00' }],
    [{ version: 1 }],
    [{ version: 1, secret: '0' }],
    [{ version: 1, secret: 7 }],
    [{ version: 1, secret: '00', more: 1 }],
  ])('are not read from %j', (json) => {
    expect(refusal(() => decodeActivationResponse(json))).toMatch(/^credential-invalid: /);
    expect(refusal(() => decodeActivationChallenge(json))).toMatch(/^credential-invalid: /);
  });
});

describe('isActivated', () => {
  it('holds for the secret of the challenge alone', () => {
    expect(isActivated(response, fromHex('00aa'))).toBe(true);
    expect(isActivated(response, fromHex('00ab'))).toBe(false);
    expect(isActivated(response, fromHex('00'))).toBe(false);
  });

  it('never holds for an empty secret', () => {
    expect(isActivated({ version: 1, secret: new Uint8Array(0) }, new Uint8Array(0))).toBe(false);
  });
});
