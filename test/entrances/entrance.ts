import { isDeepStrictEqual } from 'node:util';
import { concat, equal, utf8 } from '../../src/bytes.ts';
import { derBytes, derParts } from '../structured-mutations.ts';

/** What an input came to that no error refused, and what is wrong with having accepted it. */
type Verdict = { readonly accepted: boolean; readonly garbage?: string | undefined };

/** Something public that takes bytes or text from outside. */
export type Entrance = {
  /** How an input that it accepted is judged, in words. */
  readonly judgedBy: string;
  /** Reads an input and judges it. It throws what the reader throws. */
  readonly judge: (input: Uint8Array) => Promise<Verdict>;
  /** Bytes that it accepts; of a text, its UTF-8. */
  readonly sample: Uint8Array;
} & (
  | { readonly kind: 'bytes'; readonly read: (input: Uint8Array) => unknown }
  | { readonly kind: 'text'; readonly read: (input: string) => unknown }
);

/** How what was read of an input is held against the input. `again` reads another input. */
export interface Judge<T> {
  readonly words: string;
  readonly judge: (found: T, input: Uint8Array, again: (input: Uint8Array) => Promise<T>) => Verdict | Promise<Verdict>;
}

/** What encoders and builders give: bytes, text, or what is to be written as JSON; nothing for what they do not write. */
type Written = Uint8Array | string | object | undefined;
type Write<T> = (found: T, input: Uint8Array) => Written | Promise<Written>;

/** Why an input may be another than what is written, and what both are the same in. */
export interface Exception {
  readonly reason: string;
  readonly normal: (bytes: Uint8Array) => Uint8Array;
}

const ACCEPTED: Verdict = { accepted: true };
const REFUSED: Verdict = { accepted: false };
const asBytes = (written: Uint8Array | string | object): Uint8Array =>
  written instanceof Uint8Array ? written : utf8(typeof written === 'string' ? written : JSON.stringify(written));
const garbage = (problem: string): Verdict => ({ accepted: true, garbage: problem });
const shown = (bytes: Uint8Array): string =>
  bytes.every((byte) => byte >= 0x20 && byte < 0x7f)
    ? new TextDecoder().decode(bytes)
    : Buffer.from(bytes).toString('hex');

/** A judge that has what was read written again, and looks at both. */
const rewriting = <T>(
  words: string,
  write: Write<T>,
  isSame: (written: Uint8Array, input: Uint8Array, found: T, again: (input: Uint8Array) => Promise<T>) => unknown,
): Judge<T> => ({
  words,
  judge: async (found, input, again) => {
    if (found === undefined) return REFUSED;
    let written: Written;
    try {
      written = await write(found, input);
    } catch (error) {
      return garbage(`it cannot be written: ${error}`);
    }
    if (written === undefined) return ACCEPTED;
    const bytes = asBytes(written);
    return (await isSame(bytes, input, found, again)) ? ACCEPTED : garbage(`it is written as ${shown(bytes)}`);
  },
});

/** What was read is written as the same bytes, but for the exception. */
export const same = <T>(write: Write<T>, except?: Exception): Judge<T> =>
  rewriting(
    except === undefined ? 'the same bytes' : `the same bytes, but ${except.reason}`,
    write,
    (written, input) =>
      except === undefined ? equal(written, input) : equal(except.normal(written), except.normal(input)),
  );

/** For the reason given the bytes may differ: what was read is written as something of which the same is read. */
export const alike = <T>(reason: string, write: Write<T>): Judge<T> =>
  rewriting(`what is written reads the same; ${reason}`, write, async (written, _, found, again) =>
    isDeepStrictEqual(await again(written), found),
  );

/** JSON of which white space, order and members that are ignored may differ: the members that are written have the values that they had. */
export const members = <T>(write: Write<T>, except?: Exception): Judge<T> =>
  rewriting(
    `the same members of JSON${except === undefined ? '' : `, but ${except.reason}`}`,
    write,
    (written, input) => {
      const normal = except?.normal ?? ((bytes: Uint8Array) => bytes);
      return isPartOf(parseJson(normal(written)), parseJson(normal(input)));
    },
  );

const parseJson = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));

/** Whether `part` has no other members than `whole`, and the same values; null is as good as missing. */
function isPartOf(part: unknown, whole: unknown): boolean {
  if (part === null) return whole === null || whole === undefined;
  if (typeof part !== 'object' || typeof whole !== 'object' || whole === null) return part === whole;
  if (Array.isArray(part) !== Array.isArray(whole)) return false;
  if (Array.isArray(part) && Array.isArray(whole) && part.length !== whole.length) return false;
  const values = new Map<string, unknown>(Object.entries(whole));
  return Object.entries(part).every(([name, value]) => isPartOf(value, values.get(name)));
}

/** A verifier that passes nothing but the sample, but for the exception byte for byte. */
export const onlySample = <T>(
  sample: Uint8Array | string,
  passes: (found: T) => boolean,
  except?: Exception,
): Judge<T> => {
  const normal = except?.normal ?? ((bytes: Uint8Array) => bytes);
  const wanted = normal(asBytes(sample));
  return {
    words: `nothing passes but the sample${except === undefined ? '' : `, but ${except.reason}`}`,
    judge: (found, input) => {
      if (!passes(found)) return REFUSED;
      return equal(wanted, normal(input)) ? ACCEPTED : garbage('it passes, and is not the sample');
    },
  };
};

const upperCase = (bytes: Uint8Array): Uint8Array => utf8(new TextDecoder().decode(bytes).toUpperCase());

/** Hexadecimal digits are read in either case. */
export const EITHER_CASE: Exception = { reason: 'hexadecimal digits are read in either case', normal: upperCase };

/** Lengths are read in longer forms than DER has, as Windows writes them (MS-DVRJ, 4.1). */
export const LONG_LENGTHS: Exception = {
  reason: 'lengths are read in longer forms than DER has',
  normal: (bytes) => concat(...(derParts(bytes) ?? []).map(derBytes)),
};

/** The text of a JSON member: white space and other members around it may differ. */
export const memberOnly = (name: string): Exception => ({
  reason: `JSON may have white space and members besides ${name}`,
  normal: (bytes) => utf8(String(Object(parseJson(bytes))[name])),
});

/** What nothing writes, for the reason given: it is only counted. */
export const counted = <T>(reason: string): Judge<T> => ({ words: `counted: ${reason}`, judge: () => ACCEPTED });

/** An entrance for bytes. */
export function bytes<T>(
  read: (input: Uint8Array) => T | Promise<T>,
  sample: Uint8Array,
  { words, judge }: Judge<T>,
): Entrance {
  const again = async (input: Uint8Array): Promise<T> => await read(input);
  const judgeInput = async (input: Uint8Array) => await judge(await read(input), input, again);
  return { kind: 'bytes', read, sample, judgedBy: words, judge: judgeInput };
}

/** An entrance for text. */
export function text<T>(
  read: (input: string) => T | Promise<T>,
  sample: string | object,
  { words, judge }: Judge<T>,
): Entrance {
  const decoded = (input: Uint8Array): string => new TextDecoder('utf-8', { ignoreBOM: true }).decode(input);
  const again = async (input: Uint8Array): Promise<T> => await read(decoded(input));
  const judgeInput = async (input: Uint8Array) => {
    const given = decoded(input);
    // What is no UTF-8 was replaced.
    return await judge(await read(given), utf8(given), again);
  };
  return { kind: 'text', read, sample: asBytes(sample), judgedBy: words, judge: judgeInput };
}
