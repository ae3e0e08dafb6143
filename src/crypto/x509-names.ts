import type { BaseBlock } from 'asn1js';
import { copy, toHex } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import type { DistinguishedName, NameAttribute } from './distinguished-name.ts';
import type { GeneralName, NameConstraints } from './general-name.ts';

const TEXT_KINDS: ReadonlyMap<number, 'email' | 'dns' | 'uri'> = new Map([
  [1, 'email'],
  [2, 'dns'],
  [6, 'uri'],
]);
const DIRECTORY = 4;
const IP = 7;

/** Reads names in DER. pkijs forgets where a relative name ends, and the bytes of IP addresses (4.0.0). */
export class X509Names {
  readonly #asn1js: typeof import('asn1js');

  constructor(asn1js: typeof import('asn1js')) {
    this.#asn1js = asn1js;
  }

  /** A Name. */
  name(der: ArrayBuffer | Uint8Array): DistinguishedName {
    return this.#name(this.#parse(der));
  }

  /** The content of a subjectAltName; none where there is no such extension. */
  alternativeNames(der: Uint8Array | undefined): GeneralName[] {
    if (der === undefined) return [];
    const names = this.#children(this.#parse(der)).map((name) => this.#general(name));
    if (names.length === 0) throw invalid('alternative names without any');
    const isAddress = ({ length }: Uint8Array) => length === 4 || length === 16;
    if (names.some(({ kind, value }) => kind === 'ip' && !isAddress(value)))
      throw invalid('an IP address without 4 or 16 bytes');
    return names;
  }

  /** The content of a nameConstraints. RFC 5280, 4.2.1.10: not empty, and so is no list in it. */
  constraints(der: Uint8Array | undefined): NameConstraints | undefined {
    if (der === undefined) return undefined;
    const lists = this.#children(this.#parse(der));
    const tags = lists.map(({ idBlock }) => idBlock.tagNumber).join();
    if (tags !== '0' && tags !== '1' && tags !== '0,1')
      throw invalid('name constraints that are not permitted or excluded names');
    const list = (tag: number) =>
      lists.filter(({ idBlock }) => idBlock.tagNumber === tag).flatMap((subtrees) => this.#subtrees(subtrees));
    return { permitted: list(0), excluded: list(1) };
  }

  #subtrees(block: BaseBlock): GeneralName[] {
    const subtrees = this.#children(block);
    if (subtrees.length === 0) throw invalid('name constraints without names');
    return subtrees.map((subtree) => {
      const [base, ...range] = this.#children(subtree);
      if (base === undefined || range.length > 0) throw invalid('name constraints with a minimum or maximum');
      return this.#general(base);
    });
  }

  #general(block: BaseBlock): GeneralName {
    const { tagNumber } = block.idBlock;
    const text = TEXT_KINDS.get(tagNumber);
    if (text !== undefined) return { kind: text, value: ascii(this.#content(block)) };
    if (tagNumber === IP) return { kind: 'ip', value: copy(this.#content(block)) };
    if (tagNumber !== DIRECTORY) return { kind: 'other', value: tagNumber, der: new Uint8Array(block.toBER()) };
    const [name] = this.#children(block);
    if (name === undefined) throw invalid('an empty directoryName');
    return { kind: 'directory', value: this.#name(name) };
  }

  #name(block: BaseBlock): DistinguishedName {
    return this.#children(block).map((relative) =>
      this.#children(relative).map((attribute) => this.#attribute(this.#children(attribute))),
    );
  }

  #attribute([type, value]: readonly BaseBlock[]): NameAttribute {
    const { ObjectIdentifier, BaseStringBlock } = this.#asn1js;
    if (!(type instanceof ObjectIdentifier) || value === undefined) throw invalid('an attribute without type or value');
    const text =
      value instanceof BaseStringBlock ? String(value.getValue()) : `#${toHex(new Uint8Array(value.toBER()))}`;
    return { type: type.getValue(), value: text };
  }

  #parse(der: ArrayBuffer | Uint8Array): BaseBlock {
    const { result, offset } = this.#asn1js.fromBER(der);
    if (offset !== der.byteLength) throw invalid('names that cannot be read to their end');
    return result;
  }

  #children(block: BaseBlock): readonly BaseBlock[] {
    if (!(block instanceof this.#asn1js.Constructed)) throw invalid('names that are not constructed as they should be');
    return block.valueBlock.value;
  }

  #content(block: BaseBlock): Uint8Array {
    if (!(block instanceof this.#asn1js.Primitive)) throw invalid('a name that is not of one piece');
    return block.valueBlock.valueHexView;
  }
}

function ascii(bytes: Uint8Array): string {
  if (bytes.some((byte) => byte > 0x7f)) throw invalid('a name that is not in ASCII');
  return new TextDecoder().decode(bytes);
}

const invalid = (problem: string): KeyprovError =>
  new KeyprovError('certificate-invalid', `X.509 certificate: ${problem}`);
