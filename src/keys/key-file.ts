import { type Bytes, checkObject, equal, uint16At } from '../bytes.ts';
import { type DerFields, DerNode } from '../crypto/der-read.ts';
import {
  contextTag,
  derExplicit,
  derInteger,
  derOctets,
  derOid,
  derSequence,
  derText,
  derValue,
  TAG,
} from '../crypto/der-write.ts';
import { decodePem, encodePem } from '../crypto/pem.ts';
import { KeyprovError } from '../errors.ts';

/**
 * A loadable TPM key as a `TSS2 PRIVATE KEY` file (draft-bottomley-tpm2-keys). tpm2-openssl and tpm2-pytss load only
 * files without `rsaParent` and `description`, so keyprov writes neither for its own keys.
 */
export interface KeyFile {
  /** TPM2B_PUBLIC, including its two length bytes. */
  readonly publicArea: Bytes;
  /** TPM2B_PRIVATE, including its two length bytes. */
  readonly privateArea: Bytes;
  /**
   * A persistent handle, or a hierarchy. For a hierarchy, the parent is the primary made from the P-256 storage
   * template with empty `unique`, or from the RSA template if `rsaParent` is true. Without `rsaParent`, tpm2-openssl
   * uses the RSA template on a TPM that has no elliptic curves. A P-384 or RSA 3072 primary cannot be expressed: only
   * keyprov loads the key, with the Name in the key's record.
   */
  readonly parent: number;
  /** Whether the key has no PIN. Always written: tpm2-openssl 1.1.1 sends no password if it is missing. */
  readonly emptyAuth: boolean;
  readonly rsaParent?: boolean;
  readonly description?: string;
}

const LABEL = 'TSS2 PRIVATE KEY';
const WHAT = 'TSS2 key file';
const LOADABLE = '2.23.133.10.1.3';
const OTHER_TYPES: Readonly<Record<string, string>> = {
  '2.23.133.10.1.4': 'an importable key',
  '2.23.133.10.1.5': 'sealed data',
};
/** The members with a context tag. */
const OPTIONAL = ['emptyAuth', 'policy', 'secret', 'authPolicy', 'description', 'rsaParent', 'parentName'] as const;
/** The tags of these members and of unknown ones. */
const CONTEXT = Array.from({ length: 31 }, (_, number) => contextTag(number, 'constructed'));
const HIERARCHIES = [0x40000001, 0x40000007, 0x4000000b, 0x4000000c];

/** Writes the file as PEM. @throws KeyprovError `key-invalid` for areas with wrong lengths, or an impossible parent. */
export async function encodeKeyFile(file: KeyFile): Promise<string> {
  checkObject(file, 'a key file', 'publicArea:bytes', 'privateArea:bytes', 'parent:number');
  check(file);
  return encodePem(LABEL, encode(file, 0xff));
}

/**
 * Reads a PEM block `TSS2 PRIVATE KEY`. If `emptyAuth` is missing, the key has a PIN, as the draft says. TRUE may be
 * written 01, as tpm2-tss-engine and tpm2-pytss do; everything else must be DER.
 * @throws KeyprovError `key-invalid` for a damaged file, and for anything but a plain loadable key: importable keys,
 * sealed data, and keys with `policy`, `secret`, `authPolicy` or `parentName`. The message says which.
 */
export async function decodeKeyFile(pem: string): Promise<KeyFile> {
  const der = decodePem(pem, LABEL);
  const file = readFile(der);
  // Order, repetition and left-over parts are right exactly if writing gives the same file again.
  const sameBytes = [0xff, 0x01].some((yes) => equal(encode(file, yes), der));
  if (!sameBytes) throw wrong('it is not DER, or has trailing data');
  check(file);
  return { ...file, emptyAuth: file.emptyAuth ?? false };
}

/** A file as read; comparing the bytes needs to know whether `emptyAuth` was there. */
type ReadFile = Omit<KeyFile, 'emptyAuth'> & { readonly emptyAuth?: boolean };

function encode(file: ReadFile, yes: number): Bytes {
  const boolean = (value: boolean) => derValue(TAG.BOOLEAN, new Uint8Array([value ? yes : 0]));
  const optional = (name: (typeof OPTIONAL)[number], value: Bytes) => derExplicit(OPTIONAL.indexOf(name), value);
  return derSequence(
    derOid(LOADABLE),
    ...(file.emptyAuth === undefined ? [] : [optional('emptyAuth', boolean(file.emptyAuth))]),
    ...(file.description === undefined ? [] : [optional('description', derText('utf8', file.description))]),
    ...(file.rsaParent === undefined ? [] : [optional('rsaParent', boolean(file.rsaParent))]),
    derInteger(file.parent),
    derOctets(file.publicArea),
    derOctets(file.privateArea),
  );
}

function readFile(der: Bytes): ReadFile {
  const fields = DerNode.strict(der, WHAT).fields(TAG.SEQUENCE);
  const oid = fields.next().oid();
  if (oid !== LOADABLE) throw wrong(`the type is ${OTHER_TYPES[oid] ?? oid}; only loadable keys are supported`);
  return {
    ...readOptional(fields),
    parent: fields.next().natural(),
    publicArea: fields.next().octets(),
    privateArea: fields.next().octets(),
  };
}

function readOptional(fields: DerFields): Pick<ReadFile, 'emptyAuth' | 'rsaParent' | 'description'> {
  const found: { emptyAuth?: boolean; rsaParent?: boolean; description?: string } = {};
  for (let value = fields.optional(...CONTEXT); value !== undefined; value = fields.optional(...CONTEXT)) {
    const name = OPTIONAL[CONTEXT.indexOf(value.tag)];
    const [inner] = value.children();
    if (inner !== undefined && (name === 'emptyAuth' || name === 'rsaParent')) found[name] = inner.boolean();
    else if (inner !== undefined && name === 'description') found.description = inner.text() ?? '';
    else throw wrong(name === undefined ? 'an unknown member' : `the member '${name}' is not supported`);
  }
  return found;
}

function check({ publicArea, privateArea, parent }: ReadFile): void {
  for (const [name, area] of [
    ['public', publicArea],
    ['private', privateArea],
  ] as const) {
    if (area.length < 3 || uint16At(area, 0) !== area.length - 2) {
      throw wrong(`the ${name} area is cut off or has no length bytes`);
    }
  }
  const isPersistent = Number.isInteger(parent) && parent >= 0x81000000 && parent <= 0x81ffffff;
  if (!isPersistent && !HIERARCHIES.includes(parent)) {
    throw wrong(
      `the parent ${parent < 0 ? parent : `0x${parent.toString(16)}`} is neither a persistent handle nor a hierarchy`,
    );
  }
}

function wrong(problem: string): KeyprovError {
  return new KeyprovError('key-invalid', `${WHAT}: ${problem}`);
}
