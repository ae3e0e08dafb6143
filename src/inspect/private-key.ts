import type { DerNode } from '../crypto/der-read.ts';
import { contextTag, TAG } from '../crypto/der-write.ts';
import { encodePem } from '../crypto/pem.ts';
import { sayError } from '../errors.ts';
import { decodeKeyFile } from '../keys/key-file.ts';
import { decode } from '../tpm/codec/index.ts';
import { TPM2B_PRIVATE, TPM2B_PUBLIC } from '../tpm/structures/object.ts';
import { field, nested, secretField } from './fields.ts';
import type { Description, Field } from './inspection.ts';
import { describePublicArea } from './tpm-formats.ts';

/** A private key in the clear. Shows only its size. */
export const describePrivateKey = (length: number): Description => ({
  problems: ['it is not encrypted: anyone who has the file has the key'],
  fields: [secretField('key', length)],
});

const KEY_TYPES: Readonly<Record<string, string>> = {
  '2.23.133.10.1.3': 'loadable key',
  '2.23.133.10.1.4': 'importable key',
  '2.23.133.10.1.5': 'sealed data',
};
const MEMBERS = ['emptyAuth', 'policy', 'secret', 'authPolicy', 'description', 'rsaParent', 'parentName'] as const;

/** The parts of a TPM key file. draft-bottomley-tpm2-keys. */
export async function describeKeyFile(
  der: Uint8Array,
  children: readonly DerNode[],
  oid: string,
): Promise<Description> {
  const [privateArea, publicArea, parent, ...members] = children.slice(1).reverse();
  if (privateArea === undefined || publicArea === undefined || parent === undefined)
    throw new TypeError('parts are missing');
  const problems: string[] = [];
  // Also shows a key that this library does not load.
  try {
    await decodeKeyFile(encodePem('TSS2 PRIVATE KEY', der));
  } catch (error) {
    problems.push(sayError(error));
  }
  const handle = parent.expect(TAG.INTEGER).content.reduce((sum, byte) => sum * 256 + byte, 0);
  const fields = [
    field('type', KEY_TYPES[oid] ?? oid),
    ...members.reverse().map(describeMember),
    field('parent', `0x${handle.toString(16).padStart(8, '0')}`),
    nested('public area', describePublicArea(decode(TPM2B_PUBLIC, publicArea.octets()))),
    secretField('private area, encrypted by its parent', decode(TPM2B_PRIVATE, privateArea.octets()).length),
  ];
  return { problems, fields };
}

function describeMember(node: DerNode): Field {
  const name = MEMBERS[node.tag - contextTag(0, 'constructed')] ?? `tag 0x${node.tag.toString(16)}`;
  const [inner] = node.children();
  if (inner?.tag === TAG.BOOLEAN) return field(name, inner.boolean());
  const text = name === 'description' ? inner?.text() : undefined;
  return text === undefined ? secretField(name, node.content.length) : field(name, text);
}

/** An EncryptedPrivateKeyInfo. Does not try to decrypt it. */
export function describeEncryptedKey(node: DerNode): Description {
  const outer = node.fields(TAG.SEQUENCE);
  const algorithm = outer.next();
  const encrypted = outer.next().octets();
  const oids = collectOids(algorithm);
  return describeEncrypted(
    oids.map((oid) => ENCRYPTIONS[oid] ?? oid),
    encrypted.length,
  );
}

/** An encrypted private key: by which algorithms, and its size. */
export const describeEncrypted = (algorithms: readonly string[], length: number): Description => ({
  fields: [field('encryption', algorithms.join(', ')), secretField('key, encrypted', length)],
});

const ENCRYPTIONS: Readonly<Record<string, string>> = {
  '1.2.840.113549.1.5.13': 'PBES2',
  '1.2.840.113549.1.5.12': 'PBKDF2',
  '1.3.6.1.4.1.11591.4.11': 'scrypt',
  '1.2.840.113549.2.9': 'HMAC-SHA256',
  '2.16.840.1.101.3.4.1.2': 'AES-128-CBC',
  '2.16.840.1.101.3.4.1.42': 'AES-256-CBC',
  '2.16.840.1.101.3.4.1.46': 'AES-256-GCM',
  '1.2.840.113549.1.1.1': 'RSAES-PKCS1-v1_5',
  '1.2.840.113549.1.1.7': 'RSAES-OAEP',
};

function collectOids(node: DerNode): string[] {
  if (node.tag === TAG.OID) return [node.oid()];
  return (node.tag & 0x20) === 0 ? [] : node.children().flatMap(collectOids);
}
