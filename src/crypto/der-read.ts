import { type Bytes, byteCount, copy, toHex } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { checkSize, LIMIT } from '../limits.ts';
import { latin1 } from '../primitives.ts';
import { MAX_OID, TAG } from './der-write.ts';

/**
 * Which lengths are accepted, and the `code` of the errors. `strict`: only the shortest form (X.690, 10.1), errors are
 * `key-invalid`. `lenient`: longer forms too, as Windows writes them (MS-DVRJ, 4.1) and `findDerQuirks` reports, errors are
 * `request-invalid`. Both refuse all other BER.
 */
export type DerForm = 'strict' | 'lenient';

/**
 * A value in DER. Its content is read only on demand, so nesting costs nothing. Its bytes are views of the input, so they
 * are the signed ones. The values inside are read in the same {@link DerForm}.
 * All errors are KeyprovError with the code of that form.
 */
export class DerNode {
  /** The name of the input, for messages. */
  readonly what: string;
  readonly form: DerForm;
  /** Its offset in the whole input. */
  readonly offset: number;
  readonly tag: number;
  /** All of it, with tag and length. */
  readonly der: Uint8Array;
  readonly content: Uint8Array;
  /** Whether the length has its shortest form. */
  readonly isMinimal: boolean;

  /** Reads the value at the start of `bytes`, which stands at `offset` in the whole input. */
  constructor(form: DerForm, bytes: Uint8Array, what: string, offset = 0) {
    this.what = what;
    this.form = form;
    this.offset = offset;
    const [tag, first] = [bytes[0], bytes[1]];
    if (tag === undefined || first === undefined) throw this.wrong('cut off');
    if ((tag & 0x1f) === 0x1f) throw this.wrong('a tag has more than one byte');
    const count = first < 0x80 ? 0 : first & 0x7f;
    if (first === 0x80 || count > 4) throw this.wrong('a length is indefinite or too long');
    let length = count === 0 ? first : 0;
    for (let i = 2; i < 2 + count; i++) length = length * 256 + (bytes[i] ?? 0);
    const end = 2 + count + length;
    if (end > bytes.length) throw this.wrong('cut off');
    this.tag = tag;
    this.der = bytes.subarray(0, end);
    this.content = bytes.subarray(2 + count, end);
    this.isMinimal = count === 0 || (bytes[2] !== 0 && length >= 0x80);
    if (form === 'strict' && !this.isMinimal) throw this.wrong('a length is not in its shortest form');
  }

  /** Reads exactly one value in the {@link DerForm} `strict`: keys, signatures and certificates. */
  static strict(bytes: Uint8Array, what: string): DerNode {
    return DerNode.#whole('strict', bytes, what);
  }

  /** Reads exactly one value in the {@link DerForm} `lenient`: messages of other software. */
  static lenient(bytes: Uint8Array, what: string): DerNode {
    return DerNode.#whole('lenient', bytes, what);
  }

  /** The values inside; they fill it exactly. */
  children(): DerNode[] {
    if ((this.tag & 0x20) === 0) throw this.wrong('it contains no nested values');
    return new DerFields(this).rest();
  }

  /** The values inside this value, which must have that tag. */
  list(tag: number): DerNode[] {
    return this.expect(tag).children();
  }

  /** The first value inside this value, which must have that tag. */
  first(tag: number): DerNode {
    const [value] = this.list(tag);
    if (value === undefined) throw this.wrong('a part is missing');
    return value;
  }

  /** A reader of the values inside this value, which must have that tag. */
  fields(tag: number): DerFields {
    return new DerFields(this.expect(tag));
  }

  /** What `read` makes of the values inside this value, which must have that tag. Refuses values that it leaves over. */
  read<T>(tag: number, read: (fields: DerFields) => T): T {
    const fields = this.fields(tag);
    const result = read(fields);
    fields.end();
    return result;
  }

  /** This value, which must have that tag. */
  expect(tag: number): this {
    if (this.tag !== tag) throw this.wrong(`it has tag 0x${hexByte(this.tag)}, but 0x${hexByte(tag)} is expected`);
    return this;
  }

  /** The content of an OCTET STRING. */
  octets(): Bytes {
    return copy(this.expect(TAG.OCTET_STRING).content);
  }

  /** An INTEGER above zero, as big-endian bytes without leading zeros. */
  unsigned(): Uint8Array {
    const { content } = this.expect(TAG.INTEGER);
    const [first = 0x80, second = 0] = content;
    if (first >= 0x80) throw this.wrong('an INTEGER is negative or empty');
    if (first === 0 && second < 0x80) throw this.wrong('an INTEGER is zero or not in its shortest form');
    return first === 0 ? content.subarray(1) : content;
  }

  /** An INTEGER from 0 to `Number.MAX_SAFE_INTEGER`. */
  natural(): number {
    const { content } = this.expect(TAG.INTEGER);
    const number = content.length === 1 && content[0] === 0 ? 0 : Number(`0x${toHex(this.unsigned())}`);
    if (!Number.isSafeInteger(number)) throw this.wrong('an INTEGER is too large');
    return number;
  }

