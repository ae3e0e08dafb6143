import type { CreationProof, PublicPart } from '../../attestation/statement.ts';

import { type Bytes, checkBytes, checkList, checkObject, toBase64 } from '../../bytes.ts';
import { decodeSpki, encodeSpki, type PublicKey } from '../../crypto/public-key.ts';
import { JsonMembers } from '../../json.ts';

import type { TpmVendor } from '../../tpm/capabilities.ts';
import { decode } from '../../tpm/codec/index.ts';
import { publicKeyOf } from '../../tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../tpm/structures/object.ts';

import { inRequest, requestInvalid } from '../x509/in-request.ts';

/** The body of `POST attest` of smallstep's attestation CA. Bytes are in standard base64. */
export interface SmallstepAttestRequest {
  readonly tpmInfo: {
    /** 2 for TPM 2.0. */
    readonly version: 2;
    /** TPM_PT_MANUFACTURER in decimal. */
    readonly manufacturer: string;
    readonly model: string;
    /** Major and minor number: `1.2`. */
    readonly firmwareVersion: string;
  };
  /** The endorsement key as SubjectPublicKeyInfo. */
  readonly ek: string;
  readonly ekCerts?: readonly string[];
  /** An existing certificate of the attestation key. */
  readonly akCert?: string;
  /** go-attestation's AttestationParameters. */
  readonly params: {
    /** TPMT_PUBLIC of the attestation key. */
    readonly public: string;
    /** TPMS_CREATION_DATA. */
    readonly createData: string;
    /** TPMS_ATTEST of TPM2_CertifyCreation of the attestation key by itself. */
    readonly createAttestation: string;
    /** TPMT_SIGNATURE over it. */
    readonly createSignature: string;
  };
}

/** Input for enrolling an attestation key. */
export interface SmallstepAttestInput {
  readonly vendor: TpmVendor;
  /** The endorsement key with its certificate, if it has one. */
  readonly ek: PublicPart;
  readonly ak: PublicPart;
  /** The attestation key's creation proof: `certifyOwnCreation`. */
  readonly akCreation: CreationProof;
}

/**
 * Builds the body of `POST attest`. Protocol: smallstep/crypto, tpm/attestation.
 *
 * @throws CodecError if the public area of the EK cannot be read; KeyprovError `key-invalid` for a key of another
 * kind.
 *
 * @example
 * ```ts
 * import { verifyAttestationKey } from 'keyprov/attestation';
 * import { buildSmallstepAttest, parseSmallstepAttest, type SmallstepAttestInput } from 'keyprov/formats/services';
 *
 * declare const input: SmallstepAttestInput;
 * const { ak, akCreation } = parseSmallstepAttest(JSON.stringify(buildSmallstepAttest(input)));
 * console.log(verifyAttestationKey(ak.pubArea, akCreation).ok); // if true, send a credential
 * ```
 */
export function buildSmallstepAttest(input: SmallstepAttestInput): SmallstepAttestRequest {
  const { vendor, ek, ak, akCreation } = checkObject(
    input,
    'input of buildSmallstepAttest',
    'vendor:object',
    'ek:object',
    'ak:object',
    'akCreation:object',
  );
  const { firmwareVersion } = checkObject(vendor, 'vendor', 'firmwareVersion:bigint');
  for (const key of [ek, ak]) checkObject(key, 'each key', 'pubArea:bytes', 'certificates:list?');
  const [akCert] = ak.certificates ?? [];
  return {
    tpmInfo: {
      version: 2,
      manufacturer: String(vendor.manufacturerId),
      model: vendor.vendorString,
      firmwareVersion: `${firmwareVersion >> 48n}.${(firmwareVersion >> 32n) & 0xffffn}`,
    },
    ek: toBase64(encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, ek.pubArea)))),
    ...(ek.certificates && { ekCerts: ek.certificates.map(toBase64) }),
    ...(akCert && { akCert: toBase64(akCert) }),
    params: {
      public: toBase64(ak.pubArea),
      createData: toBase64(akCreation.creationData),
      createAttestation: toBase64(akCreation.certInfo),
      createSignature: toBase64(akCreation.signature),
    },
  };
}

/** The content of the body of `POST attest`, not verified. */
export interface ParsedSmallstepAttest {
  readonly tpmInfo: SmallstepAttestRequest['tpmInfo'];
  /** The endorsement key, for `buildEkPublicArea`. */
  readonly ek: PublicKey;
  /** X.509 certificates of the endorsement key in DER, its own first. */
  readonly ekCertificates: readonly Bytes[];
  readonly ak: PublicPart & { readonly pubArea: Bytes };
  /** For `verifyAttestationKey`. */
  readonly akCreation: CreationProof;
}

