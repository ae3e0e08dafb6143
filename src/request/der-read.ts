import { type Bytes, copy, toHex } from '../bytes.ts';
import { TAG } from './der-write.ts';
import { requestInvalid } from './in-request.ts';

/**
 * A value in DER that was sent by someone else, read step by step: nothing in it is looked at before it is asked for, so
 * nesting costs nothing. Its bytes are views, so what it says of itself is what was signed.
 *
 * Lengths may be written longer than needed, as Windows does (MS-DVRJ, 4.1): {@link findQuirks} reports them. All
 * other BER is refused. All errors are KeyprovError `request-invalid`.
 */
export class DerNode {
  /** What is read, for messages. */
  readonly what: string;
  /** Where it begins in what was read first. */
  readonly offset: number;
  readonly tag: number;
  /** All of it, with tag and length. */
  readonly der: Uint8Array;
  readonly content: Uint8Array;
  /** Whether the length has its shortest form. */
  readonly isMinimal: boolean;

  /** Reads the value that `bytes` begins with, `offset` bytes into what was read first. */
  constructor(bytes: Uint8Array, what: string, offset = 0) {
    const fail = (problem: string) => requestInvalid(what, `${problem} at offset ${offset}`);
    const [tag, first] = bytes;
    if (tag === undefined || first === undefined) throw fail('cut off');
    if ((tag & 0x1f) === 0x1f) throw fail('a tag of several bytes');
    const count = first < 0x80 ? 0 : first & 0x7f;
    if (first === 0x80 || count > 4) throw fail('a length that is indefinite or too long');
    const digits = bytes.subarray(2, 2 + count);
    const length = count === 0 ? first : digits.reduce((sum, byte) => sum * 256 + byte, 0);
    const end = 2 + count + length;
    if (digits.length < count || end > bytes.length) throw fail('cut off');
    this.what = what;
    this.offset = offset;
    this.tag = tag;
    this.der = bytes.subarray(0, end);
    this.content = bytes.subarray(2 + count, end);
    this.isMinimal = count === 0 || (digits[0] !== 0 && length >= 0x80);
  }

  /** Reads bytes that must be one value and nothing else. */
  static whole(bytes: Uint8Array, what: string): DerNode {
    const node = new DerNode(bytes, what);
    if (node.der.length !== bytes.length) throw node.wrong(`${bytes.length - node.der.length} bytes left over`);
    return node;
  }

  /** The values inside; they fill it exactly. */
  children(): DerNode[] {
    if ((this.tag & 0x20) === 0) throw this.wrong('it holds no other values');
    const head = this.der.length - this.content.length;
    const found: DerNode[] = [];
    for (let at = 0; at < this.content.length; at += found.at(-1)?.der.length ?? 0) {
      found.push(new DerNode(this.content.subarray(at), this.what, this.offset + head + at));
    }
    return found;
  }

  /** The values inside, of a value with that tag. */
  list(tag: number): DerNode[] {
    return this.expect(tag).children();
  }

  /** The values inside, of a value with that tag, to be taken one after the other. */
  fields(tag: number): DerFields {
    return new DerFields(this, this.list(tag));
  }

  /** This value, which must have that tag. */
  expect(tag: number): this {
    if (this.tag !== tag) throw this.wrong(`it has tag 0x${hexByte(this.tag)} where 0x${hexByte(tag)} belongs`);
    return this;
  }

  /** The content of an OCTET STRING. */
  octets(): Bytes {
    return copy(this.expect(TAG.OCTET_STRING).content);
  }

  /** An OBJECT IDENTIFIER in dotted form. */
  oid(): string {
    const { content } = this.expect(TAG.OID);
    const arcs: bigint[] = [];
    let arc = 0n;
    if (content.length > 64 || (content.at(-1) ?? 0x80) >= 0x80) throw this.wrong('an object identifier is malformed');
    for (const byte of content) {
      arc = (arc << 7n) | BigInt(byte & 0x7f);
      if (byte >= 0x80) continue;
      arcs.push(arc);
      arc = 0n;
    }
    const [joined = 0n, ...rest] = arcs;
    const first = joined < 80n ? joined / 40n : 2n;
    return [first, joined - first * 40n, ...rest].join('.');
  }

  /** A BOOLEAN. */
  boolean(): boolean {
    const { content } = this.expect(TAG.BOOLEAN);
    if (content.length !== 1) throw this.wrong('a BOOLEAN is malformed');
    return content[0] !== 0;
  }

  /** The text of a character string of any kind, as it is; `undefined` for a value that is no string. */
  text(): string | undefined {
    switch (this.tag) {
      case TAG.UTF8_STRING:
        return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.content);
      case TAG.NUMERIC_STRING:
      case TAG.PRINTABLE_STRING:
      case TAG.T61_STRING:
      case TAG.IA5_STRING:
      case TAG.VISIBLE_STRING:
        return Buffer.from(this.content).toString('latin1');
      case TAG.BMP_STRING:
        return new TextDecoder('utf-16be', { ignoreBOM: true }).decode(this.content);
      case TAG.UNIVERSAL_STRING:
        return this.#universalText();
      default:
        return undefined;
    }
  }

  /** The error for what is wrong with it. */
  wrong(problem: string, cause?: unknown): Error {
    return requestInvalid(this.what, `${problem} at offset ${this.offset}`, cause);
  }

  #universalText(): string {
    const data = new DataView(this.content.buffer, this.content.byteOffset, this.content.length);
    const points = Array.from({ length: Math.floor(this.content.length / 4) }, (_, i) => data.getUint32(4 * i));
    return points.map((point) => (point > 0x10ffff ? '\ufffd' : String.fromCodePoint(point))).join('');
  }
}

/** Takes the values inside another one after the other. */
export class DerFields {
  readonly #parent: DerNode;
  readonly #values: DerNode[];

  constructor(parent: DerNode, values: DerNode[]) {
    this.#parent = parent;
    this.#values = values;
  }

  /** The next value, which must be there, with that tag where one is given. */
  next(tag?: number): DerNode {
    const value = this.#values.shift();
    if (value === undefined) throw this.#parent.wrong('a part is missing');
    return tag === undefined ? value : value.expect(tag);
  }

  /** The next value if there is one, with one of those tags where any are given. */
  optional(...tags: readonly number[]): DerNode | undefined {
    const [value] = this.#values;
    if (value === undefined || (tags.length > 0 && !tags.includes(value.tag))) return undefined;
    return this.#values.shift();
  }

  /** Checks that all values were taken. */
  end(): void {
    if (this.#values.length > 0) throw this.#parent.wrong(`${this.#values.length} parts left over`);
  }
}

const hexByte = (byte: number): string => toHex(new Uint8Array([byte]));
