import { randomBytes } from 'node:crypto';
import { type Bytes, checkBytes, checkObject, view, withSecret } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { deriveScrypt, scryptProblem } from '../crypto/scrypt.ts';
import { KeyprovError } from '../errors.ts';
import type { PinDerivation, ProvidedKey } from './provider.ts';

/** Length of the derived authorization values, in bytes: the maximum for a key with a SHA-256 Name. */
const AUTH_VALUE_SIZE = 32;
const BASE64_URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** The default derivation for a new key: scrypt with a fresh salt, 16 MiB and some 40 ms of work. */
export function newPinDerivation(): PinDerivation {
  return { kdf: 'scrypt', salt: view(randomBytes(16)), cost: 2 ** 14, blockSize: 8, parallelization: 1 };
}

/**
 * Derives a key's authorization value from its PIN (UTF-8): 32 bytes of base64url text from scrypt, which other tools
 * accept as a password, or the digest of Windows' Platform Crypto Provider. The caller wipes it.
 * @throws KeyprovError `key-invalid` for parameters that scrypt does not allow, or that demand too much work; TypeError
 * for a PIN that is not UTF-8, with a Windows derivation.
 */
export async function deriveAuthValue(pin: Uint8Array, derivation: PinDerivation): Promise<Bytes> {
  checkBytes(pin, 'the PIN');
  checkObject(derivation, 'the PIN derivation', 'kdf');
  if (derivation.kdf === 'scrypt') {
    const problem = scryptProblem(derivation);
    if (problem !== undefined) throw new KeyprovError('key-invalid', `the key's PIN derivation: ${problem}`);
    return await withSecret(await deriveScrypt(pin, derivation.salt, (AUTH_VALUE_SIZE * 3) / 4, derivation), (raw) =>
      base64UrlText(raw),
    );
  }
  const hash = derivation.kdf === 'pcp-sha1' ? 'sha1' : 'sha256';
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(pin);
  return await withSecret(Buffer.from(text, 'utf16le'), (utf16) => digest(hash, utf16));
}

/** @throws RangeError if the PIN of a key that is to have one is empty. */
export function checkNotEmpty(pin: Uint8Array | undefined): void {
  if (pin?.length === 0) throw new RangeError('the PIN is empty');
}

/** @throws RangeError if the new PIN is empty; KeyprovError `key-invalid` for a key that was made without a PIN. */
export function checkPinChange({ hasPin }: ProvidedKey, newPin: Uint8Array): void {
  checkNotEmpty(newPin);
  if (hasPin) return;
  throw new KeyprovError('key-invalid', 'the key was made without a PIN, so there is no PIN to change', {
    remedy: 'make a new key with a PIN',
  });
}

/** The characters of base64url, made without a string, since strings cannot be wiped. */
function base64UrlText(bytes: Uint8Array): Bytes {
  const text = new Uint8Array(new ArrayBuffer((bytes.length / 3) * 4));
  for (let from = 0, at = 0; from < bytes.length; from += 3) {
    const word = ((bytes[from] ?? 0) << 16) | ((bytes[from + 1] ?? 0) << 8) | (bytes[from + 2] ?? 0);
    for (let shift = 18; shift >= 0; shift -= 6) text[at++] = BASE64_URL.charCodeAt((word >> shift) & 63);
  }
  return text;
}
