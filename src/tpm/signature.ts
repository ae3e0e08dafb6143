import { type Bytes, checkObject, concat, view } from '../bytes.ts';
import { derSequence, derUnsigned } from '../crypto/der-write.ts';
import { TpmError } from '../errors/tpm-error.ts';
import { TPM_ALG } from './constants.ts';
import { padLeft } from './public-key.ts';
import type { TpmtSignature } from './structures/algorithm.ts';

/**
 * Encodes a TPM signature for software that does not use TPM structures: RSASSA and RSAPSS as bare bytes, as long as
 * the modulus; ECDSA as an Ecdsa-Sig-Value in DER (RFC 3279, 2.2.3).
 * @throws KeyprovError `tpm-unsupported` for another algorithm.
 */
export function encodeBareSignature(signature: TpmtSignature): Bytes {
  checkObject(signature, 'a signature', 'sigAlg:number');
  switch (signature.sigAlg) {
    case TPM_ALG.RSASSA:
    case TPM_ALG.RSAPSS:
      return view(checkObject(signature.signature, 'an RSA signature', 'sig:bytes').sig);
    case TPM_ALG.ECDSA: {
      const { signatureR, signatureS } = checkObject(signature.signature, 'a signature', 'signatureR', 'signatureS');
      return derSequence(derUnsigned(signatureR), derUnsigned(signatureS));
    }
    default:
      throw new TpmError(
        'tpm-unsupported',
        `the signature algorithm 0x${signature.sigAlg.toString(16)} is not supported`,
      );
  }
}

/**
 * Like {@link encodeBareSignature}, but with an ECDSA signature as r and s, big endian, each `fieldSize` bytes long
 * (IEEE P1363), as JWS and WebCrypto need it.
 */
export function rawSignature(signature: TpmtSignature, fieldSize: number): Bytes {
  if (signature.sigAlg !== TPM_ALG.ECDSA) return encodeBareSignature(signature);
  const { signatureR, signatureS } = signature.signature;
  return concat(padLeft(signatureR, fieldSize), padLeft(signatureS, fieldSize));
}