  /** An OBJECT IDENTIFIER in dotted form. */
  oid(): string {
    const { content } = this.expect(TAG.OID);
    const arcs: bigint[] = [];
    let arc = 0n;
    if (content.length > MAX_OID || (content.at(-1) ?? 0x80) >= 0x80)
      throw this.wrong('an object identifier is malformed');
    for (const byte of content) {
      // X.690, 8.19.2: otherwise one identifier would have many forms.
      if (arc === 0n && byte === 0x80) throw this.wrong('an object identifier is malformed');
      arc = (arc << 7n) | BigInt(byte & 0x7f);
      if (byte >= 0x80) continue;
      arcs.push(arc);
      arc = 0n;
    }
    const [joined = 0n, ...rest] = arcs;
    const first = joined < 80n ? joined / 40n : 2n;
    return [first, joined - first * 40n, ...rest].join('.');
  }

  /** A BOOLEAN, or a value with `tag` that is one. */
  boolean(tag: number = TAG.BOOLEAN): boolean {
    const { content } = this.expect(tag);
    if (content.length !== 1) throw this.wrong('a BOOLEAN is malformed');
    return content[0] !== 0;
  }

  /** The text of a character string of any kind, unchanged; `undefined` if the value is not a string. */
  text(): string | undefined {
    switch (this.tag) {
      case TAG.UTF8_STRING:
        return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.content);
      case TAG.NUMERIC_STRING:
      case TAG.PRINTABLE_STRING:
      case TAG.T61_STRING:
      case TAG.IA5_STRING:
      case TAG.VISIBLE_STRING:
        return latin1(this.content);
      case TAG.BMP_STRING:
        return new TextDecoder('utf-16be', { ignoreBOM: true }).decode(this.content);
      case TAG.UNIVERSAL_STRING:
        return this.#universalText();
      default:
        return undefined;
    }
  }

  /** Returns an error about this value. */
  wrong(problem: string, offset: number = this.offset): KeyprovError {
    return refusal(this.form, `${this.what}: ${problem} at offset ${offset}`);
  }

  static #whole(form: DerForm, bytes: Uint8Array, what: string): DerNode {
    checkSize(bytes, LIMIT.message, (problem) => refusal(form, `${what}: ${problem}`));
    try {
      const node = new DerNode(form, bytes, what);
      const { length } = node.der;
      if (length < bytes.length) throw node.wrong(`${byteCount(bytes.length - length)} left over`, length);
      return node;
    } catch (error) {
      if (!latin1(bytes).includes('-----BEGIN ')) throw error;
      throw refusal(form, `${what}: it is PEM text; ${PEM_READERS[what] ?? 'pass DER, its decoded base64'}`);
    }
  }

  #universalText(): string {
    const data = new DataView(this.content.buffer, this.content.byteOffset, this.content.length);
    const points = Array.from({ length: Math.floor(this.content.length / 4) }, (_, i) => data.getUint32(4 * i));
    return points.map((point) => (point > 0x10ffff ? '\ufffd' : String.fromCodePoint(point))).join('');
  }
}

/** What reads PEM text, by what it should have been in DER. */
const PEM_READERS: Readonly<Record<string, string>> = {
  certificate:
    'for CA certificates, call loadTpmRoots(file) of keyprov/registration; for any other, pass ' +
    'new X509Certificate(pem).raw of node:crypto',
  SPKI: 'call decodeSpkiPem',
};

/** Reads the values inside another one in order, each on demand. */
export class DerFields {
  readonly #parent: DerNode;
  #at = 0;

  constructor(parent: DerNode) {
    this.#parent = parent;
  }

  /** The next value, which must exist, and have that tag if one is given. */
  next(tag?: number): DerNode {
    const value = this.#peek();
    if (value === undefined) throw this.#parent.wrong('a part is missing');
    if (tag !== undefined) value.expect(tag);
    this.#at += value.der.length;
    return value;
  }

  /** The next value if it exists, and if it has one of those tags if any are given. */
  optional(...tags: readonly number[]): DerNode | undefined {
    const value = this.#peek();
    if (value === undefined || (tags.length > 0 && !tags.includes(value.tag))) return undefined;
    return this.next();
  }

  /** All remaining values. */
  rest(): DerNode[] {
    const values: DerNode[] = [];
    while (this.#at < this.#parent.content.length) values.push(this.next());
    return values;
  }

  /** Checks that no values remain. */
  end(): void {
    if (this.#at < this.#parent.content.length) throw this.#parent.wrong('parts left over', this.#offset());
  }

  #peek(): DerNode | undefined {
    const { form, content, what } = this.#parent;
    if (this.#at >= content.length) return undefined;
    return new DerNode(form, content.subarray(this.#at), what, this.#offset());
  }

  #offset(): number {
    const { offset, der, content } = this.#parent;
    return offset + der.length - content.length + this.#at;
  }
}

const refusal = (form: DerForm, message: string): KeyprovError =>
  new KeyprovError(form === 'strict' ? 'key-invalid' : 'request-invalid', message);

const hexByte = (byte: number): string => toHex(new Uint8Array([byte]));
