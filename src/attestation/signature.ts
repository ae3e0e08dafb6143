import { checkBytes, checkObject } from '../bytes.ts';
import { CURVES } from '../crypto/curve.ts';
import { ecdsaDerToRaw } from '../crypto/ecdsa-signature.ts';
import { verifySignature } from '../crypto/verify-signature.ts';
import { KeyprovError } from '../errors.ts';
import { HASHES, TPM_ALG } from '../tpm/constants.ts';
import { isHashAlg } from '../tpm/names.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import { encodeBareSignature, rawSignature } from '../tpm/signature.ts';
import type { TpmtSignature } from '../tpm/structures/algorithm.ts';
import type { TpmiAlgHash } from '../tpm/structures/base.ts';
import type { TpmtPublic } from '../tpm/structures/object.ts';

export { encodeBareSignature };

/**
 * The inverse of {@link encodeBareSignature}. Takes the missing scheme from the public area of the signer, which must
 * name one, as attestation keys do. Pads r and s to the size of the field.
 *
 * @throws KeyprovError `statement-invalid` for a signer without scheme, `key-invalid` for an ECDSA signature not in
 * DER.
 */
export function decodeBareSignature(signer: TpmtPublic, bare: Uint8Array): TpmtSignature {
  checkObject(signer, 'the public area of the signing key', 'type');
  checkBytes(bare, 'a signature');
  const scheme = signingSchemeOf(signer);
  if (scheme === undefined) throw invalid('the signing key has no signing scheme in its public area');
  const { sigAlg, hash } = scheme;
  if (sigAlg !== TPM_ALG.ECDSA) return { sigAlg, signature: { hash, sig: bare } };
  const key = publicKeyOf(signer);
  if (key.kty !== 'EC') throw invalid('ECDSA with a key that is not an ECC key');
  const raw = ecdsaDerToRaw(key.crv, bare);
  const { size } = CURVES[key.crv];
  return { sigAlg, signature: { hash, signatureR: raw.subarray(0, size), signatureS: raw.subarray(size) } };
}

/**
 * Verifies a TPM's signature over `data` by the key of the public area `signer`. Algorithm and hash must match the
 * public area's scheme, if it has one; r and s may lack leading zeros.
 *
 * @returns the problem, or `undefined` if the signature is good.
 * @throws KeyprovError `key-invalid` if `signer` is not an RSA, P-256, P-384 or P-521 key.
 */
export function findSignatureProblem(
  signer: TpmtPublic,
  signature: TpmtSignature,
  data: Uint8Array,
): string | undefined {
  checkObject(signer, 'the public area of the signer', 'type');
  checkObject(signature, 'the signature', 'sigAlg');
  checkBytes(data, 'the data');
  const { sigAlg } = signature;
  if (sigAlg !== TPM_ALG.RSASSA && sigAlg !== TPM_ALG.RSAPSS && sigAlg !== TPM_ALG.ECDSA) {
    return `algorithm 0x${sigAlg.toString(16)} is not supported`;
  }
  const { hash } = signature.signature;
  if (!isHashAlg(hash)) return `hash 0x${hash.toString(16)} is not supported`;
  const scheme = signingSchemeOf(signer);
  if (scheme !== undefined && (scheme.sigAlg !== sigAlg || scheme.hash !== hash)) {
    return "its algorithm and hash differ from the signing key's public area";
  }
  const key = publicKeyOf(signer);
  if ((key.kty === 'EC') !== (sigAlg === TPM_ALG.ECDSA)) return 'its type does not match the signing key';
  const isGood = verifySignature(
    key,
    HASHES[hash].name,
    data,
    signature.sigAlg === TPM_ALG.ECDSA && key.kty === 'EC'
      ? rawSignature(signature, CURVES[key.crv].size)
      : encodeBareSignature(signature),
    sigAlg === TPM_ALG.RSASSA ? 'pkcs1' : sigAlg === TPM_ALG.RSAPSS ? 'pss' : 'raw',
  );
  return isGood ? undefined : 'it does not verify';
}

interface Scheme {
  readonly sigAlg: typeof TPM_ALG.RSASSA | typeof TPM_ALG.RSAPSS | typeof TPM_ALG.ECDSA;
  readonly hash: TpmiAlgHash;
}

/** The signing scheme in a public area; `undefined` if it has none. */
export function signingSchemeOf(area: TpmtPublic): Scheme | undefined {
  if (area.type !== TPM_ALG.RSA && area.type !== TPM_ALG.ECC) return undefined;
  const { scheme } = area.parameters;
  switch (scheme.scheme) {
    case TPM_ALG.RSASSA:
    case TPM_ALG.RSAPSS:
    case TPM_ALG.ECDSA:
      return { sigAlg: scheme.scheme, hash: scheme.details.hashAlg };
    default:
      return undefined;
  }
}

const invalid = (problem: string): KeyprovError => new KeyprovError('statement-invalid', problem);
