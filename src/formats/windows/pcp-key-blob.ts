import { type Bytes, byteCount, checkObject, concat, EMPTY, equal } from '../../bytes.ts';
import { bytes16, decode, encode } from '../../tpm/codec/index.ts';
import { TPM_ALG } from '../../tpm/constants.ts';
import { policyDigest, policyOr } from '../../tpm/policy-digest.ts';
import { TPML_DIGEST } from '../../tpm/structures/base.ts';
import { TPM2B_PRIVATE, TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import { CountedParts, littleEndian32s } from '../tcg/counted-parts.ts';

/** A key of a TPM 2.0 as Windows' Platform Crypto Provider exports it: "PCPM". */
export interface PcpKeyBlob {
  /** `windows-8` has a header of 52 bytes, `windows-10` of 56. */
  readonly form: 'windows-8' | 'windows-10';
  /** Bit 0: the key needs an authorization value. Windows sometimes sets bit 1, whose meaning is not published. */
  readonly flags: number;
  /** Hash of the PCR bank (TPM_ALG_ID), 0 for none. The `windows-8` form cannot hold it. */
  readonly pcrAlgId: number;
  /** TPMT_PUBLIC. */
  readonly pubArea: Uint8Array;
  /** The content of the TPM2B_PRIVATE; empty if the blob has none. */
  readonly privateArea: Uint8Array;
  /** The branches of the PolicyOR that is the authPolicy; empty if the blob has no list. */
  readonly policyDigests: readonly Uint8Array[];
  /** Parts that most blobs do not have. */
  readonly otherParts: { readonly [Name in (typeof OTHER_PARTS)[number]]?: Uint8Array };
}

/** Parts in the order of the blob. The list of policies follows the first two. */
const OTHER_PARTS = [
  'migrationPublic',
  'migrationPrivate',
  'pcrBinding',
  'pcrDigest',
  'encryptedSecret',
  'tpm12HostageBlob',
] as const;

const MAGIC = 0x4d504350;
const TPM_2_0 = 2;
/** UINT32s in the header, besides pcrAlgId. */
const FIELDS = 13;
const FORMS = [
  { form: 'windows-8', headerSize: 52 },
  { form: 'windows-10', headerSize: 56 },
] as const;
const SIZED_PUBLIC = bytes16('TPM2B_PUBLIC', 0xffff);

/**
 * The bytes of a PCP key blob. Layout: microsoft/TSS.MSR, PCPTool, PCP_KEY_BLOB_WIN8 and PCP_20_KEY_BLOB. The header is
 * little endian, TPM structures are big endian. @throws CodecError for a part that is too long.
 *
 * @example
 * ```ts
 * import { decodePcpKeyBlob, encodePcpKeyBlob } from 'keyprov/formats/windows';
 *
 * declare const exported: Uint8Array; // from NCryptExportKey
 * const blob = decodePcpKeyBlob(exported);
 * console.log(blob.form, encodePcpKeyBlob(blob).length === exported.length);
 * ```
 */
export function encodePcpKeyBlob(blob: PcpKeyBlob): Bytes {
  checkObject(
    blob,
    'a key blob',
    ...(['form', 'flags:number', 'pcrAlgId:number', 'pubArea', 'privateArea:bytes', 'policyDigests:list'] as const),
    'otherParts:object',
  );
  const { form, flags, pcrAlgId, pubArea, privateArea, policyDigests, otherParts } = blob;
  const others = OTHER_PARTS.map((name) => otherParts[name] ?? EMPTY);
  const parts = [
    encode(SIZED_PUBLIC, pubArea),
    privateArea.length === 0 ? EMPTY : encode(TPM2B_PRIVATE, privateArea),
    ...others.slice(0, 2),
    policyDigests.length === 0 ? EMPTY : encode(TPML_DIGEST, policyDigests),
    ...others.slice(2),
  ];
  const headerSize = form === 'windows-8' ? 52 : 56;
  const header = littleEndian32s(MAGIC, headerSize, TPM_2_0, flags, ...parts.map(({ length }) => length));
  return concat(header, form === 'windows-8' ? EMPTY : littleEndian32s(pcrAlgId), ...parts);
}

/** The inverse of {@link encodePcpKeyBlob}. @throws KeyprovError `request-invalid` for anything else. */
export function decodePcpKeyBlob(bytes: Uint8Array): PcpKeyBlob {
  const reader = new CountedParts('PCP key blob', bytes);
  const [magic, headerSize = 0, type, flags = 0, ...sizes] = reader.header(FIELDS);
  const form = FORMS.find((known) => known.headerSize === headerSize)?.form;
  if (magic !== MAGIC) throw reader.invalid('it does not begin with PCPM');
  if (type !== TPM_2_0) throw reader.invalid(`its type is ${type}, not ${TPM_2_0} (TPM 2.0)`);
  if (form === undefined) throw reader.invalid(`its header has ${byteCount(headerSize)}, not 52 or 56`);
  const pcrAlgId = form === 'windows-8' ? 0 : (reader.header(FIELDS + 1)[FIELDS] ?? 0);
  if (pcrAlgId > 0xffff) throw reader.invalid('the padding after pcrAlgId is not zero');

  const parts = reader.parts(headerSize, sizes);
  const [publicPart = EMPTY, privatePart = EMPTY, , , policyPart = EMPTY] = parts;
  const others = [...parts.slice(2, 4), ...parts.slice(5)];
  const present = OTHER_PARTS.map((name, i) => [name, others[i] ?? EMPTY] as const).filter(
    ([, { length }]) => length > 0,
  );
  return reader.read(() => {
    const pubArea = decode(SIZED_PUBLIC, publicPart);
    decode(TPMT_PUBLIC, pubArea);
    const policyDigests = policyPart.length === 0 ? [] : decode(TPML_DIGEST, policyPart);
    if (policyPart.length > 0 && policyDigests.length === 0) throw reader.invalid('its list of policies is empty');
    const privateArea = privatePart.length === 0 ? EMPTY : decode(TPM2B_PRIVATE, privatePart);
    if (privatePart.length > 0 && privateArea.length === 0) throw reader.invalid('its private area is empty');
    return { form, flags, pcrAlgId, pubArea, privateArea, policyDigests, otherParts: Object.fromEntries(present) };
  });
}

/**
 * Whether the listed policies are the branches of the key's authPolicy: four (Windows 8) or six, or none for a key
 * without policy. Layout: microsoft/TSS.MSR, PCPTool. @throws CodecError if the public area cannot be read.
 */
export function hasPcpPolicy({ pubArea, policyDigests }: PcpKeyBlob): boolean {
  const { authPolicy } = decode(TPMT_PUBLIC, pubArea);
  if (policyDigests.length === 0) return authPolicy.length === 0;
  if (policyDigests.length !== 4 && policyDigests.length !== 6) return false;
  return equal(authPolicy, policyDigest(TPM_ALG.SHA256, policyOr(...policyDigests)));
}
