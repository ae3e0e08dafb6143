import { toHex } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { weaknessOf } from '../crypto/key-strength.ts';
import { bitLength, encodeSpki, type PublicKey } from '../crypto/public-key.ts';
import { computeKeyIdText } from '../formats/windows/cng-blob.ts';
import { encodePublicBlob } from '../formats/windows/key-registration.ts';
import { bytesField, field } from './fields.ts';
import type { Description } from './inspection.ts';

/** A public key: its numbers, and its identifiers, which do not depend on its form. */
export function describePublicKey(key: PublicKey): Description {
  const ids = [
    field('Key ID', computeKeyIdText(encodePublicBlob(key))),
    field('SHA-256 of the SPKI', toHex(digest('sha256', encodeSpki(key)))),
  ];
  if (key.kty === 'EC') {
    return { title: `${key.crv} key`, fields: [bytesField('x', key.x), bytesField('y', key.y), ...ids] };
  }
  const bits = bitLength(key.n);
  const problems = [weaknessOf(key) ?? []].flat();
  const numbers = [field('bits', bits), bytesField('modulus', key.n), bytesField('exponent', key.e)];
  return { title: `RSA-${bits} key`, problems, fields: [...numbers, ...ids] };
}
