import { type Bytes, byteCount, concat } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { CURVES, type Curve } from './curve.ts';
import { DerNode } from './der-read.ts';
import { derSequence, derUnsigned, TAG } from './der-write.ts';

/**
 * Turns a raw ECDSA signature (r and s, big endian, each as long as the field: IEEE P1363, JWS, COSE) into the
 * Ecdsa-Sig-Value that X.509, CMS and OpenSSL want (RFC 3279, 2.2.3). @throws KeyprovError `key-invalid` for a wrong length.
 */
export function ecdsaRawToDer(curve: Curve, raw: Uint8Array): Bytes {
  const { size } = CURVES[curve];
  if (raw.length !== 2 * size) throw wrong(curve, `${byteCount(raw.length)}, ${2 * size} expected`);
  return derSequence(derUnsigned(raw.subarray(0, size)), derUnsigned(raw.subarray(size)));
}

/** The inverse of {@link ecdsaRawToDer}. @throws KeyprovError `key-invalid` for anything but that DER. */
export function ecdsaDerToRaw(curve: Curve, der: Uint8Array): Bytes {
  const numbers = DerNode.strict(der, 'ECDSA signature').fields(TAG.SEQUENCE);
  const parts = [numbers.next().unsigned(), numbers.next().unsigned()].map((number) => {
    const { size } = CURVES[curve];
    if (number.length > size) throw wrong(curve, `a number has ${byteCount(number.length)}; the limit is ${size}`);
    return concat(new Uint8Array(size - number.length), number);
  });
  numbers.end();
  return concat(...parts);
}

function wrong(curve: Curve, problem: string): KeyprovError {
  return new KeyprovError('key-invalid', `ECDSA signature on ${curve}: ${problem}`);
}
