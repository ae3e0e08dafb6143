import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { AttestationStatement, CreationProof } from '../../../src/attestation/index.ts';
import { type Bytes, copy, fromBase64Url, fromHex } from '../../../src/bytes.ts';
import { digest } from '../../../src/crypto/kdf.ts';
import { encode } from '../../../src/tpm/codec/index.ts';
import { HASHES, type HashAlg, TPM_ALG, TPM_GENERATED_VALUE, TPM_RH, TPM_ST } from '../../../src/tpm/constants.ts';
import { handleName, objectName, qualifiedName } from '../../../src/tpm/names.ts';
import { TPMT_SIGNATURE, type TpmtSignature } from '../../../src/tpm/structures/algorithm.ts';
import { TPMS_ATTEST, type TpmsAttest } from '../../../src/tpm/structures/attest.ts';
import {
  TPMS_CREATION_DATA,
  TPMT_PUBLIC,
  type TpmsCreationData,
  type TpmtPublic,
} from '../../../src/tpm/structures/object.ts';
import { akTemplate, userKeyTemplate } from '../../../src/tpm/templates.ts';

export type Kind = 'rsa-2048' | 'p-256';

/** A key pair with the public area that a TPM would give it. */
export interface PaperKey {
  readonly privateKey: KeyObject;
  readonly area: TpmtPublic;
}

const pairs = new Map<string, { privateKey: KeyObject; jwk: { n?: string; x?: string; y?: string } }>();

/** The key pair with that name, the same each time. */
function pairOf(kind: Kind, name: string) {
  const id = `${kind} ${name}`;
  const known = pairs.get(id);
  if (known !== undefined) return known;
  const { privateKey, publicKey } =
    kind === 'rsa-2048'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pair = { privateKey, jwk: publicKey.export({ format: 'jwk' }) };
  pairs.set(id, pair);
  return pair;
}

/** A key of the template, with the changes that `change` makes to it. */
export function paperKey(
  template: TpmtPublic,
  name: string,
  change: (area: TpmtPublic) => TpmtPublic = (area) => area,
): PaperKey {
  const { privateKey, jwk } = pairOf(template.type === TPM_ALG.RSA ? 'rsa-2048' : 'p-256', name);
  const bytes = (member: string | undefined) => fromBase64Url(member ?? '');
  const area: TpmtPublic =
    template.type === TPM_ALG.RSA
      ? { ...template, unique: bytes(jwk.n) }
      : template.type === TPM_ALG.ECC
        ? { ...template, unique: { x: bytes(jwk.x), y: bytes(jwk.y) } }
        : template;
  return { privateKey, area: change(area) };
}

/** Signs as a TPM would, by the scheme of the key. */
export function signAs({ privateKey, area }: PaperKey, data: Uint8Array, hash: HashAlg = TPM_ALG.SHA256): Bytes {
  const { name } = HASHES[hash];
  let signature: TpmtSignature;
  if (area.type === TPM_ALG.RSA) {
    const sig = sign(name, data, privateKey);
    signature = { sigAlg: TPM_ALG.RSASSA, signature: { hash, sig } };
  } else {
    const raw = sign(name, data, { key: privateKey, dsaEncoding: 'ieee-p1363' });
    const [signatureR, signatureS] = [raw.subarray(0, 32), raw.subarray(32)];
    signature = { sigAlg: TPM_ALG.ECDSA, signature: { hash, signatureR, signatureS } };
  }
  return encode(TPMT_SIGNATURE, signature);
}

/** Deviations from a real TPM. */
export interface Changes {
  readonly key?: (area: TpmtPublic) => TpmtPublic;
  readonly ak?: (area: TpmtPublic) => TpmtPublic;
  readonly certInfo?: (attest: TpmsAttest) => TpmsAttest;
  readonly certInfoBytes?: (bytes: Bytes) => Bytes;
  readonly creation?: (attest: TpmsAttest) => TpmsAttest;
  readonly creationData?: (data: TpmsCreationData) => TpmsCreationData;
  readonly akCreation?: (attest: TpmsAttest) => TpmsAttest;
  readonly signer?: PaperKey;
  readonly signatureHash?: HashAlg;
}

export const CHALLENGE: Bytes = fromHex('00112233445566778899aabbccddeeff');
export const SRK_NAME: Bytes = qualifiedName(handleName(TPM_RH.OWNER), fromHex(`000b${'5a'.repeat(32)}`));
const ENDORSEMENT = handleName(TPM_RH.ENDORSEMENT);
const EMPTY = new Uint8Array(0);

/** A statement about a `keyKind` key certified by an `akKind` key, genuine apart from `changes`. */
export function paperStatement(keyKind: Kind, akKind: Kind, changes: Changes = {}): AttestationStatement {
  const same = <T>(value: T): T => value;
  const key = paperKey(userKeyTemplate(keyKind), 'user', changes.key);
  const ak = paperKey(akTemplate(akKind), 'ak', changes.ak);
  const signer = changes.signer ?? ak;
  const [keyName, akName] = [objectName(key.area), objectName(ak.area)];
  const head = {
    magic: TPM_GENERATED_VALUE,
    qualifiedSigner: qualifiedName(ENDORSEMENT, akName),
    extraData: CHALLENGE,
    clockInfo: { clock: 123456789n, resetCount: 3, restartCount: 1, safe: 1 },
    firmwareVersion: 0x20191023_00163636n,
  } as const;
  const signed = (attest: TpmsAttest, change = same<Bytes>) => {
    const certInfo = change(encode(TPMS_ATTEST, attest));
    return { certInfo, signature: signAs(signer, certInfo, changes.signatureHash) };
  };
  const created = (
    objectName: Uint8Array,
    parent: Uint8Array,
    outsideInfo: Uint8Array,
    extraData: Uint8Array,
    change = same<TpmsAttest>,
  ): CreationProof => {
    const data = (changes.creationData ?? same)({
      pcrSelect: [],
      pcrDigest: digest('sha256'),
      locality: { locZero: true },
      parentNameAlg: TPM_ALG.SHA256,
      parentName: parent,
      parentQualifiedName: parent,
      outsideInfo,
    });
    const creationData = encode(TPMS_CREATION_DATA, data);
    const attested = { objectName, creationHash: digest('sha256', creationData) };
    return { creationData, ...signed(change({ ...head, type: TPM_ST.ATTEST_CREATION, extraData, attested })) };
  };
  const certified: TpmsAttest = {
    ...head,
    type: TPM_ST.ATTEST_CERTIFY,
    attested: { name: keyName, qualifiedName: qualifiedName(SRK_NAME, keyName) },
  };
  return {
    version: 1,
    pubArea: encode(TPMT_PUBLIC, key.area),
    ...signed((changes.certInfo ?? same)(certified), changes.certInfoBytes),
    ak: { pubArea: encode(TPMT_PUBLIC, ak.area) },
    creation: created(keyName, SRK_NAME, EMPTY, CHALLENGE, changes.creation),
    akCreation: created(akName, ENDORSEMENT, EMPTY, EMPTY, changes.akCreation),
  };
}

/** The same with byte `at` XOR `mask`. */
export function flipped(bytes: Uint8Array, at: number, mask = 1): Bytes {
  const other = copy(bytes);
  other[at] = (other[at] ?? 0) ^ mask;
  return other;
}
