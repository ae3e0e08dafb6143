import { EMPTY } from '../bytes.ts';
import { checkMembers } from '../known-members.ts';
import { TPM_ALG, TPM_ECC } from './constants.ts';
import { ekPolicyA, ekPolicyB, windowsHelloPolicy } from './policy-digest.ts';
import type { TpmtSymDefObject } from './structures/algorithm.ts';
import type { TpmaObject, TpmtPublic, TpmtPublicEcc, TpmtPublicRsa } from './structures/object.ts';

const NULL = { algorithm: TPM_ALG.NULL } as const;
const NO_SCHEME = { scheme: TPM_ALG.NULL } as const;
const aesCfb = (keyBits: 128 | 256): TpmtSymDefObject => ({ algorithm: TPM_ALG.AES, keyBits, mode: TPM_ALG.CFB });
const zeros = (length: number) => new Uint8Array(length);

type Head = Pick<TpmtPublic, 'nameAlg' | 'objectAttributes' | 'authPolicy'>;
type CurveID = TpmtPublicEcc['parameters']['curveID'];

const rsa = (head: Head, parameters: Partial<TpmtPublicRsa['parameters']>, unique = EMPTY): TpmtPublicRsa => ({
  type: TPM_ALG.RSA,
  ...head,
  parameters: { symmetric: NULL, scheme: NO_SCHEME, keyBits: 2048, exponent: 0, ...parameters },
  unique,
});

const ecc = (head: Head, parameters: Partial<TpmtPublicEcc['parameters']>, size = 0): TpmtPublicEcc => ({
  type: TPM_ALG.ECC,
  ...head,
  parameters: { symmetric: NULL, scheme: NO_SCHEME, curveID: TPM_ECC.NIST_P256, kdf: NO_SCHEME, ...parameters },
  unique: { x: zeros(size), y: zeros(size) },
});

const FIXED: TpmaObject = { fixedTPM: true, fixedParent: true, sensitiveDataOrigin: true };
const EK_LOW: TpmaObject = { ...FIXED, adminWithPolicy: true, restricted: true, decrypt: true };
const EK_HIGH: TpmaObject = { ...EK_LOW, userWithAuth: true };
const STORAGE: TpmaObject = { ...FIXED, userWithAuth: true, noDA: true, restricted: true, decrypt: true };
const RESTRICTED_SIGN: TpmaObject = { ...FIXED, userWithAuth: true, restricted: true, sign: true };

const ekLow = (): Head => ({
  nameAlg: TPM_ALG.SHA256,
  objectAttributes: EK_LOW,
  authPolicy: ekPolicyA(TPM_ALG.SHA256),
});
const ekHigh = (nameAlg: typeof TPM_ALG.SHA256 | typeof TPM_ALG.SHA384 | typeof TPM_ALG.SHA512): Head => ({
  nameAlg,
  objectAttributes: EK_HIGH,
  authPolicy: ekPolicyB(nameAlg),
});
const head = (objectAttributes: TpmaObject, nameAlg: Head['nameAlg'] = TPM_ALG.SHA256): Head => ({
  ...{ nameAlg, objectAttributes, authPolicy: EMPTY },
});

/** The endorsement key templates that {@link ekTemplate} supports, named as in the EK Credential Profile. */
export type EkTemplateName = 'L-1' | 'L-2' | 'H-1' | 'H-2' | 'H-3' | 'H-4' | 'H-6' | 'H-7';

/**
 * The default template of an endorsement key. TCG EK Credential Profile for TPM 2.0, Annex B.
 * L-1 RSA 2048, L-2 P-256; H-1 RSA 2048, H-2 P-256, H-3 P-384, H-4 P-521, H-6 RSA 3072, H-7 RSA 4096.
 */
export function ekTemplate(name: EkTemplateName): TpmtPublic {
  switch (name) {
    case 'L-1':
      return rsa(ekLow(), { symmetric: aesCfb(128) }, zeros(256));
    case 'L-2':
      return ecc(ekLow(), { symmetric: aesCfb(128) }, 32);
    case 'H-1':
      return rsa(ekHigh(TPM_ALG.SHA256), { symmetric: aesCfb(128) });
    case 'H-2':
      return ecc(ekHigh(TPM_ALG.SHA256), { symmetric: aesCfb(128) });
    case 'H-3':
      return ecc(ekHigh(TPM_ALG.SHA384), { symmetric: aesCfb(256), curveID: TPM_ECC.NIST_P384 });
    case 'H-4':
      return ecc(ekHigh(TPM_ALG.SHA512), { symmetric: aesCfb(256), curveID: TPM_ECC.NIST_P521 });
    case 'H-6':
      return rsa(ekHigh(TPM_ALG.SHA384), { symmetric: aesCfb(256), keyBits: 3072 });
    case 'H-7':
      return rsa(ekHigh(TPM_ALG.SHA384), { symmetric: aesCfb(256), keyBits: 4096 });
  }
}

