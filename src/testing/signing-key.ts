import { createPublicKey, type KeyObject, sign } from 'node:crypto';
import { view } from '../bytes.ts';
import { decodeSpki } from '../crypto/public-key.ts';
import type { SigningKey } from '../formats/services/jws.ts';

/**
 * Makes a signer of certificates and assertions from a private key of Node, RSA or on a NIST curve. RSA:
 * RSASSA-PKCS1-v1_5.
 * @throws KeyprovError `key-invalid` for a key of another kind.
 */
export function signingKeyOf(privateKey: KeyObject): SigningKey {
  return {
    publicKey: decodeSpki(view(createPublicKey(privateKey).export({ type: 'spki', format: 'der' }))),
    sign: async ({ data, hash = 'sha256', format = 'der' }) =>
      view(sign(hash, data, { key: privateKey, dsaEncoding: format === 'raw' ? 'ieee-p1363' : 'der' })),
  };
}