/**
 * Reads the body of `POST attest`, as text or parsed JSON. Verify it with `verifyAttestationKey`. Then use
 * `makeCredential` and `encodeSmallstepCredential` to have the TPM prove that it has both keys.
 *
 * @throws KeyprovError `request-invalid` for anything else.
 */
export function parseSmallstepAttest(json: unknown): ParsedSmallstepAttest {
  const body = JsonMembers.parse(ATTEST, json, requestInvalid, ['tpmInfo', 'ek', 'ekCerts', 'akCert', 'params']);
  const [info, params] = [body.members('tpmInfo'), body.members('params')];
  const [ek, pubArea] = [body.base64('ek'), params.base64('public')];
  if (info.value('version') !== 2) throw info.wrong('version', 'not 2 (TPM 2.0)');
  inRequest(`${ATTEST}: params: public`, () => decode(TPMT_PUBLIC, pubArea));
  return {
    tpmInfo: {
      version: 2,
      manufacturer: info.text('manufacturer'),
      model: info.text('model'),
      firmwareVersion: info.text('firmwareVersion'),
    },
    ek: inRequest(`${ATTEST}: ek`, () => decodeSpki(ek)),
    ekCertificates: body.has('ekCerts') ? body.base64List('ekCerts') : [],
    ak: { pubArea, ...(body.has('akCert') && { certificates: [body.base64('akCert')] }) },
    akCreation: {
      creationData: params.base64('createData'),
      certInfo: params.base64('createAttestation'),
      signature: params.base64('createSignature'),
    },
  };
}

const ATTEST = 'smallstep attest';

/** The body of `POST secret`: the secret of the credential from the response to `attest`, in base64. */
export interface SmallstepSecretRequest {
  readonly secret: string;
}

/**
 * Builds the body of `POST secret`.
 * @throws TypeError for anything but bytes.
 *
 * @example
 * ```ts
 * import { buildSmallstepSecret, parseSmallstepSecret } from 'keyprov/formats/services';
 *
 * declare const secret: Uint8Array; // from activateCredential
 * const body = JSON.stringify(buildSmallstepSecret(secret)); // {"secret":"…"}
 * console.log(parseSmallstepSecret(body).length === secret.length);
 * ```
 */
export function buildSmallstepSecret(secret: Uint8Array): SmallstepSecretRequest {
  checkBytes(secret, 'the secret');
  return { secret: toBase64(secret) };
}

/**
 * Reads the body of `POST secret`, as text or parsed JSON.
 * @throws KeyprovError `request-invalid` for anything else.
 */
export function parseSmallstepSecret(json: unknown): Bytes {
  return JsonMembers.parse('smallstep secret', json, requestInvalid, ['secret']).base64('secret');
}

/** The response to `POST secret`: certificates in base64. */
export interface SmallstepChain {
  readonly chain: readonly string[];
}

/**
 * Builds the response to `POST secret` from X.509 certificates in DER, the attestation key's first.
 * @throws TypeError for anything but an array of bytes, and for an empty one.
 *
 * @example
 * ```ts
 * import { buildSmallstepChain, parseSmallstepChain } from 'keyprov/formats/services';
 *
 * declare const certificates: Uint8Array[]; // the attestation key's certificate, then the CA certificates
 * const answer = JSON.stringify(buildSmallstepChain(certificates)); // {"chain":["…"]}
 * console.log(parseSmallstepChain(answer).length === certificates.length);
 * ```
 */
export function buildSmallstepChain(certificates: readonly Uint8Array[]): SmallstepChain {
  if (checkList(certificates, 'a chain').length === 0) throw new TypeError('a chain needs a certificate');
  for (const certificate of certificates) checkBytes(certificate, 'each certificate');
  return { chain: certificates.map(toBase64) };
}

/**
 * Reads the response to `POST secret`: X.509 certificates in DER, unparsed, the attestation key's first.
 * @throws KeyprovError `request-invalid` for anything else.
 */
export function parseSmallstepChain(json: unknown): Bytes[] {
  const answer = JsonMembers.parse('smallstep response', json, requestInvalid);
  const chain = answer.base64List('chain');
  if (chain.length === 0) throw answer.wrong('chain', 'it is empty');
  return chain;
}
