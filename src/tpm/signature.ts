import { type Bytes, concat, copy } from '../bytes.ts';
import { DER, derUnsigned, derValue } from '../crypto/der.ts';
import { KeyprovError } from '../errors.ts';
import { TPM_ALG } from './constants.ts';
import type { TpmtSignature } from './structures/algorithm.ts';

/**
 * A TPM's signature in the form that other software takes: of RSA the block itself, as long as the modulus; of ECDSA
 * the DER ECDSA-Sig-Value (RFC 3279, 2.2.3), or with `format: 'raw'` r and s, each `fieldSize` bytes long.
 * @throws KeyprovError `tpm-unsupported` for any other algorithm.
 */
export function bareSignature(
  signature: TpmtSignature,
  { format = 'der', fieldSize = 32 }: { readonly format?: 'der' | 'raw'; readonly fieldSize?: number } = {},
): Bytes {
  switch (signature.sigAlg) {
    case TPM_ALG.RSASSA:
    case TPM_ALG.RSAPSS:
      return copy(signature.signature.sig);
    case TPM_ALG.ECDSA: {
      const { signatureR: r, signatureS: s } = signature.signature;
      if (format === 'der') return derValue(DER.SEQUENCE, derUnsigned(r), derUnsigned(s));
      return concat(padded(r, fieldSize), padded(s, fieldSize));
    }
    default:
      throw new KeyprovError(
        'tpm-unsupported',
        `a signature of algorithm 0x${signature.sigAlg.toString(16)} has no bare form`,
      );
  }
}

/** TPMs may leave out leading zeros, or write more of them. */
function padded(number: Uint8Array, size: number): Bytes {
  const digits = number.subarray(Math.max(0, number.length - size));
  return concat(new Uint8Array(size - digits.length), digits);
}
