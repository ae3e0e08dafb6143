import { type Bytes, checkObject, concat, uint32, view } from '../bytes.ts';
import { CURVES, type Curve } from '../crypto/curve.ts';
import { bitLength, checkPublicKey, type PublicKey } from '../crypto/public-key.ts';
import { KeyprovError } from '../errors.ts';
import { TPM_ALG, TPM_ECC } from './constants.ts';
import type { TpmtPublic } from './structures/object.ts';

const CURVE_OF: ReadonlyMap<number, Curve> = new Map([
  [TPM_ECC.NIST_P256, 'P-256'],
  [TPM_ECC.NIST_P384, 'P-384'],
  [TPM_ECC.NIST_P521, 'P-521'],
]);

/**
 * Returns the public key in a public area: an RSA key whose modulus has `keyBits` bits, or a point on P-256, P-384 or
 * P-521. Coordinates are as long as the field, even if the TPM strips leading zeros. TPMT_PUBLIC, Part 2, 12.2.4.
 *
 * @throws KeyprovError `key-invalid` for anything else.
 */
export function publicKeyOf(publicArea: TpmtPublic): PublicKey {
  checkObject(publicArea, 'the public area', 'type');
  const key = extract(publicArea);
  checkPublicKey(key);
  return key;
}

function extract(publicArea: TpmtPublic): PublicKey {
  if (publicArea.type === TPM_ALG.RSA) {
    const { unique, parameters } = publicArea;
    if (bitLength(unique) !== parameters.keyBits) {
      throw invalid(`an RSA key of ${parameters.keyBits} bits with a modulus of ${bitLength(unique)}`);
    }
    return { kty: 'RSA', n: view(unique), e: exponentOf(parameters.exponent) };
  }
  if (publicArea.type === TPM_ALG.ECC) {
    const { unique, parameters } = publicArea;
    const crv = CURVE_OF.get(parameters.curveID);
    if (crv === undefined) throw invalid(`a key on curve 0x${parameters.curveID.toString(16)}`);
    const { size } = CURVES[crv];
    return { kty: 'EC', crv, x: padLeft(unique.x, size), y: padLeft(unique.y, size) };
  }
  throw invalid(`an object of type 0x${publicArea.type.toString(16)}`);
}

/** Pads `number` with leading zeros to `size` bytes; returns a longer one unchanged. */
export function padLeft(number: Uint8Array, size: number): Bytes {
  return concat(new Uint8Array(Math.max(0, size - number.length)), number);
}

/** Big endian, without leading zeros; 0 means 65537. */
function exponentOf(exponent: number): Bytes {
  const bytes = uint32(exponent === 0 ? 65537 : exponent);
  return bytes.subarray(bytes.findIndex((byte) => byte !== 0));
}

const invalid = (what: string): KeyprovError =>
  new KeyprovError('key-invalid', `public area: ${what} is not a supported public key`, {
    remedy: 'use an RSA, P-256, P-384 or P-521 key',
  });
