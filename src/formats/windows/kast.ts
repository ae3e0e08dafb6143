import { decodeBareSignature, encodeBareSignature } from '../../attestation/signature.ts';
import type { AttestationStatement, CreationProof } from '../../attestation/statement.ts';
import { type Bytes, checkObject, concat, EMPTY, equal } from '../../bytes.ts';
import { KeyprovError } from '../../errors.ts';
import { checkMembers } from '../../known-members.ts';
import { bytes16, decode, encode, struct } from '../../tpm/codec/index.ts';
import { TPM_ALG } from '../../tpm/constants.ts';
import { windowsHelloBranches, windowsHelloPolicy } from '../../tpm/policy-digest.ts';
import { TPMT_SIGNATURE, type TpmtSignature } from '../../tpm/structures/algorithm.ts';
import { TPM2B_ATTEST, TPMS_ATTEST } from '../../tpm/structures/attest.ts';
import { TPMS_CREATION_DATA, TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import { CountedParts, littleEndian32s } from '../tcg/counted-parts.ts';
import { decodeKads, encodeKads, type Kads } from './kads.ts';
import { hasPcpPolicy, type PcpKeyBlob } from './pcp-key-blob.ts';

/** An attestation key, and its TPM2_CertifyCreation by itself. */
export interface IdBinding extends CreationProof {
  /** TPMT_PUBLIC. */
  readonly pubArea: Uint8Array;
}

/**
 * A KeyAttestationStatement, MS-WCCE 2.2.2.5, for TPM 2.0: "KAST". Its parts depend on the claim: AUTHORITY_ONLY has
 * the idBinding, SUBJECT_ONLY the keyAttestation, AUTHORITY_AND_SUBJECT both.
 */
export interface Kast {
  readonly idBinding?: IdBinding;
  readonly keyAttestation?: Kads;
  /** The attestation key as its provider stores it; usually empty. */
  readonly aikOpaque: Uint8Array;
}

const MAGIC = 0x5453414b;
const VERSION = 1;
const TPM_2_0 = 2;
const HEADER_SIZE = 28;

const ID_BINDING = struct<Omit<IdBinding, 'signature'> & { readonly signature: TpmtSignature }>('idBinding', {
  pubArea: bytes16('TPM2B_PUBLIC', 0xffff),
  creationData: bytes16('TPM2B_CREATION_DATA', 0xffff),
  certInfo: TPM2B_ATTEST,
  signature: TPMT_SIGNATURE,
});

/** The bytes of a KAST. @throws CodecError for a part that does not fit. */
export function encodeKast(kast: Kast): Bytes {
  const { idBinding, keyAttestation, aikOpaque } = checkObject(
    kast,
    'a KAST',
    'idBinding:object?',
    'keyAttestation:object?',
    'aikOpaque:bytes',
  );
  const parts = [
    idBinding === undefined ? EMPTY : encodeIdBinding(idBinding),
    keyAttestation === undefined ? EMPTY : encodeKads(keyAttestation),
    aikOpaque,
  ];
  const sizes = parts.map(({ length }) => length);
  return concat(littleEndian32s(MAGIC, VERSION, TPM_2_0, HEADER_SIZE, ...sizes), ...parts);
}

/** The inverse of {@link encodeKast}. @throws KeyprovError `request-invalid` for anything else. */
export function decodeKast(bytes: Uint8Array): Kast {
  const reader = new CountedParts('KAST', bytes);
  const [magic, version, platform, headerSize, ...sizes] = reader.header(HEADER_SIZE / 4);
  if (magic !== MAGIC) throw reader.invalid('it does not begin with KAST');
  if (version !== VERSION) throw reader.invalid(`its version is ${version}, not ${VERSION}`);
  if (platform !== TPM_2_0) throw reader.invalid(`its platform is ${platform}, not ${TPM_2_0} (TPM 2.0)`);
  if (headerSize !== HEADER_SIZE) throw reader.invalid(`the size of its header is ${headerSize}, not ${HEADER_SIZE}`);
  const [idBinding = EMPTY, keyAttestation = EMPTY, aikOpaque = EMPTY] = reader.parts(HEADER_SIZE, sizes);
  return reader.read(() => ({
    ...(idBinding.length > 0 && { idBinding: decodeIdBinding(idBinding) }),
    ...(keyAttestation.length > 0 && { keyAttestation: decodeKads(keyAttestation) }),
    aikOpaque,
  }));
}

function encodeIdBinding(idBinding: IdBinding): Bytes {
  return encode(ID_BINDING, { ...idBinding, signature: decode(TPMT_SIGNATURE, idBinding.signature) });
}

function decodeIdBinding(bytes: Uint8Array): IdBinding {
  const { signature, ...parts } = decode(ID_BINDING, bytes);
  decode(TPMT_PUBLIC, parts.pubArea);
  decode(TPMS_CREATION_DATA, parts.creationData);
  decode(TPMS_ATTEST, parts.certInfo);
  return { ...parts, signature: encode(TPMT_SIGNATURE, signature) };
}

/** Options of {@link buildKast}. */
export interface BuildKastOptions {
  /** The claim of NCryptCreateClaim: NCRYPT_CLAIM_AUTHORITY_AND_SUBJECT or NCRYPT_CLAIM_SUBJECT_ONLY. */
  readonly claim: 'authority-and-subject' | 'subject-only';
  /**
   * The content of the key's TPM2B_PRIVATE, as Windows sends it. Empty: it is left out, which MS-WCCE allows, since the
   * key blob is "CSP-specific" (2.2.2.5), and so is its verification (3.2.2.6.2.1.2.5, step 4).
   */
  readonly privateArea: Uint8Array;
  /** Whether use of the key needs an authorization value, such as a PIN. */
  readonly authRequired: boolean;
}

/**
 * Builds the KAST of a statement. The key must have the Windows Hello policy or none, and the attestation key must sign
 * with RSASSA. The claim `authority-and-subject` needs the statement's `akCreation`.
 *
 * @throws KeyprovError `request-invalid` for a statement that a KAST cannot hold.
 *
 * @example
 * ```ts
 * import type { AttestationStatement } from 'keyprov/attestation';
 * import { buildKast, decodeKast, encodeKast, statementFromKast } from 'keyprov/formats/windows';
 *
 * declare const [statement, privateArea]: [AttestationStatement, Uint8Array];
 * const kast = buildKast(statement, { claim: 'authority-and-subject', privateArea, authRequired: true });
 * const parts = decodeKast(kast);
 * console.log(encodeKast(parts).length === kast.length, statementFromKast(parts).certInfo.length);
 * ```
 */
export function buildKast(statement: AttestationStatement, options: BuildKastOptions): Bytes {
  const { claim, privateArea, authRequired } = checkMembers(
    'buildKast',
    options,
    'claim:=authority-and-subject|subject-only privateArea:bytes authRequired:boolean',
  );
  checkObject(statement, 'a statement', 'pubArea:bytes', 'certInfo:bytes', 'signature:bytes', 'ak:object');
  const { pubArea, certInfo, ak, akCreation } = statement;
  const signature = decode(TPMT_SIGNATURE, statement.signature);
  if (signature.sigAlg !== TPM_ALG.RSASSA) throw invalid('it can contain only an RSASSA signature');
  const keyBlob: PcpKeyBlob = {
    form: 'windows-10',
    flags: authRequired ? 1 : 0,
    pcrAlgId: 0,
    pubArea,
    privateArea,
    policyDigests: branchesOf(pubArea),
    otherParts: {},
  };
  const keyAttestation = { certInfo, signature: encodeBareSignature(signature), keyBlob };
  if (claim === 'subject-only') return encodeKast({ keyAttestation, aikOpaque: EMPTY });
  if (akCreation === undefined) throw invalid('the statement has no creation proof for the attestation key');
  return encodeKast({ idBinding: { pubArea: ak.pubArea, ...akCreation }, keyAttestation, aikOpaque: EMPTY });
}

/**
 * Returns the statement in a KAST, for `verifyStatement`. Pass the key of the request that contains the KAST as
 * `expectedKey`. What the KAST leaves out comes from the attestation key's public area: the one in the KAST, or, for a
 * claim of the subject only, the TPMT_PUBLIC in `akPubArea`.
 *
 * @throws KeyprovError `request-invalid` without a key attestation or an attestation key, with two different
 * attestation keys, or with policies that do not match the key's authPolicy; `statement-invalid` for an attestation key
 * without a signing scheme.
 */
export function statementFromKast(kast: Kast, akPubArea?: Uint8Array): AttestationStatement {
  checkObject(kast, 'the KAST');
  const { idBinding, keyAttestation } = kast;
  if (keyAttestation === undefined) throw invalid('it does not attest a key');
  const { certInfo, signature, keyBlob } = keyAttestation;
  if (!hasPcpPolicy(keyBlob)) throw invalid("the list of policies does not match the key's authPolicy");
  const pubArea = idBinding?.pubArea ?? akPubArea;
  if (pubArea === undefined) throw invalid('it does not contain the attestation key');
  if (akPubArea !== undefined && !equal(pubArea, akPubArea)) throw invalid('it contains another attestation key');
  const full = decodeBareSignature(decode(TPMT_PUBLIC, pubArea), signature);
  return {
    version: 1,
    pubArea: keyBlob.pubArea,
    certInfo,
    signature: encode(TPMT_SIGNATURE, full),
    ak: { pubArea },
    ...(idBinding !== undefined && { akCreation: creationProofOf(idBinding) }),
  };
}

const creationProofOf = ({ creationData, certInfo, signature }: IdBinding): CreationProof => ({
  creationData,
  certInfo,
  signature,
});

/** The branches to list for the authPolicy of a key. */
function branchesOf(pubArea: Uint8Array): readonly Uint8Array[] {
  const { authPolicy } = decode(TPMT_PUBLIC, pubArea);
  if (authPolicy.length === 0) return [];
  if (equal(authPolicy, windowsHelloPolicy())) return windowsHelloBranches();
  throw invalid("the key's policy is not the Windows Hello policy");
}

const invalid = (problem: string): KeyprovError => new KeyprovError('request-invalid', `KAST: ${problem}`);
