import type { CreationProof, PublicPart } from '../../attestation/statement.ts';
import { type Bytes, toBase64 } from '../../bytes.ts';
import { encodeSpki } from '../../crypto/public-key.ts';
import { JsonMembers } from '../../json.ts';
import type { TpmVendor } from '../../tpm/capabilities.ts';
import { decode } from '../../tpm/codec/index.ts';
import { publicKeyOf } from '../../tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import { requestInvalid } from '../x509/in-request.ts';

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
  /** A certificate that the attestation key has already. */
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

/** What an attestation key is enrolled with. */
export interface SmallstepAttestInput {
  readonly vendor: TpmVendor;
  /** The endorsement key with its certificate, if it has one. */
  readonly ek: PublicPart;
  readonly ak: PublicPart;
  /** The attestation key's proof of its own making: `certifyOwnCreation`. */
  readonly akCreation: CreationProof;
}

/** Builds the body of `POST attest`. Protocol: smallstep/crypto, tpm/attestation. */
export function buildSmallstepAttest({ vendor, ek, ak, akCreation }: SmallstepAttestInput): SmallstepAttestRequest {
  const [akCert] = ak.certificates ?? [];
  return {
    tpmInfo: {
      version: 2,
      manufacturer: String(vendor.manufacturerId),
      model: vendor.vendorString,
      firmwareVersion: `${vendor.firmwareVersion >> 48n}.${(vendor.firmwareVersion >> 32n) & 0xffffn}`,
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

/** The body of `POST secret`: the secret of the credential that came in answer to `attest`, in base64. */
export interface SmallstepSecretRequest {
  readonly secret: string;
}

/** Builds the body of `POST secret`. */
export function buildSmallstepSecret(secret: Uint8Array): SmallstepSecretRequest {
  return { secret: toBase64(secret) };
}

/**
 * Reads the answer to `POST secret`: X.509 certificates in DER, that of the attestation key first. They are not read.
 * @throws KeyprovError `request-invalid` for anything else.
 */
export function parseSmallstepChain(json: unknown): Bytes[] {
  const answer = JsonMembers.parse('smallstep answer', json, requestInvalid);
  const chain = answer.base64List('chain');
  if (chain.length === 0) throw answer.wrong('chain', 'an empty list');
  return chain;
}