/** The algorithms of user keys: modulus size or curve. */
export type UserKeyAlgorithm = 'rsa-2048' | 'rsa-3072' | 'p-256' | 'p-384';

const RSA_BITS = { 'rsa-2048': 2048, 'rsa-3072': 3072 } as const;
const CURVES: Readonly<Record<'p-256' | 'p-384', CurveID>> = { 'p-256': TPM_ECC.NIST_P256, 'p-384': TPM_ECC.NIST_P384 };

/** Endorsement key templates when the choice is ours, cheapest first. */
export const EK_TEMPLATES: readonly EkTemplateName[] = ['L-2', 'H-3', 'L-1', 'H-6'];

/** Storage key algorithms when the choice is ours, cheapest first. */
export const STORAGE_ALGORITHMS: readonly UserKeyAlgorithm[] = ['p-256', 'p-384', 'rsa-2048', 'rsa-3072'];

const isRsa = (algorithm: UserKeyAlgorithm): algorithm is keyof typeof RSA_BITS => Object.hasOwn(RSA_BITS, algorithm);

/** P-384 and RSA 3072: the EK Credential Profile's high range, the only one that a TPM after CNSA supports. */
const isHigh = (algorithm: UserKeyAlgorithm): boolean => algorithm === 'p-384' || algorithm === 'rsa-3072';

/**
 * The template of a storage root key. TCG TPM v2.0 Provisioning Guidance, section 7.5.1; for P-384 and RSA 3072 with
 * the algorithms of the EK Credential Profile's high range: AES-256 and SHA-384. `'zeros'` for `unique`
 * gives exactly that template, `'empty'` another key: the one that TSS2 key files mean if the parent is a hierarchy.
 */
export function srkTemplate(algorithm: UserKeyAlgorithm, unique: 'zeros' | 'empty' = 'zeros'): TpmtPublic {
  const isEmpty = unique === 'empty';
  const common = head(STORAGE, isHigh(algorithm) ? TPM_ALG.SHA384 : TPM_ALG.SHA256);
  const symmetric = aesCfb(isHigh(algorithm) ? 256 : 128);
  if (isRsa(algorithm)) {
    const keyBits = RSA_BITS[algorithm];
    return rsa(common, { symmetric, keyBits }, zeros(isEmpty ? 0 : keyBits / 8));
  }
  return ecc(common, { symmetric, curveID: CURVES[algorithm] }, isEmpty ? 0 : algorithm === 'p-256' ? 32 : 48);
}

/**
 * The template of an attestation key: a restricted signing key with RSASSA or ECDSA and SHA-256, or SHA-384 for P-384
 * and RSA 3072.
 */
export function akTemplate(algorithm: UserKeyAlgorithm): TpmtPublic {
  const hashAlg = isHigh(algorithm) ? TPM_ALG.SHA384 : TPM_ALG.SHA256;
  const common = head(RESTRICTED_SIGN, hashAlg);
  const details = { hashAlg };
  if (isRsa(algorithm))
    return rsa(common, { scheme: { scheme: TPM_ALG.RSASSA, details }, keyBits: RSA_BITS[algorithm] });
  return ecc(common, { scheme: { scheme: TPM_ALG.ECDSA, details }, curveID: CURVES[algorithm] });
}

/** The use of a user key: `sign`, which for RSA includes decrypting, or `agree` on a secret with others (ECDH). */
export type UserKeyUsage = 'sign' | 'agree';

/**
 * The public area of a user key as Windows Hello makes it: not restricted, no scheme, the policy of
 * `windowsHelloPolicy`; RSA keys can also decrypt. `noDA` exempts the key from the TPM's dictionary attack protection,
 * so do not set it for a key with a PIN. With the usage `agree`, an EC key can decrypt, as TPM2_ECDH_ZGen requires, but
 * not sign. RSA keys do not depend on the usage.
 * @throws TypeError for an unknown option.
 */
export function userKeyTemplate(
  algorithm: UserKeyAlgorithm,
  options: { readonly noDA?: boolean; readonly usage?: UserKeyUsage } = {},
): TpmtPublic {
  const { noDA = false, usage = 'sign' } = checkMembers('userKeyTemplate', options, 'noDA:boolean? usage:=sign|agree?');
  const attributes: TpmaObject = { ...FIXED, userWithAuth: true };
  if (isRsa(algorithm) || usage === 'sign') attributes.sign = true;
  if (isRsa(algorithm) || usage === 'agree') attributes.decrypt = true;
  if (noDA) attributes.noDA = true;
  const common = { ...head(attributes), authPolicy: windowsHelloPolicy() };
  if (isRsa(algorithm)) return rsa(common, { keyBits: RSA_BITS[algorithm] });
  return ecc(common, { curveID: CURVES[algorithm] });
}
