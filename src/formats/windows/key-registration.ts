import type { AttestationStatement } from '../../attestation/statement.ts';
import { type Bytes, checkObject, toBase64 } from '../../bytes.ts';
import { DerNode } from '../../crypto/der-read.ts';
import { TAG } from '../../crypto/der-write.ts';
import { bitLength, checkPublicKey, type PublicKey } from '../../crypto/public-key.ts';
import { isRocaWeak } from '../../crypto/roca.ts';
import { KeyprovError, rethrowAs } from '../../errors.ts';
import { JsonMembers } from '../../json.ts';
import { requestInvalid } from '../x509/in-request.ts';
import { computeKeyId, decodeCngBlob, encodeCngBlob } from './cng-blob.ts';
import { decodeKast, statementFromKast } from './kast.ts';

/**
 * The content of the body of a key registration.
 *
 * `strict` is MS-KPP 3.1.5.1.1.1 as published: only the member `kngc`, an RSA1 blob of 2048 bits and exponent 65537,
 * the only key material that MS-ADTS 2.2.20.5.1 has for such keys. Services of the real protocol accept only this form.
 *
 * `attested` is a profile of this library, for services that agree to it. It adds `AikCertificate` (base64 of DER, or
 * empty) and `AttestationData` (base64 of a KeyAttestationStatement, "KAST", MS-WCCE 2.2.2.5, or empty), and allows any
 * RSA key of at least 2048 bits, and P-256, P-384 and P-521 keys (blobs ECS1, ECS3, ECS5).
 */
export type KeyRegistration =
  | { readonly profile: 'strict'; readonly publicKey: PublicKey }
  | {
      readonly profile: 'attested';
      readonly publicKey: PublicKey;
      /** The KAST; absent if no TPM attests the key. */
      readonly attestation?: Bytes;
      /** The certificate of the attestation key in DER; absent if it has none. */
      readonly aikCertificate?: Bytes;
    };

/** The members of each profile, all of them required. */
const MEMBERS = { strict: ['kngc'], attested: ['kngc', 'AikCertificate', 'AttestationData'] } as const;

/**
 * Builds the JSON body of a key registration, to POST unchanged.
 * @throws KeyprovError `request-invalid` for a key, a certificate or a statement that the profile does not allow.
 *
 * @example
 * ```ts
 * import { buildKeyRegistration, parseKeyRegistration } from 'keyprov/formats/windows';
 * import type { PublicKey } from 'keyprov/formats/x509';
 *
 * declare const publicKey: PublicKey; // RSA with 2048 bits
 * const body = buildKeyRegistration({ profile: 'strict', publicKey }); // {"kngc":"UlNBMQAI…"}
 * console.log(parseKeyRegistration(body, 'strict').publicKey.kty); // RSA
 * ```
 */
export function buildKeyRegistration(registration: KeyRegistration): string {
  check(registration);
  const kngc = toBase64(encodePublicBlob(registration.publicKey));
  if (registration.profile === 'strict') return JSON.stringify({ kngc });
  const { aikCertificate, attestation } = registration;
  const AikCertificate = aikCertificate === undefined ? '' : toBase64(aikCertificate);
  const AttestationData = attestation === undefined ? '' : toBase64(attestation);
  return JSON.stringify({ kngc, AikCertificate, AttestationData });
}

/**
 * Reads the body of a key registration of that profile, as a service would.
 * @throws KeyprovError `request-invalid` for anything that {@link buildKeyRegistration} would not write. Only the order
 * of the members and the white space between them may differ.
 *
 * @example
 * ```ts
 * import { verifyEvidence } from 'keyprov/attestation';
 * import { parseKeyRegistration, statementFromKeyRegistration } from 'keyprov/formats/windows';
 * import { encodeSpki } from 'keyprov/formats/x509';
 *
 * // the body you received, the challenge you issued, the attestation CA roots you trust
 * declare const [body, challenge, akRoots]: [string, Uint8Array, Uint8Array[]];
 * const registration = parseKeyRegistration(body, 'attested');
 * const statement = statementFromKeyRegistration(registration);
 * if (statement === undefined) throw new Error('the key is not attested');
 * const expectedKey = { spki: encodeSpki(registration.publicKey) };
 * console.log(await verifyEvidence(statement, { challenge, expectedKey, akRoots, minTier: 'tpm-no-ek-certificate' }));
 * ```
 */
export function parseKeyRegistration(body: string, profile: KeyRegistration['profile']): KeyRegistration {
  const members = JsonMembers.parse('key registration', body, requestInvalid, MEMBERS[profile]);
  const kngc = members.base64('kngc');
  const blob = inField('kngc', () => decodeCngBlob(kngc));
  if (!['RSA1', 'ECS1', 'ECS3', 'ECS5'].includes(blob.magic))
    throw wrong(`kngc: ${blob.magic} is not a public blob for signing`);
  const publicKey: PublicKey = blob.key;
  let registration: KeyRegistration = { profile: 'strict', publicKey };
  if (profile === 'attested') {
    const attestation = members.base64('AttestationData');
    const aikCertificate = members.base64('AikCertificate');
    registration = {
      profile,
      publicKey,
      ...(attestation.length > 0 && { attestation }),
      ...(aikCertificate.length > 0 && { aikCertificate }),
    };
  }
  check(registration);
  return registration;
}

