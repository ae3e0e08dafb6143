import { concat, copy, utf8 } from '../src/bytes.ts';
import { type Dice, MUTATIONS, type Mutation, type Seed } from './mutations.ts';

/** Changes JSON, DER, CBOR and base64 without breaking their framing, so that readers get further before they refuse. */

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const anyMutation: Mutation = (bytes, dice, samples) => dice.pick(MUTATIONS)(bytes, dice, samples);

/** A DER value, with child values or content. */
export interface DerPart {
  tag: number;
  content: Uint8Array;
  parts: DerPart[] | undefined;
  /** How the length is encoded: as DER requires, with one byte too many, or indefinite. */
  length: 'der' | 'long' | 'indefinite';
}

const MOST_DEPTH = 40;

/** The values in these bytes; `undefined` if they are not a sequence of values with one-byte tags. */
export function derParts(bytes: Uint8Array, depth = 0): DerPart[] | undefined {
  const found: DerPart[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [tag = 0, first = 0] = bytes.subarray(at, at + 2);
    const size = first < 0x80 ? 0 : first & 0x7f;
    const start = at + 2 + size;
    if ((tag & 0x1f) === 0x1f || first === 0x80 || size > 3 || start > bytes.length || depth > MOST_DEPTH)
      return undefined;
    const length = first < 0x80 ? first : bytes.subarray(at + 2, start).reduce((sum, byte) => sum * 256 + byte, 0);
    if (start + length > bytes.length) return undefined;
    const content = bytes.subarray(start, start + length);
    const mayHold = (tag & 0x20) !== 0 || (tag === 4 && length > 1);
    const parts = mayHold ? derParts(content, depth + 1) : undefined;
    found.push({ tag, content, parts: parts?.length === 0 ? undefined : parts, length: 'der' });
    at = start + length;
  }
  return found;
}

/** Encodes a value in DER, with the shortest length by default. */
export function derBytes({ tag, content, parts, length }: DerPart): Uint8Array {
  const inner = parts === undefined ? content : concat(...parts.map(derBytes));
  if (length === 'indefinite') return concat(new Uint8Array([tag, 0x80]), inner, new Uint8Array(2));
  const size = inner.length;
  const short = length === 'der';
  const head =
    short && size < 0x80
      ? [tag, size]
      : short && size < 0x100
        ? [tag, 0x81, size]
        : short && size < 0x10000
          ? [tag, 0x82, size >> 8, size & 0xff]
          : [tag, 0x83, size >> 16, (size >> 8) & 0xff, size & 0xff];
  return concat(new Uint8Array(head), inner);
}

const TAGS = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x13, 0x16, 0x17, 0x18, 0x1e, 0x30, 0x31, 0x80, 0xa0, 0xa3];

const changeDer: Mutation = (bytes, dice, samples) => {
  const top = derParts(bytes);
  if (top === undefined || top.length === 0) return anyMutation(bytes, dice, samples);
  const rows: DerPart[][] = [];
  const collect = (row: DerPart[]) => {
    rows.push(row);
    for (const { parts } of row) if (parts !== undefined) collect(parts);
  };
  collect(top);
  const row = dice.pick(rows);
  const at = dice.roll(row.length);
  const part = row[at];
  if (part === undefined) return bytes;
  const other = dice.pick(dice.pick(rows));
  switch (dice.roll(8)) {
    case 0:
      row.splice(at, 1);
      break;
    case 1:
      row.splice(at, 0, { ...part });
      break;
    case 2:
      // Inserts a copy, because a value must not contain itself.
      row.splice(at, 1, ...(derParts(derBytes(other)) ?? []));
      break;
    case 3:
      part.tag = dice.pick(TAGS);
      break;
    case 4:
      part.length = dice.pick(['long', 'indefinite']);
      break;
    default:
      part.content = anyMutation(part.parts === undefined ? part.content : derBytes(part), dice, samples);
      part.parts = undefined;
  }
  return concat(...top.map(derBytes));
};

/** Where the items of CBOR begin and end, and how long their heads are. */
interface CborItem {
  readonly start: number;
  readonly end: number;
  readonly head: number;
}

function cborItems(bytes: Uint8Array): CborItem[] | undefined {
  const found: CborItem[] = [];
  const read = (start: number, depth: number): number | undefined => {
    const first = bytes[start];
    if (first === undefined || depth > MOST_DEPTH || found.length > 1000) return undefined;
    const [major, low] = [first >> 5, first & 0x1f];
    const size = low < 24 ? 0 : low < 27 ? 1 << (low - 24) : undefined;
    if (size === undefined) return undefined;
    const head = 1 + size;
    const value = size === 0 ? low : bytes.subarray(start + 1, start + head).reduce((sum, byte) => sum * 256 + byte, 0);
    let end: number | undefined = start + head;
    if (major === 2 || major === 3) end += value;
    const children = major === 4 ? value : major === 5 ? 2 * value : major === 6 ? 1 : 0;
    const place = found.push({ start, end, head }) - 1;
    for (let n = 0; n < children && end !== undefined; n++) end = read(end, depth + 1);
    if (end === undefined || end > bytes.length) return undefined;
    found[place] = { start, end, head };
    return end;
  };
  return read(0, 0) === undefined ? undefined : found;
}

