import { EMPTY, equal, toHex, uint16At, uint32At } from '../bytes.ts';
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
import { bytesField, field, nested, optional, orNothing, secretField } from './fields.ts';
import type { Format } from './format.ts';
import type { Content, Description, Field, Part } from './inspection.ts';

/** A public area with what follows from it: its Name, and its key. */
export function describePublicArea(area: TpmtPublic): Description {
  const key = orNothing(() => describePublicKey(publicKeyOf(area))); // templates have none
  const isHello = equal(area.authPolicy, windowsHelloPolicy());
  const fields = [
    ...describeStructure(TPMT_PUBLIC, area),
    nameField(() => objectName(area)),
    ...(isHello ? [field('policy', 'the Windows Hello key policy')] : []),
    ...optional(key, (description) => nested('key', description)),
  ];
  const title = `TPM object (${area.objectAttributes.restricted ? 'restricted ' : ''}${key?.title ?? 'no public key'})`;
  return { title, fields };
}

/** Objects with an unsupported hash algorithm have no Name. */
const nameField = (nameOf: () => Uint8Array): Field => bytesField('Name', orNothing(nameOf) ?? EMPTY);

/** What a TPM attests. */
function describeAttest(attest: TpmsAttest): Description {
  return { title: 'TPM attestation', fields: describeStructure(TPMS_ATTEST, attest) };
}

/** A structure inside another one, decoded. @throws CodecError for other bytes. */
export const structureField = <T>(name: string, codec: Codec<T>, bytes: Uint8Array): Field => ({
  name,
  fields: describeStructure(codec, decode(codec, bytes)),
});

/** A TPMT_PUBLIC inside another structure. @throws CodecError for other bytes. */
export const publicAreaField = (name: string, pubArea: Uint8Array): Part =>
  nested(name, describePublicArea(decode(TPMT_PUBLIC, pubArea)));

/** What was attested, and its signature. It is a problem if that is not the object with this TPMT_PUBLIC. */
export function certificationFields(
  { certInfo, signature }: { readonly certInfo: Uint8Array; readonly signature?: Uint8Array },
  pubArea?: Uint8Array,
): Part[] {
  const attest = decode(TPMS_ATTEST, certInfo);
  const { attested } = attest;
  const isOther =
    pubArea !== undefined && 'name' in attested && !equal(objectName(decode(TPMT_PUBLIC, pubArea)), attested.name);
  const problems = isOther ? [`the statement certifies ${toHex(attested.name)}, not the key`] : [];
  return [
    { ...nested('certInfo', describeAttest(attest)), problems },
    ...optional(signature, (bytes) => structureField('signature', TPMT_SIGNATURE, bytes)),
  ];
}

const nvFields = (area: TpmsNvPublic): Field[] => [
  ...describeStructure(TPMS_NV_PUBLIC, area),
  nameField(() => nvName(area)),
];

/** Whether these two bytes are the number of an object type, a signature scheme or a hash. */
const isAlgorithm = (value: number): boolean => value >= 0x0001 && value <= 0x0044;
const isPublic = (bytes: Uint8Array): boolean =>
  [0x0001, 0x0008, 0x0023, 0x0025].includes(uint16At(bytes, 0)) && isAlgorithm(uint16At(bytes, 2));
const isAttest = (bytes: Uint8Array): boolean => uint32At(bytes, 0) === TPM_GENERATED_VALUE;
const isSignature = (bytes: Uint8Array): boolean => isAlgorithm(uint16At(bytes, 0)) && isAlgorithm(uint16At(bytes, 2));
const isNv = (bytes: Uint8Array): boolean => bytes[0] === 0x01 && isAlgorithm(uint16At(bytes, 4));
const isCreation = (bytes: Uint8Array): boolean => uint32At(bytes, 0) <= 16;
/** Two structures begin with an HMAC. */
const isHmac = (bytes: Uint8Array): boolean => [20, 32, 48, 64].includes(uint16At(bytes, 0));
/** A structure with its size before it. */
const sized =
  (claims: (bytes: Uint8Array) => boolean) =>
  (bytes: Uint8Array): boolean =>
    bytes.length > 2 && uint16At(bytes, 0) === bytes.length - 2 && claims(bytes.subarray(2));

/** The file of a structure, which is named like it. Shows its members unless `read` says otherwise. */
function structure<T>(
  format: string,
  codec: Codec<T>,
  claims: (bytes: Uint8Array) => boolean,
  read: (value: T) => Content = (value) => describeStructure(codec, value),
): Format<Uint8Array> {
  const title = format.toUpperCase().replaceAll('-', '_');
  return { format, title, unmarked: true, claims, read: (bytes) => read(decode(codec, bytes)) };
}

/** Structures of Part 2, the most distinctive first. */
export const TPM_FORMATS: readonly Format<Uint8Array>[] = [
  { ...structure('tpms-attest', TPMS_ATTEST, isAttest, describeAttest), unmarked: false },
  {
    ...structure('tpm2b-attest', TPM2B_ATTEST_DECODED, (bytes) => isAttest(bytes.subarray(2)), describeAttest),
    unmarked: false, // even if its size is wrong
  },
  structure('tpm2b-public', TPM2B_PUBLIC, sized(isPublic), describePublicArea),
  structure('tpmt-public', TPMT_PUBLIC, isPublic, describePublicArea),
  structure('tpmt-signature', TPMT_SIGNATURE, isSignature),
  structure('tpmt-tk-creation', TPMT_TK_CREATION, (bytes) => uint16At(bytes, 0) === 0x8021),
  structure('tpms-nv-public', TPMS_NV_PUBLIC, isNv, nvFields),
  structure('tpm2b-nv-public', TPM2B_NV_PUBLIC, sized(isNv), nvFields),
  structure('tpms-creation-data', TPMS_CREATION_DATA, isCreation),
  structure('tpm2b-creation-data', TPM2B_CREATION_DATA, sized(isCreation)),
  {
    ...structure('tpm2b-id-object', TPM2B_ID_OBJECT, sized(isHmac)),
    title: 'TPM2B_ID_OBJECT, the encrypted half of a credential',
  },
  structure(
    'tpm2b-encrypted-secret',
    TPM2B_ENCRYPTED_SECRET,
    sized(({ length }) => [256, 384, 512].includes(length)),
  ),
  {
    ...structure('tpm2b-private', TPM2B_PRIVATE, sized(isHmac), ({ length }) => [secretField('private area', length)]),
    title: 'TPM2B_PRIVATE, a private area encrypted by its parent',
  },
];