/**
 * The statement in a registration, with the certificate of the attestation key if it has one, for `verifyStatement` and
 * `verifyEvidence`; `undefined` for a registration without attestation. Pass the registered key to `verifyEvidence` as
 * `expectedKey`, because a KAST may be about another key.
 *
 * @throws KeyprovError as `statementFromKast`.
 *
 * @example
 * ```ts
 * import { type VerifyEvidenceOptions, verifyEvidence } from 'keyprov/attestation';
 * import { type KeyRegistration, statementFromKeyRegistration } from 'keyprov/formats/windows';
 * import { encodeSpki } from 'keyprov/formats/x509';
 *
 * declare const [registration, trust]: [KeyRegistration, VerifyEvidenceOptions]; // from parseKeyRegistration; your choice
 * const statement = statementFromKeyRegistration(registration); // undefined: the key is not attested
 * const expectedKey = { spki: encodeSpki(registration.publicKey) }; // a KAST may be about another key
 * if (statement) console.log(await verifyEvidence(statement, { ...trust, expectedKey }));
 * ```
 */
export function statementFromKeyRegistration(registration: KeyRegistration): AttestationStatement | undefined {
  checkObject(registration, 'the registration', 'profile');
  if (registration.profile === 'strict' || registration.attestation === undefined) return undefined;
  const statement = statementFromKast(decodeKast(registration.attestation));
  const { aikCertificate } = registration;
  if (aikCertificate === undefined) return statement;
  return { ...statement, ak: { ...statement.ak, certificates: [aikCertificate] } };
}

/**
 * The public blob of a key for registration: RSA1, or ECS1, ECS3, ECS5 by curve. Its SHA-256 is the Key ID.
 *
 * @throws KeyprovError `key-invalid` for an invalid key.
 *
 * @example
 * ```ts
 * import { computeKeyIdText, decodeCngBlob, encodePublicBlob } from 'keyprov/formats/windows';
 * import type { PublicKey } from 'keyprov/formats/x509';
 *
 * declare const publicKey: PublicKey;
 * const blob = encodePublicBlob(publicKey); // begins with RSA1, ECS1, ECS3 or ECS5
 * console.log(decodeCngBlob(blob).magic, computeKeyIdText(blob)); // the `kid` of sign-in assertions
 * ```
 */
export function encodePublicBlob(key: PublicKey): Bytes {
  checkObject(key, 'a public key', 'kty');
  if (key.kty === 'RSA') return encodeCngBlob({ magic: 'RSA1', key });
  const magic = ({ 'P-256': 'ECS1', 'P-384': 'ECS3', 'P-521': 'ECS5' } as const)[key.crv];
  return encodeCngBlob({ magic, key });
}

/** The Key ID of a key: `computeKeyId` of its public blob. */
export function keyIdOf(key: PublicKey): Bytes {
  return computeKeyId(encodePublicBlob(key));
}

function check(registration: KeyRegistration): void {
  checkObject(registration, 'a key registration', 'profile', 'publicKey');
  const { profile, publicKey } = registration;
  inField('kngc', () => checkPublicKey(publicKey));
  if (profile === 'strict' && publicKey.kty !== 'RSA') {
    throw wrong(`kngc: it is a ${publicKey.crv} key`, 'use an RSA-2048 key (the strict profile)');
  }
  if (publicKey.kty === 'RSA') {
    const bits = bitLength(publicKey.n);
    const isF4 = toBase64(publicKey.e) === 'AQAB';
    if (!isF4 || bits < 2048 || (profile === 'strict' && bits !== 2048)) {
      const wanted = profile === 'strict' ? 'exactly 2048' : 'at least 2048';
      throw wrong(
        `kngc: wrong RSA size (${bits} bits) or exponent`,
        `use ${wanted} bits and exponent 65537 (the ${profile} profile)`,
      );
    }
    if (isRocaWeak(publicKey.n)) {
      throw wrong('kngc: the key can be broken (ROCA, CVE-2017-15361)', 'update the TPM firmware and make a new key');
    }
  }
  if (profile === 'strict') return;
  const { attestation, aikCertificate } = registration;
  if (attestation !== undefined) inField('AttestationData', () => decodeKast(attestation));
  if (aikCertificate === undefined) return;
  inField('AikCertificate', () => DerNode.strict(aikCertificate, 'certificate').expect(TAG.SEQUENCE));
}

/** Runs `work`, and turns its errors into `request-invalid` with the name of the field. */
function inField<T>(field: string, work: () => T): T {
  return rethrowAs(work, (cause) =>
    wrong(`${field}: ${cause instanceof Error ? cause.message : cause}`, undefined, cause),
  );
}

function wrong(problem: string, remedy?: string, cause?: unknown): KeyprovError {
  return new KeyprovError('request-invalid', `key registration: ${problem}`, {
    cause,
    remedy,
  });
}
