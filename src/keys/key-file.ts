import { type Bytes, copy, equal } from '../bytes.ts';
import { decodePem, encodePem } from '../crypto/pem.ts';
import { KeyprovError } from '../errors.ts';

/**
 * A loadable TPM key as a `TSS2 PRIVATE KEY` file holds it (draft-bottomley-tpm2-keys). tpm2-openssl and tpm2-pytss load
 * files that have none of the optional members; they refuse the others.
 */
export interface KeyFile {
  /** TPM2B_PUBLIC, its two length bytes included. */
  readonly publicArea: Bytes;
  /** TPM2B_PRIVATE, its two length bytes included. */
  readonly privateArea: Bytes;
  /**
   * A persistent handle, or a hierarchy: then the parent is the primary made from the P-256 storage template with empty
   * unique, or from the RSA one where `rsaParent` says so.
   */
  readonly parent: number;
  /** Whether the key has no PIN. Always written: tpm2-openssl 1.1.1 sends no password where it is left out. */
  readonly emptyAuth: boolean;
  readonly rsaParent?: boolean;
  readonly description?: string;
}

const LABEL = 'TSS2 PRIVATE KEY';
const LOADABLE = '2.23.133.10.1.3';
const OTHER_TYPES: Readonly<Record<string, string>> = {
  '2.23.133.10.1.4': 'an importable key',
  '2.23.133.10.1.5': 'sealed data',
};
/** The members with a context tag. */
const OPTIONAL = ['emptyAuth', 'policy', 'secret', 'authPolicy', 'description', 'rsaParent', 'parentName'] as const;
const HIERARCHIES = [0x40000001, 0x40000007, 0x4000000b, 0x4000000c];

type Asn1 = typeof import('asn1js');
type Asn1Value = InstanceType<Asn1['BaseBlock']>;

/** The file as PEM. @throws KeyprovError `key-invalid` for areas whose lengths are wrong, or an impossible parent. */
export async function encodeKeyFile(file: KeyFile): Promise<string> {
  check(file);
  return encodePem(LABEL, encode(await import('asn1js'), file, 0xff));
}

/**
 * Reads a PEM block `TSS2 PRIVATE KEY`. Where `emptyAuth` is left out the key has a PIN, as the draft says. TRUE may be
 * written 01, as tpm2-tss-engine and tpm2-pytss do. Nothing else may differ from DER.
 * @throws KeyprovError `key-invalid` for a damaged file, and, saying so, for what is no plain loadable key: importable
 * keys, sealed data, keys with `policy`, `secret`, `authPolicy` or `parentName`.
 */
export async function decodeKeyFile(pem: string): Promise<KeyFile> {
  const der = decodePem(pem, LABEL);
  const asn1 = await import('asn1js');
  const file = readFile(asn1, der);
  // asn1js reads any BER; only if the same file is written again it was DER, with nothing left over.
  const sameBytes = [0xff, 0x01].some((yes) => equal(encode(asn1, file, yes), der));
  if (!sameBytes) throw wrong('not DER, or with bytes left over');
  check(file);
  return { ...file, emptyAuth: file.emptyAuth ?? false };
}

/** A file as it was read: whether `emptyAuth` was there matters for comparing the bytes. */
type ReadFile = Omit<KeyFile, 'emptyAuth'> & { readonly emptyAuth?: boolean };

function encode(asn1: Asn1, file: ReadFile, yes: number): Bytes {
  const boolean = (value: boolean) => {
    const block = new asn1.Boolean({ value });
    if (value) block.valueBlock.valueHexView = new Uint8Array([yes]);
    return block;
  };
  const optional = (name: (typeof OPTIONAL)[number], value: Asn1Value) =>
    new asn1.Constructed({ idBlock: { tagClass: 3, tagNumber: OPTIONAL.indexOf(name) }, value: [value] });
  const octets = (bytes: Bytes) => new asn1.OctetString({ valueHex: bytes });
  const value: Asn1Value[] = [new asn1.ObjectIdentifier({ value: LOADABLE })];
  if (file.emptyAuth !== undefined) value.push(optional('emptyAuth', boolean(file.emptyAuth)));
  if (file.description !== undefined) {
    value.push(optional('description', new asn1.Utf8String({ value: file.description })));
  }
  if (file.rsaParent !== undefined) value.push(optional('rsaParent', boolean(file.rsaParent)));
  value.push(asn1.Integer.fromBigInt(file.parent), octets(file.publicArea), octets(file.privateArea));
  return new Uint8Array(new asn1.Sequence({ value }).toBER());
}

function readFile(asn1: Asn1, der: Bytes): ReadFile {
  const { result, offset } = asn1.fromBER(der);
  if (offset !== der.length || !(result instanceof asn1.Sequence)) throw wrong('not one DER SEQUENCE');
  const values: Asn1Value[] = [...result.valueBlock.value];
  const type = values.shift();
  if (!(type instanceof asn1.ObjectIdentifier)) throw wrong('no type');
  const oid = type.getValue();
  if (oid !== LOADABLE) throw wrong(`the type is ${OTHER_TYPES[oid] ?? oid}, only loadable keys are supported`);
  const [privateArea, publicArea, parent] = [values.pop(), values.pop(), values.pop()];
  if (
    !(privateArea instanceof asn1.OctetString) ||
    !(publicArea instanceof asn1.OctetString) ||
    !(parent instanceof asn1.Integer)
  ) {
    throw wrong('parent, public or private area missing');
  }
  return {
    ...readOptional(asn1, values),
    parent: Number(parent.toBigInt()),
    publicArea: copy(publicArea.valueBlock.valueHexView),
    privateArea: copy(privateArea.valueBlock.valueHexView),
  };
}

function readOptional(
  asn1: Asn1,
  values: readonly Asn1Value[],
): Pick<ReadFile, 'emptyAuth' | 'rsaParent' | 'description'> {
  const found: { emptyAuth?: boolean; rsaParent?: boolean; description?: string } = {};
  for (const value of values) {
    const name = value.idBlock.tagClass === 3 ? OPTIONAL[value.idBlock.tagNumber] : undefined;
    const inner = value instanceof asn1.Constructed ? value.valueBlock.value[0] : undefined;
    if ((name === 'emptyAuth' || name === 'rsaParent') && inner instanceof asn1.Boolean) found[name] = inner.getValue();
    else if (name === 'description' && inner instanceof asn1.Utf8String) found.description = inner.getValue();
    else throw wrong(name === undefined ? 'an unknown member' : `the member '${name}' is not supported`);
  }
  return found;
}

function check({ publicArea, privateArea, parent }: ReadFile): void {
  for (const [name, area] of [
    ['public', publicArea],
    ['private', privateArea],
  ] as const) {
    if (area.length < 3 || ((area[0] ?? 0) << 8) + (area[1] ?? 0) !== area.length - 2) {
      throw wrong(`the ${name} area is cut off or has no length bytes`);
    }
  }
  const isPersistent = Number.isInteger(parent) && parent >= 0x81000000 && parent <= 0x81ffffff;
  if (!isPersistent && !HIERARCHIES.includes(parent)) {
    throw wrong(`the parent 0x${parent.toString(16)} is neither a persistent handle nor a hierarchy`);
  }
}

function wrong(problem: string): KeyprovError {
  return new KeyprovError('key-invalid', `TSS2 key file: ${problem}`);
}
