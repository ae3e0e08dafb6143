import { equal, toHex, uint16At, uint32At } from '../bytes.ts';
import { type Codec, decode } from '../tpm/codec/index.ts';
import { TPM_GENERATED_VALUE } from '../tpm/constants.ts';
import { nvName, objectName } from '../tpm/names.ts';
import { windowsHelloPolicy } from '../tpm/policy-digest.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import { TPM2B_ENCRYPTED_SECRET, TPMT_SIGNATURE } from '../tpm/structures/algorithm.ts';
import { TPM2B_ATTEST_DECODED, TPMS_ATTEST, type TpmsAttest } from '../tpm/structures/attest.ts';
import { TPMT_TK_CREATION } from '../tpm/structures/base.ts';
import { TPM2B_NV_PUBLIC, TPMS_NV_PUBLIC, type TpmsNvPublic } from '../tpm/structures/nv.ts';
import {
  TPM2B_CREATION_DATA,
  TPM2B_ID_OBJECT,
  TPM2B_PRIVATE,
  TPM2B_PUBLIC,
  TPMS_CREATION_DATA,
  TPMT_PUBLIC,
  type TpmtPublic,
} from '../tpm/structures/object.ts';
import { describePublicKey } from './describe-key.ts';
import { describeStructure } from './describe-structure.ts';
import { bytesField, field, nested, orNothing, secretField } from './fields.ts';
import type { Format } from './format.ts';
import type { Description, Field } from './inspection.ts';

/** A public area with what follows from it: its Name, and its key. */
export function describePublicArea(area: TpmtPublic): Description {
  const problems: string[] = [];
  const fields: Field[] = [
    ...describeStructure(TPMT_PUBLIC, area),
    bytesField(
      'Name',
      nameOf(() => objectName(area)),
    ),
  ];
  if (equal(area.authPolicy, windowsHelloPolicy())) fields.push(field('policy', 'the Windows Hello key policy'));
  const key = keyOf(area);
  if (key !== undefined) fields.push(nested('key', key, problems));
  const title = `TPM object (${area.objectAttributes.restricted ? 'restricted ' : ''}${key?.title ?? 'no public key'})`;
  return { title, problems, fields };
}

/** Templates have no key. Objects with an unsupported hash algorithm have no Name. */
const keyOf = (area: TpmtPublic): Description | undefined => orNothing(() => describePublicKey(publicKeyOf(area)));
const nameOf = (work: () => Uint8Array): Uint8Array => orNothing(work) ?? new Uint8Array(0);

/** What a TPM attests. */
function describeAttest(attest: TpmsAttest): Description {
  return { title: 'TPM attestation', problems: [], fields: describeStructure(TPMS_ATTEST, attest) };
}

/** A structure inside another one, decoded. @throws CodecError for other bytes. */
export const structureField = <T>(name: string, codec: Codec<T>, bytes: Uint8Array): Field => ({
  name,
  fields: describeStructure(codec, decode(codec, bytes)),
});

/** A TPMT_PUBLIC inside another structure. @throws CodecError for other bytes. */
export const publicAreaField = (name: string, pubArea: Uint8Array, problems: string[]): Field =>
  nested(name, describePublicArea(decode(TPMT_PUBLIC, pubArea)), problems);

/** What was attested, and its signature. Adds a problem if it is not about the object with this TPMT_PUBLIC. */
export function certificationFields(
  certification: { readonly certInfo: Uint8Array; readonly signature?: Uint8Array },
  pubArea: Uint8Array | undefined,
  problems: string[],
): Field[] {
  const attest = decode(TPMS_ATTEST, certification.certInfo);
  if (pubArea !== undefined && 'name' in attest.attested) {
    const name = objectName(decode(TPMT_PUBLIC, pubArea));
    if (!equal(name, attest.attested.name))
      problems.push(`the statement certifies ${toHex(attest.attested.name)}, not the key`);
  }
  const { signature } = certification;
  const signatureFields = signature === undefined ? [] : [structureField('signature', TPMT_SIGNATURE, signature)];
  return [nested('certInfo', describeAttest(attest), problems), ...signatureFields];
}

const plain =
  <T>(codec: Codec<T>) =>
  (bytes: Uint8Array): Description => ({ problems: [], fields: describeStructure(codec, decode(codec, bytes)) });

const describeNv = (area: TpmsNvPublic): Description => ({
  problems: [],
  fields: [
    ...describeStructure(TPMS_NV_PUBLIC, area),
    bytesField(
      'Name',
      nameOf(() => nvName(area)),
    ),
  ],
});

