import { type Bytes, checkObject, toBase64, utf8 } from '../../bytes.ts';
import { DerNode } from '../../crypto/der-read.ts';
import { TAG } from '../../crypto/der-write.ts';
import { decodePkcs1, decodeSpki, encodePkcs1, encodeSpki, type PublicKey } from '../../crypto/public-key.ts';
import { JsonMembers } from '../../json.ts';
import { checkSize, LIMIT } from '../../limits.ts';
import { decode } from '../../tpm/codec/index.ts';
import { publicKeyOf } from '../../tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import {
  type AuthenticatorData,
  decodeAuthenticatorData,
  encodeAuthenticatorData,
} from '../webauthn/webauthn-authenticator-data.ts';
import { inRequest, requestInvalid } from '../x509/in-request.ts';
import { decodeCngBlob } from './cng-blob.ts';
import { encodePublicBlob } from './key-registration.ts';
import { decodePcpKeyBlob, encodePcpKeyBlob, type PcpKeyBlob } from './pcp-key-blob.ts';

/**
 * The key material of a key credential, by form: a CNG blob (user keys), PKCS#1 or SPKI in DER (computers), a PCP key
 * blob (device keys in a TPM), or the JSON of a FIDO key. MS-ADTS 2.2.20.5 has only the first.
 */
export type KeyMaterial =
  | { readonly form: 'cng' | 'pkcs1' | 'spki'; readonly publicKey: PublicKey }
  | { readonly form: 'pcpm'; readonly publicKey: PublicKey; readonly keyBlob: PcpKeyBlob }
  | FidoKeyMaterial;

/** A FIDO key as Entra ID registers it: JSON with authenticator data and certificates in base64. */
export interface FidoKeyMaterial {
  readonly form: 'fido';
  readonly publicKey: PublicKey;
  readonly displayName: string;
  readonly authData: AuthenticatorData;
  /** X.509 in DER, in the original order. */
  readonly certificates: readonly Bytes[];
}

const WHAT = 'key material';

/**
 * The bytes of key material. Writes `cng` as {@link encodePublicBlob} does: RSA1, or ECS1, ECS3, ECS5 by curve.
 * @throws KeyprovError `key-invalid` for an invalid key; TypeError for `pkcs1` with a key that is not RSA.
 */
export function encodeKeyMaterial(material: KeyMaterial): Bytes {
  const { publicKey } = checkObject(material, 'key material', 'form', 'publicKey');
  switch (material.form) {
    case 'cng':
      return encodePublicBlob(publicKey);
    case 'pkcs1':
      if (publicKey.kty !== 'RSA') throw new TypeError('PKCS#1 is for RSA keys');
      return encodePkcs1(publicKey);
    case 'spki':
      return encodeSpki(publicKey);
    case 'pcpm':
      return encodePcpKeyBlob(material.keyBlob);
    case 'fido': {
      const authData = toBase64(encodeAuthenticatorData(material.authData));
      const { certificates, displayName } = checkObject(material, 'key material', 'certificates:list');
      return utf8(JSON.stringify({ version: 1, authData, x5c: certificates.map(toBase64), displayName }));
    }
  }
}

/**
 * Reads key material, whose first bytes tell its form; `undefined` for an unknown form.
 * @throws KeyprovError `request-invalid` if it begins like a known form but is not valid.
 *
 * @example
 * ```ts
 * import { decodeKeyMaterial, encodeKeyMaterial, parseKeyCredentialLink } from 'keyprov/formats/windows';
 *
 * declare const value: Uint8Array; // the binary part of an msDS-KeyCredentialLink value
 * const material = decodeKeyMaterial(parseKeyCredentialLink(value).keyMaterial);
 * console.log(material?.form, material?.publicKey.kty, material && encodeKeyMaterial(material).length);
 * ```
 */
export function decodeKeyMaterial(bytes: Uint8Array): KeyMaterial | undefined {
  checkSize(bytes, LIMIT.structure, (problem) => requestInvalid(WHAT, problem));
  return inRequest(WHAT, () => {
    const start = String.fromCharCode(...bytes.subarray(0, 4));
    if (/^(?:RSA1|EC[SK][135]|EC[DK]P)$/.test(start)) return { form: 'cng', publicKey: decodeCngBlob(bytes).key };
    if (start === 'PCPM') {
      const keyBlob = decodePcpKeyBlob(bytes);
      return { form: 'pcpm', publicKey: publicKeyOf(decode(TPMT_PUBLIC, keyBlob.pubArea)), keyBlob };
    }
    if (start.startsWith('{')) return readFido(bytes);
    if (bytes[0] !== TAG.SEQUENCE) return undefined;
    return DerNode.strict(bytes, WHAT).content[0] === TAG.INTEGER
      ? { form: 'pkcs1', publicKey: decodePkcs1(bytes) }
      : { form: 'spki', publicKey: decodeSpki(bytes) };
  });
}

function readFido(bytes: Uint8Array): FidoKeyMaterial {
  const object = JsonMembers.parse(WHAT, bytes, requestInvalid);
  const authData = decodeAuthenticatorData(object.base64('authData'));
  if (authData.credential === undefined) throw object.wrong('authData', 'has no credential');
  return {
    form: 'fido',
    publicKey: authData.credential.key.publicKey,
    displayName: object.has('displayName') ? object.text('displayName') : '',
    authData,
    certificates: object.has('x5c') ? object.base64List('x5c') : [],
  };
}