const changeCbor: Mutation = (bytes, dice, samples) => {
  const items = cborItems(bytes);
  if (items === undefined) return anyMutation(bytes, dice, samples);
  const [one, other] = [dice.pick(items), dice.pick(items)];
  const whole = bytes.subarray(one.start, one.end);
  const [first = 0] = whole;
  const major = first & 0xe0;
  const changed = (): Uint8Array => {
    switch (dice.roll(5)) {
      case 0:
        return bytes.subarray(other.start, other.end);
      case 1: // the same number in a longer form
        return first & 0x18 && (first & 0x1f) !== 24
          ? whole
          : concat(
              new Uint8Array([major | 25, 0, one.head === 1 ? first & 0x1f : (whole[1] ?? 0)]),
              whole.subarray(one.head),
            );
      case 2:
        return new Uint8Array([major | dice.roll(32)]);
      case 3:
        return concat(new Uint8Array([(dice.roll(8) << 5) | (first & 0x1f)]), whole.subarray(1));
      default: {
        if (major !== 0x40 && major !== 0x60) return anyMutation(whole, dice, samples);
        const content = changedBytes(whole.subarray(one.head), dice, samples);
        return concat(new Uint8Array([major | 25, content.length >> 8, content.length & 0xff]), content);
      }
    }
  };
  return concat(bytes.subarray(0, one.start), changed(), bytes.subarray(one.end));
};

const HOSTILE = [null, true, 0, -1, 1.5, 2 ** 53, '', 'AA', '00', [], {}, { toString: 1 }, [[]], ['']] as const;

const changeJson: Mutation = (bytes, dice, samples) => {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return anyMutation(bytes, dice, samples);
  }
  const holders: Record<string, unknown>[] = [];
  const collect = (value: unknown) => {
    if (typeof value !== 'object' || value === null) return;
    // Includes lists, which are changed by index.
    holders.push(value as Record<string, unknown>);
    for (const inner of Object.values(value)) collect(inner);
  };
  collect(json);
  const holder = holders[dice.roll(Math.max(1, holders.length))];
  const names = Object.keys(holder ?? {});
  if (holder === undefined || names.length === 0) return anyMutation(bytes, dice, samples);
  const name = dice.pick(names);
  const value = holder[name];
  switch (dice.roll(8)) {
    case 0:
      holder[name] = dice.pick(HOSTILE);
      break;
    case 1:
      delete holder[name];
      break;
    case 2:
      holder[dice.pick(['__proto__2', 'other', 'toString', `${name} `, name.toUpperCase()])] = value;
      break;
    case 3:
      holder[name] = holder[dice.pick(names)];
      break;
    case 4: // duplicates the member
      return utf8(JSON.stringify(json).replace(/\}$/, `,${JSON.stringify(name)}:${JSON.stringify(value) ?? 'null'}}`));
    default:
      if (typeof value === 'string') holder[name] = changedText(value, dice, samples);
      else if (typeof value === 'number') holder[name] = value + dice.pick([1, -1, 0.5, 2 ** 32, 2 ** 53]);
      else holder[name] = dice.pick(HOSTILE);
  }
  return utf8(JSON.stringify(json, undefined, dice.pick([0, 0, 0, 1])));
};

/** Runs of base64 or base64url, with line breaks in it. */
const BASE64_RUN = /(?<![\w+/-])[A-Za-z0-9+/_-]{4}[A-Za-z0-9+/_=\r\n-]{4,}/g;

/** Decodes, changes and re-encodes one run of hexadecimal or base64 in a text; without such a run, changes some bytes. */
function changedText(given: string, dice: Dice, samples: readonly Seed[]): string {
  if (dice.roll(4) > 0) {
    if (/^(?:[0-9a-f]{2})+$/i.test(given)) {
      return Buffer.from(changedBytes(Buffer.from(given, 'hex'), dice, samples)).toString('hex');
    }
    const runs = [...given.matchAll(BASE64_RUN)].filter(([run]) => !run.startsWith('-----'));
    if (runs.length > 0) {
      const run = dice.pick(runs);
      const inner = changedBytes(Buffer.from(run[0], 'base64'), dice, samples);
      const isUrl = /[-_]/.test(run[0]) || !/=\s*$/.test(run[0]);
      const encoded = Buffer.from(inner).toString(isUrl ? 'base64url' : 'base64');
      const lines = run[0].includes('\n') ? `${encoded.replace(/.{64}/g, '$&\n')}\n` : encoded;
      return given.slice(0, run.index) + lines + given.slice(run.index + run[0].length);
    }
  }
  return latin1(anyMutation(utf8(given), dice, samples));
}

const changeText: Mutation = (bytes, dice, samples) =>
  utf8(changedText(new TextDecoder().decode(bytes), dice, samples));

/** Changes bytes once, in the format that their beginning suggests. */
function changedBytes(bytes: Uint8Array, dice: Dice, samples: readonly Seed[]): Uint8Array {
  const [first = 0] = bytes;
  if (dice.roll(3) === 0) return anyMutation(bytes, dice, samples);
  if (first === 0x7b || first === 0x5b) return changeJson(bytes, dice, samples);
  if (first === 0x30 || first === 0x31) return changeDer(bytes, dice, samples);
  if (first >= 0x80 && first <= 0xbf) return changeCbor(bytes, dice, samples);
  if (bytes.every((byte) => byte < 0x80)) return changeText(bytes, dice, samples);
  return anyMutation(bytes, dice, samples);
}

/** `sample` changed in one to three ways, by its format if that is recognized; sometimes one of `samples` instead. */
export function changed(sample: Uint8Array, samples: readonly Seed[], dice: Dice): Uint8Array {
  let bytes = copy(dice.roll(32) === 0 ? dice.pick(samples).bytes : sample);
  for (let n = 1 + dice.roll(3); n > 0; n--) bytes = copy(changedBytes(bytes, dice, samples));
  return bytes;
}
