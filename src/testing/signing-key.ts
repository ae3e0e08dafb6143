import { createPublicKey, type KeyObject, sign } from 'node:crypto';
import { checkObject, view } from '../bytes.ts';
import { decodeSpki } from '../crypto/public-key.ts';
import type { SigningKey } from '../formats/services/jws.ts';

/**
 * Makes a signer for certificates and assertions from a Node private key: RSA (RSASSA-PKCS1-v1_5) or a NIST curve.
 * @throws KeyprovError `key-invalid` for any other key.
 */
export function signingKeyOf(privateKey: KeyObject): SigningKey {
  checkObject(privateKey, 'the private key', 'export:function');
  return {
    publicKey: decodeSpki(view(createPublicKey(privateKey).export({ type: 'spki', format: 'der' }))),
    sign: async ({ data, hash = 'sha256', format = 'der' }) =>
      view(sign(hash, data, { key: privateKey, dsaEncoding: format === 'raw' ? 'ieee-p1363' : 'der' })),
  };
}
