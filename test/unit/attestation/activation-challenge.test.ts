import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  buildActivationChallenge,
  decodeActivationChallenge,
  decodeActivationResponse,
  encodeActivationChallenge,
  encodeActivationResponse,
  isActivated,
} from '../../../src/attestation/activation-challenge.ts';
import { fromBase64Url, fromHex } from '../../../src/bytes.ts';
import { TPM_ALG } from '../../../src/tpm/constants.ts';
import type { TpmtPublic } from '../../../src/tpm/structures/object.ts';
import { akTemplate, ekTemplate } from '../../../src/tpm/templates.ts';
import { refusal } from '../../refusal.ts';

const challenge = { version: 1, credentialBlob: fromHex('0102'), encryptedSecret: fromHex('ff') } as const;
const response = { version: 1, secret: fromHex('00aa') } as const;

describe('a challenge and its response', () => {
  it('become hexadecimal JSON and are read back', () => {
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
    expect(refusal(() => decodeActivationResponse(json))).toMatch(/^credential-invalid: activation: /);
    expect(refusal(() => decodeActivationChallenge(json))).toMatch(/^credential-invalid: activation: /);
  });

  it('explain the problem, and keep the cause', () => {
    expect(refusal(() => decodeActivationResponse({ version: '1', secret: '00' }))).toBe(
      'credential-invalid: activation: version: "1", not 1',
    );
    const odd = () => decodeActivationResponse({ version: 1, secret: '0' });
    expect(odd).toThrow(expect.objectContaining({ cause: expect.any(TypeError) }));
  });
});

describe('isActivated', () => {
  it("is satisfied only by the challenge's secret", () => {
    expect(isActivated(response, fromHex('00aa'))).toBe(true);
    expect(isActivated(response, fromHex('00ab'))).toBe(false);
    expect(isActivated(response, fromHex('00'))).toBe(false);
  });

  it('is never satisfied by an empty secret', () => {
    expect(isActivated({ version: 1, secret: new Uint8Array(0) }, new Uint8Array(0))).toBe(false);
  });
});

describe('buildActivationChallenge', () => {
  it.each([
    ['L-1', 2048, 32],
    ['H-6', 3072, 48],
  ] as const)('makes a new secret for an %s, as long as its digest', (template, modulusLength, size) => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength });
    const unique = fromBase64Url(String(publicKey.export({ format: 'jwk' }).n));
    const ek = { ...ekTemplate(template), unique } as TpmtPublic;
    const [one, two] = [1, 2].map(() => buildActivationChallenge({ ek, ak: akTemplate('rsa-2048') }));
    expect(one?.secret).toHaveLength(size);
    expect(one?.secret).not.toEqual(two?.secret);
    expect(one?.challenge).toMatchObject({ version: 1, encryptedSecret: { length: modulusLength / 8 } });
    expect(one?.challenge.credentialBlob).toHaveLength(2 + size + 2 + size);
  });

  it('refuses an endorsement key with an unknown name algorithm', () => {
    const ek = { ...ekTemplate('L-1'), nameAlg: TPM_ALG.SM3_256 } as TpmtPublic;
    expect(refusal(() => buildActivationChallenge({ ek, ak: akTemplate('rsa-2048') }))).toMatch(/^key-invalid: /);
  });
});
