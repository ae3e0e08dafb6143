import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fromBase64, toBase64, utf8 } from '../../../src/bytes.ts';
import { digest } from '../../../src/crypto/kdf.ts';
import { decodeSpki, encodeSpki, type RsaPublicKey } from '../../../src/crypto/public-key.ts';
import {
  openRecoverySecret,
  openSealedPin,
  type PinRecovery,
  recoveryRequestOf,
  SEALED_PIN_SIZE,
  sealForRecovery,
} from '../../../src/provisioning/pin-recovery.ts';
import { keyRecord } from '../../key-record.ts';
import { refusal } from '../../refusal.ts';

function service(modulusLength = 2048): { publicKey: RsaPublicKey; privateKey: KeyObject } {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength });
  const key = decodeSpki(new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })));
  if (key.kty !== 'RSA') throw new Error('no RSA key');
  return { publicKey: key, privateKey };
}

const user = 'ann@example.com';
const { publicKey } = keyRecord('user');
const ours = service();
const other = service();
const setup = { servicePublicKey: ours.publicKey, user };
const PIN = utf8('4-Spring-19');
const sealed = sealForRecovery(PIN, publicKey, setup);
const request = recoveryRequestOf(sealed, publicKey);
const secret = openRecoverySecret(request, ours.privateKey);

const flipped = (base64: string, at: number): string => {
  const bytes = fromBase64(base64);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return toBase64(bytes);
};

describe('a PIN recovery', () => {
  it('returns the PIN for the secret that only the service can decrypt', () => {
    expect(secret).toHaveLength(32);
    expect(openSealedPin(sealed, publicKey, secret)).toEqual(PIN);
    expect(openRecoverySecret(request, ours.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())).toEqual(
      secret,
    );
    expect(request.serviceKey).toEqual(digest('sha256', encodeSpki(ours.publicKey)));
  });

  it('sends nothing that depends on the PIN', () => {
    expect(Object.keys(request)).toEqual(['user', 'keyId', 'serviceKey', 'encryptedSecret']);
    expect(request.encryptedSecret).toHaveLength(256);
  });

  it('uses a new secret and a new nonce each time', () => {
    const again = sealForRecovery(PIN, publicKey, setup);
    expect(again.encryptedSecret).not.toBe(sealed.encryptedSecret);
    expect(again.sealedPin.slice(0, 16)).not.toBe(sealed.sealedPin.slice(0, 16));
    expect(openRecoverySecret(recoveryRequestOf(again, publicKey), ours.privateKey)).not.toEqual(secret);
    expect(refusal(() => openSealedPin(again, publicKey, secret))).toMatch(/^recovery-unavailable: /);
  });

  it('has the same size for PINs of all lengths, up to the longest possible', () => {
    for (const length of [1, 4, 6, 63, 126, 127]) {
      const pin = new Uint8Array(length).fill(0x37);
      const one = sealForRecovery(pin, publicKey, setup);
      expect(fromBase64(one.sealedPin)).toHaveLength(SEALED_PIN_SIZE);
      const opened = openRecoverySecret(recoveryRequestOf(one, publicKey), ours.privateKey);
      expect(openSealedPin(one, publicKey, opened)).toEqual(pin);
    }
    expect(() => sealForRecovery(new Uint8Array(128), publicKey, setup)).toThrow(
      new RangeError('the PIN has 128 bytes; the limit is 127'),
    );
  });

  it('does not wipe the PIN of the caller', () => {
    const pin = utf8('258096');
    sealForRecovery(pin, publicKey, setup);
    expect(pin).toEqual(utf8('258096'));
  });

  it('demands a service key of 2048 bits and a user', () => {
    const small = { servicePublicKey: service(1024).publicKey, user };
    expect(() => sealForRecovery(PIN, publicKey, small)).toThrow(
      new RangeError("the recovery service's key has 1024 bits; it needs at least 2048"),
    );
    expect(() => sealForRecovery(PIN, publicKey, { ...setup, user: '' })).toThrow(RangeError);
  });
});

describe('a PIN stays sealed for', () => {
  const NOT_OPENED =
    "recovery-unavailable: the PIN cannot be recovered: the recovery service's secret does not open this key's PIN; replace the key with a new one and set a new PIN";

  it('another secret', () => {
    for (let at = 0; at < 32; at++) {
      const wrong = fromBase64(flipped(toBase64(secret), at));
      expect(refusal(() => openSealedPin(sealed, publicKey, wrong))).toBe(NOT_OPENED);
    }
    expect(refusal(() => openSealedPin(sealed, publicKey, secret.subarray(1)))).toMatch(
      /^recovery-unavailable: .* returned 31 bytes; a secret has 32/,
    );
  });

  it('a sealed PIN with any byte changed', () => {
    for (let at = 0; at < SEALED_PIN_SIZE; at++) {
      const changed: PinRecovery = { ...sealed, sealedPin: flipped(sealed.sealedPin, at) };
      expect(refusal(() => openSealedPin(changed, publicKey, secret))).toBe(NOT_OPENED);
    }
  });

  it('the recovery of another key', () => {
    expect(refusal(() => openSealedPin(sealed, other.publicKey, secret))).toBe(NOT_OPENED);
    const moved = recoveryRequestOf(sealed, other.publicKey);
    expect(refusal(() => openRecoverySecret(moved, ours.privateKey))).toMatch(
      / the secret is for another user or key;/,
    );
  });

  it('the recovery of another user, for the service', () => {
    const theirs = { ...request, user: 'bob@example.com' };
    expect(refusal(() => openRecoverySecret(theirs, ours.privateKey))).toMatch(
      / the secret is for another user or key;/,
    );
    // The lengths are bound too, so that no bytes can move from one to the other.
    const split = { ...request, user: `${user}${String.fromCharCode(request.keyId[0] ?? 0)}` };
    expect(refusal(() => openRecoverySecret({ ...split, keyId: request.keyId.subarray(1) }, ours.privateKey))).toMatch(
      /^recovery-unavailable: /,
    );
  });

  it('a secret for another service, or a changed one', () => {
    const message = /^recovery-unavailable: .* the secret was not encrypted to this service, or was changed;/;
    expect(refusal(() => openRecoverySecret(request, other.privateKey))).toMatch(message);
    const encryptedSecret = fromBase64(flipped(sealed.encryptedSecret, 200));
    expect(refusal(() => openRecoverySecret({ ...request, encryptedSecret }, ours.privateKey))).toMatch(message);
  });
});
