import { copy, toHex } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { checkSize } from '../limits.ts';
import type { DerNode } from './der-read.ts';
import { contextTag, TAG } from './der-write.ts';
import type { DistinguishedName, NameAttribute } from './distinguished-name.ts';
import type { GeneralName, NameConstraints } from './general-name.ts';

/** More alternative names, or names in constraints, than any certificate in use has. Web servers have up to 100. */
const MAX_NAMES = 1024;
/** No host name, address of e-mail or URI in use is longer. */
const MAX_TEXT = 2048;

/** Longer than X.520 allows. Normalization takes more than linear time for some texts. */
const MAX_ATTRIBUTE = 1024;

const TEXT_KINDS: ReadonlyMap<number, 'email' | 'dns' | 'uri'> = new Map([
  [contextTag(1, 'primitive'), 'email'],
  [contextTag(2, 'primitive'), 'dns'],
  [contextTag(6, 'primitive'), 'uri'],
]);
const DIRECTORY = contextTag(4, 'constructed');
const IP = contextTag(7, 'primitive');

/** A Name. RFC 5280, 4.1.2.4. */
export function readName(node: DerNode): DistinguishedName {
  return node.list(TAG.SEQUENCE).map((relative) => relative.list(TAG.SET).map(readAttribute));
}

/** The names in a subjectAltName, which must not be empty. RFC 5280, 4.2.1.6. */
export function readAlternativeNames(node: DerNode): GeneralName[] {
  const names = readList(node.expect(TAG.SEQUENCE), 'alternative names', readGeneralName);
  const isAddress = ({ length }: Uint8Array) => length === 4 || length === 16;
  if (names.some(({ kind, value }) => kind === 'ip' && !isAddress(value)))
    throw invalid('an IP address that does not have 4 or 16 bytes');
  return names;
}

/** The content of a nameConstraints. RFC 5280, 4.2.1.10: neither it nor its lists may be empty. */
export function readNameConstraints(node: DerNode): NameConstraints {
  const fields = node.fields(TAG.SEQUENCE);
  const list = (number: number) => {
    const subtrees = fields.optional(contextTag(number, 'constructed'));
    return subtrees && readList(subtrees, 'name constraints', readSubtree);
  };
  const [permitted, excluded] = [list(0), list(1)];
  fields.end();
  if (permitted === undefined && excluded === undefined)
    throw invalid('name constraints with neither permitted nor excluded names');
  return { permitted: permitted ?? [], excluded: excluded ?? [] };
}

function readList<T>(node: DerNode, what: string, read: (node: DerNode) => T): T[] {
  const values = node.children();
  if (values.length === 0) throw invalid(`${what} without names`);
  if (values.length > MAX_NAMES) throw invalid(`${what} with ${values.length} names; the limit is ${MAX_NAMES}`);
  return values.map(read);
}

function readSubtree(node: DerNode): GeneralName {
  const [base, ...range] = node.list(TAG.SEQUENCE);
  if (base === undefined || range.length > 0) throw invalid('name constraints with a minimum or maximum');
  return readGeneralName(base);
}

function readGeneralName(node: DerNode): GeneralName {
  const { tag, content, der } = node;
  const text = TEXT_KINDS.get(tag);
  if (text !== undefined) return { kind: text, value: ascii(content) };
  if (tag === IP) return { kind: 'ip', value: copy(content) };
  if (tag === DIRECTORY) {
    const [name, ...more] = node.children();
    if (name === undefined || more.length > 0) throw invalid('a directoryName that is not exactly one name');
    return { kind: 'directory', value: readName(name) };
  }
  if ((tag & 0xc0) !== 0x80) throw invalid('a name of an unknown type');
  return { kind: 'other', value: tag & 0x1f, der: copy(der) };
}

function readAttribute(node: DerNode): NameAttribute {
  const [type, value] = node.read(TAG.SEQUENCE, (fields) => [fields.next().oid(), fields.next()]);
  checkSize(value.content, MAX_ATTRIBUTE, (problem) => invalid(`an attribute of a name: ${problem}`));
  const text = value.text();
  // Replacement characters would make different names equal.
  return { type, value: text === undefined || text.includes('\ufffd') ? `#${toHex(value.der)}` : text };
}

function ascii(bytes: Uint8Array): string {
  checkSize(bytes, MAX_TEXT, (problem) => invalid(`a name: ${problem}`));
  if (bytes.some((byte) => byte > 0x7f)) throw invalid('a name that is not ASCII');
  return new TextDecoder().decode(bytes);
}

const invalid = (problem: string): KeyprovError =>
  new KeyprovError('certificate-invalid', `X.509 certificate: ${problem}`);