const isSized = (bytes: Uint8Array): boolean => bytes.length > 2 && uint16At(bytes, 0) === bytes.length - 2;
/** Whether these two bytes are the number of an object type, a signature scheme or a hash. */
const isAlgorithm = (value: number): boolean => value >= 0x0001 && value <= 0x0044;
const isPublic = (bytes: Uint8Array, at: number): boolean =>
  [0x0001, 0x0008, 0x0023, 0x0025].includes(uint16At(bytes, at)) && isAlgorithm(uint16At(bytes, at + 2));
const isAttest = (bytes: Uint8Array, at: number): boolean => uint32At(bytes, at) === TPM_GENERATED_VALUE;
const isNv = (bytes: Uint8Array, at: number): boolean => bytes[at] === 0x01 && isAlgorithm(uint16At(bytes, at + 4));
const isCreation = (bytes: Uint8Array, at: number): boolean => uint32At(bytes, at) <= 16;

/** Structures of Part 2, the most distinctive first. */
export const TPM_FORMATS: readonly Format<Uint8Array>[] = [
  {
    format: 'tpms-attest',
    title: 'TPMS_ATTEST',
    claims: (bytes) => isAttest(bytes, 0),
    read: (bytes) => describeAttest(decode(TPMS_ATTEST, bytes)),
  },
  {
    format: 'tpm2b-attest',
    title: 'TPM2B_ATTEST',
    claims: (bytes) => isAttest(bytes, 2),
    read: (bytes) => describeAttest(decode(TPM2B_ATTEST_DECODED, bytes)),
  },
  {
    format: 'tpm2b-public',
    title: 'TPM2B_PUBLIC',
    unmarked: true,
    claims: (bytes) => isSized(bytes) && isPublic(bytes, 2),
    read: (bytes) => describePublicArea(decode(TPM2B_PUBLIC, bytes)),
  },
  {
    format: 'tpmt-public',
    title: 'TPMT_PUBLIC',
    unmarked: true,
    claims: (bytes) => isPublic(bytes, 0),
    read: (bytes) => describePublicArea(decode(TPMT_PUBLIC, bytes)),
  },
  {
    format: 'tpmt-signature',
    title: 'TPMT_SIGNATURE',
    unmarked: true,
    claims: (bytes) => isAlgorithm(uint16At(bytes, 0)) && isAlgorithm(uint16At(bytes, 2)),
    read: plain(TPMT_SIGNATURE),
  },
  {
    format: 'tpmt-tk-creation',
    title: 'TPMT_TK_CREATION',
    unmarked: true,
    claims: (bytes) => uint16At(bytes, 0) === 0x8021,
    read: plain(TPMT_TK_CREATION),
  },
  {
    format: 'tpms-nv-public',
    title: 'TPMS_NV_PUBLIC',
    unmarked: true,
    claims: (bytes) => isNv(bytes, 0),
    read: (bytes) => describeNv(decode(TPMS_NV_PUBLIC, bytes)),
  },
  {
    format: 'tpm2b-nv-public',
    title: 'TPM2B_NV_PUBLIC',
    unmarked: true,
    claims: (bytes) => isSized(bytes) && isNv(bytes, 2),
    read: (bytes) => describeNv(decode(TPM2B_NV_PUBLIC, bytes)),
  },
  {
    format: 'tpms-creation-data',
    title: 'TPMS_CREATION_DATA',
    unmarked: true,
    claims: (bytes) => isCreation(bytes, 0),
    read: plain(TPMS_CREATION_DATA),
  },
  {
    format: 'tpm2b-creation-data',
    title: 'TPM2B_CREATION_DATA',
    unmarked: true,
    claims: (bytes) => isSized(bytes) && isCreation(bytes, 2),
    read: plain(TPM2B_CREATION_DATA),
  },
  {
    format: 'tpm2b-id-object',
    title: 'TPM2B_ID_OBJECT, the encrypted half of a credential',
    unmarked: true,
    claims: (bytes) => isSized(bytes) && isDigestSize(uint16At(bytes, 2)),
    read: plain(TPM2B_ID_OBJECT),
  },
  {
    format: 'tpm2b-encrypted-secret',
    title: 'TPM2B_ENCRYPTED_SECRET',
    unmarked: true,
    claims: (bytes) => isSized(bytes) && [256, 384, 512].includes(bytes.length - 2),
    read: plain(TPM2B_ENCRYPTED_SECRET),
  },
  {
    format: 'tpm2b-private',
    title: 'TPM2B_PRIVATE, a private area encrypted by its parent',
    unmarked: true,
    claims: (bytes) => isSized(bytes) && isDigestSize(uint16At(bytes, 2)),
    read: (bytes) => ({ problems: [], fields: [secretField('private area', decode(TPM2B_PRIVATE, bytes).length)] }),
  },
];

/** Both structures begin with an HMAC. */
function isDigestSize(size: number): boolean {
  return [20, 32, 48, 64].includes(size);
}
