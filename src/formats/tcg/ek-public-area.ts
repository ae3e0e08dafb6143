import type { Bytes } from '../../bytes.ts';
import { bitLength, checkPublicKey, type PublicKey } from '../../crypto/public-key.ts';
import { encode } from '../../tpm/codec/index.ts';
import { TPM_ALG } from '../../tpm/constants.ts';
import { TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import { type EkTemplateName, ekTemplate } from '../../tpm/templates.ts';
import { requestInvalid } from '../x509/in-request.ts';

const RSA_TEMPLATES: ReadonlyMap<number, EkTemplateName> = new Map([
  [2048, 'L-1'],
  [3072, 'H-6'],
  [4096, 'H-7'],
]);
const ECC_TEMPLATES = { 'P-256': 'L-2', 'P-384': 'H-3', 'P-521': 'H-4' } as const;

/**
 * Builds the public area (TPMT_PUBLIC) of an endorsement key from its public key, by the default template for such
 * keys. EK Credential Profile for TPM 2.0, Annex B. Pass it through `decodePublicArea` for `makeCredential` and
 * `buildActivationChallenge`.
 *
 * @throws KeyprovError `request-invalid` for a key without a known template.
 *
 * @example
 * ```ts
 * import { decodePublicArea, makeCredential } from 'keyprov/attestation';
 * import { buildEkPublicArea } from 'keyprov/formats/tcg';
 * import type { PublicKey } from 'keyprov/formats/x509';
 *
 * declare const [ekKey, akName, secret]: [PublicKey, Uint8Array, Uint8Array]; // ekKey: from a message; akName: the attestation key's Name
 * const credential = makeCredential({ ek: decodePublicArea(buildEkPublicArea(ekKey)), objectName: akName, secret });
 * console.log(credential.encryptedSecret.length);
 * ```
 */
export function buildEkPublicArea(key: PublicKey): Bytes {
  checkPublicKey(key);
  if (key.kty === 'RSA') {
    const template = RSA_TEMPLATES.get(bitLength(key.n));
    const area = template && ekTemplate(template);
    if (area?.type === TPM_ALG.RSA) return encode(TPMT_PUBLIC, { ...area, unique: key.n });
  } else {
    const area = ekTemplate(ECC_TEMPLATES[key.crv]);
    if (area.type === TPM_ALG.ECC) return encode(TPMT_PUBLIC, { ...area, unique: { x: key.x, y: key.y } });
  }
  throw requestInvalid('endorsement key', 'there is no known template for this key');
}
