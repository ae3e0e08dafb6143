import { createHash, randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { type Bytes, view, wipe } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import type { PinDerivation } from './provider.ts';

/** Length of the authorization values derived here, in bytes: the most that a key with a SHA-256 Name takes. */
const AUTH_VALUE_SIZE = 32;
const scryptAsync = promisify<Uint8Array, Uint8Array, number, object, Buffer>(scrypt);

/** The default derivation for a new key: scrypt with a fresh salt, 16 MiB and some 40 ms of work. */
export function newPinDerivation(): PinDerivation {
  return { kdf: 'scrypt', salt: view(randomBytes(16)), cost: 2 ** 14, blockSize: 8, parallelization: 1 };
}

/**
 * Derives the value that authorizes a key from its PIN (UTF-8): 32 bytes of base64url text from scrypt, so that other
 * tools can be given it as a password; or the digest that Windows' Platform Crypto Provider uses. The caller wipes it.
 */
export async function deriveAuthValue(pin: Uint8Array, derivation: PinDerivation): Promise<Bytes> {
  if (derivation.kdf === 'scrypt') {
    const { cost: N, blockSize: r, parallelization: p, salt } = derivation;
    if (N > 2 ** 20 || r > 32 || p > 16) {
      throw new KeyprovError(
        'key-invalid',
        `the PIN derivation of the key asks for too much work (N=${N}, r=${r}, p=${p})`,
      );
    }
    const raw = await scryptAsync(pin, salt, (AUTH_VALUE_SIZE * 3) / 4, { N, r, p, maxmem: 256 * N * r });
    try {
      return new Uint8Array(Buffer.from(raw.toString('base64url'), 'latin1'));
    } finally {
      wipe(raw);
    }
  }
  const utf16 = Buffer.from(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(pin), 'utf16le');
  try {
    return view(
      createHash(derivation.kdf === 'pcp-sha1' ? 'sha1' : 'sha256')
        .update(utf16)
        .digest(),
    );
  } finally {
    wipe(utf16);
  }
}
