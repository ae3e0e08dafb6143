import type { webcrypto } from 'node:crypto';
import type { BaseBlock } from 'asn1js';
import type { CryptoEngine } from 'pkijs';
import { checkBytes, checkObject, equal, view } from '../../bytes.ts';
import { encodeJwk } from '../../crypto/jwk.ts';
import { verifySignature } from '../../crypto/verify-signature.ts';
import { KeyprovError } from '../../errors.ts';
import type { SigningKey } from '../services/jws.ts';
import { type SigningHash, signatureAlgorithmFor } from './signature-algorithm.ts';

/** Arguments for the `sign` methods of pkijs, to sign with any key. */
export interface PkijsSigning {
  readonly engine: CryptoEngine;
  /** The public key, since pkijs needs a key. The engine does not use it. */
  readonly key: webcrypto.CryptoKey;
}

/**
 * Makes pkijs sign with our key. pkijs 4.0.0 leaves out the NULL of RSA algorithms, which RFC 4055, 5 demands, so the
 * engine names the algorithm too.
 * @throws KeyprovError `key-invalid`, while signing, if the signature does not match the key's public key.
 */
export async function pkijsSigning(signer: SigningKey, hash?: SigningHash): Promise<PkijsSigning> {
  const { publicKey, sign } = checkObject(signer, 'a signing key', 'publicKey:object', 'sign:function');
  const [pkijs, { Null }] = await Promise.all([import('pkijs'), import('asn1js')]);
  const algorithm = signatureAlgorithmFor(publicKey, hash);

  class SigningEngine extends pkijs.CryptoEngine {
    override async getSignatureParameters() {
      const algorithmParams = publicKey.kty === 'RSA' ? { algorithmParams: new Null() } : {};
      return {
        signatureAlgorithm: new pkijs.AlgorithmIdentifier({ algorithmId: algorithm.oid, ...algorithmParams }),
        parameters: { algorithm: {}, usages: [] },
      };
    }
    override async signWithPrivateKey(input: webcrypto.BufferSource) {
      const data = ArrayBuffer.isView(input)
        ? new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
        : new Uint8Array(input);
      const signature = await sign({ data, hash: algorithm.hash, padding: 'pkcs1', format: 'der' });
      checkBytes(signature, 'the signature');
      if (!verifySignature(publicKey, algorithm.hash, data, signature, algorithm.format)) {
        throw new KeyprovError('key-invalid', 'the signature does not match the public key');
      }
      return new Uint8Array(signature).buffer;
    }
  }

  const { crypto } = globalThis;
  const imported =
    publicKey.kty === 'RSA'
      ? { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
      : { name: 'ECDSA', namedCurve: publicKey.crv };
  const key = await crypto.subtle.importKey('jwk', encodeJwk(publicKey), imported, true, ['verify']);
  return { engine: new SigningEngine({ name: 'keyprov', crypto }), key };
}

/** The asn1js form of a value in DER. @throws TypeError for a value that asn1js would write differently. */
export async function asn1jsBlock(der: Uint8Array): Promise<BaseBlock> {
  const { fromBER } = await import('asn1js');
  const { result, offset } = fromBER(view(der));
  if (offset !== der.length || !equal(new Uint8Array(result.toBER()), der)) throw new TypeError('a value is not DER');
  return result;
}
