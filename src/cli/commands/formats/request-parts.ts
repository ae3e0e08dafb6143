import type { AttestationStatement } from '../../../attestation/index.ts';
import type { Bytes } from '../../../bytes.ts';
import { encodePem } from '../../../crypto/pem.ts';
import { SelectionError } from '../../../errors/selection-error.ts';
import type { SigningKey } from '../../../formats/services/jws.ts';
import { COSE_ALG, type CoseKey } from '../../../formats/webauthn/cose-key.ts';
import { computeRpIdHash, encodeAuthenticatorData } from '../../../formats/webauthn/webauthn-authenticator-data.ts';
import { buildWebauthnClientData } from '../../../formats/webauthn/webauthn-client-data.ts';
import type { WebauthnContext } from '../../../formats/webauthn/webauthn-tpm.ts';
import { type BuildKastOptions, buildKast } from '../../../formats/windows/kast.ts';
import { keyIdOf } from '../../../formats/windows/key-registration.ts';
import { buildWcceAttributes, type EndorsementKeyInfo } from '../../../formats/windows/ms-wcce.ts';
import type { Attribute } from '../../../formats/x509/attributes.ts';
import { buildCertificateRequest } from '../../../formats/x509/certificate-request.ts';
import { buildCommonName } from '../../../formats/x509/names.ts';
import { decodeKeyFile } from '../../../keys/key-file.ts';
import type { KeyRecord } from '../../../keys/key-record.ts';
import { decode } from '../../../tpm/codec/index.ts';
import { publicKeyOf } from '../../../tpm/public-key.ts';
import { TPM2B_PRIVATE, TPMT_PUBLIC } from '../../../tpm/structures/object.ts';
import { UsageError } from '../../options/arguments.ts';
import type { FormatOption, FormatOptions } from '../../options/format-options.ts';

/** The input of a request format. */
export interface RequestInput {
  readonly key: KeyRecord;
  readonly signing: SigningKey;
  /** Undefined if the format needs none, and for a software key. */
  readonly statement: AttestationStatement | undefined;
  readonly options: FormatOptions;
  /** Asks the TPM for its endorsement key. */
  readonly endorsementKey: () => Promise<EndorsementKeyInfo>;
}

/** A text with a line break. */
export const line = (text: string): string => `${text}\n`;
/** JSON for people too. */
export const json = (value: object): string => line(JSON.stringify(value, undefined, 2));

/** The value of an option, or of the record. */
export function textOf({ texts }: FormatOptions, name: FormatOption, fallback?: string): string {
  const value = texts.get(name) ?? fallback;
  if (value === undefined) throw new UsageError([`--${name} is missing: the format needs it, and the record has none`]);
  return value;
}

/** The statement. @throws KeyprovError `attestation-unavailable` if there is none. */
export function statementOf({ statement }: RequestInput): AttestationStatement {
  if (statement !== undefined) return statement;
  throw new SelectionError('attestation-unavailable', 'a software key cannot be attested', [], {
    remedy: 'choose a format without a statement, or a key in a TPM',
  });
}

/** A certificate request in PEM, with these attributes. */
export async function csrOf(
  { key, signing, options }: RequestInput,
  attributes: readonly Attribute[],
): Promise<string> {
  const subject = buildCommonName(textOf(options, 'name', options.texts.get('for-user') ?? key.user));
  return encodePem('CERTIFICATE REQUEST', await buildCertificateRequest({ subject, attributes }, signing));
}

/** The statement as KeyAttestationStatement. */
export async function kastOf(input: RequestInput, claim: BuildKastOptions['claim']): Promise<Bytes> {
  const { key } = input;
  const statement = statementOf(input);
  const { privateArea } = await decodeKeyFile(key.privateKey);
  const options = { claim, privateArea: decode(TPM2B_PRIVATE, privateArea), authRequired: key.hasPin };
  return buildKast(statement, options);
}

/** The attributes that AD CS needs in a request with key attestation. */
export async function wcceAttributes(input: RequestInput): Promise<Attribute[]> {
  const { exchangeCertificate, akCertificates } = input.options;
  if (exchangeCertificate === undefined) throw new UsageError(['--exchange-certificate has no certificate']);
  const [certificate] = akCertificates;
  if (certificate === undefined) {
    const kast = await kastOf(input, 'authority-and-subject');
    return buildWcceAttributes({ kast, keyInfo: { ek: await input.endorsementKey() }, exchangeCertificate });
  }
  const kast = await kastOf(input, 'subject-only');
  const publicKey = publicKeyOf(decode(TPMT_PUBLIC, statementOf(input).ak.pubArea));
  return buildWcceAttributes({ kast, keyInfo: { aik: { publicKey, certificate } }, exchangeCertificate });
}

/** The credential id: the Key ID. */
export const idOf = ({ key }: Pick<RequestInput, 'key'>): Bytes => keyIdOf(key.publicKey);

/** The key, with the algorithm that it signs with. */
export function coseKey({ publicKey }: Pick<KeyRecord, 'publicKey'>): CoseKey {
  if (publicKey.kty === 'RSA') return { publicKey, algorithm: COSE_ALG.RS256 };
  const algorithm = ({ 'P-256': COSE_ALG.ES256, 'P-384': COSE_ALG.ES384, 'P-521': COSE_ALG.ES512 } as const)[
    publicKey.crv
  ];
  return { publicKey, algorithm };
}

/** Authenticator data with the key as credential, and client data. */
export function webauthnContext(input: Omit<RequestInput, 'statement'>): WebauthnContext {
  const { key, options } = input;
  const authData = encodeAuthenticatorData({
    rpIdHash: computeRpIdHash(textOf(options, 'rp-id')),
    ...{ userPresent: true, userVerified: key.hasPin, backupEligible: false, backedUp: false, signCount: 0 },
    credential: { aaguid: new Uint8Array(16), credentialId: idOf(input), key: coseKey(key) },
  });
  const { challenge = new Uint8Array(0) } = options;
  const origin = textOf(options, 'origin');
  const clientDataJson = buildWebauthnClientData({ type: 'webauthn.create', challenge, origin, crossOrigin: false });
  return { authData, clientDataJson };
}
