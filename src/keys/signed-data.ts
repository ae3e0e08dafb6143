import { constants, createVerify, type Verify } from 'node:crypto';
import { checkBytes, isBytes } from '../bytes.ts';
import { importPublicKey } from '../crypto/key-object.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import { type SignatureFormat, verifySignature } from '../crypto/verify-signature.ts';
import { piecesOf } from '../pieces.ts';
import type { HashName } from '../primitives.ts';
import type { DataToSign } from './provider.ts';

/** Gives all data to something that hashes. */
export async function feedAll<To extends { update(piece: Uint8Array): unknown }>(
  to: To,
  data: DataToSign,
): Promise<To> {
  for await (const piece of isBytes(data) ? piecesOf(data) : data) {
    checkBytes(piece, 'each piece of the data to sign');
    to.update(piece);
  }
  return to;
}

/** Returns the data to sign, and a check of the signature that reads data in pieces no second time. */
export function checkedData(
  hash: HashName,
  data: DataToSign,
): {
  readonly data: DataToSign;
  readonly verifies: (key: PublicKey, signature: Uint8Array, format: SignatureFormat) => boolean;
} {
  if (isBytes(data)) {
    return { data, verifies: (key, signature, format) => verifySignature(key, hash, data, signature, format) };
  }
  const check = createVerify(hash);
  return {
    data: alsoTo(check, data),
    verifies: (key, signature, format) =>
      check.verify(
        {
          ...{ key: importPublicKey(key), dsaEncoding: format === 'raw' ? 'ieee-p1363' : 'der' },
          ...(format === 'pss' && {
            ...{ padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO },
          }),
        },
        signature,
      ),
  };
}

async function* alsoTo(check: Verify, data: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of data) {
    checkBytes(piece, 'each piece of the data to sign');
    check.update(piece);
    yield piece;
  }
}
