import { isDeepStrictEqual } from 'node:util';
import { concat, equal, utf8 } from '../../src/bytes.ts';
import { derBytes, derParts } from '../structured-mutations.ts';

/** The result of an accepted input, and the reason why accepting it is wrong, if any. */
type Verdict = { readonly accepted: boolean; readonly garbage?: string | undefined };

/** A public function that reads bytes or text from outside. */
export type Entrance = {
  /** How an accepted input is judged, in words. */
  readonly judgedBy: string;
  /** Reads an input and judges it. Throws the reader's errors. */
  readonly judge: (input: Uint8Array) => Promise<Verdict>;
  /** Accepted bytes; for text, UTF-8. */
  readonly sample: Uint8Array;
} & (
  | { readonly kind: 'bytes'; readonly read: (input: Uint8Array) => unknown }
  | { readonly kind: 'text'; readonly read: (input: string) => unknown }
);

/** Compares an input with the value read from it. `again` reads another input. */
export interface Judge<T> {
  readonly words: string;
  readonly judge: (found: T, input: Uint8Array, again: (input: Uint8Array) => Promise<T>) => Verdict | Promise<Verdict>;
}

/** The output of encoders and builders: bytes, text or a value for JSON; undefined if they do not write it. */
type Written = Uint8Array | string | object | undefined;
type Write<T> = (found: T, input: Uint8Array) => Written | Promise<Written>;

/** Why an input may differ from the output, and what both have in common. */
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

/** A judge that encodes the value again and compares input and output. */
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

/** The value is encoded as the same bytes, apart from the exception. */
export const same = <T>(write: Write<T>, except?: Exception): Judge<T> =>
  rewriting(
    except === undefined ? 'the same bytes' : `the same bytes, but ${except.reason}`,
    write,
    (written, input) =>
      except === undefined ? equal(written, input) : equal(except.normal(written), except.normal(input)),
  );

/** The bytes may differ for the given reason, but reading the output gives the same value. */
export const alike = <T>(reason: string, write: Write<T>): Judge<T> =>
  rewriting(`what is written reads the same; ${reason}`, write, async (written, _, found, again) =>
    isDeepStrictEqual(await again(written), found),
  );

/** JSON whose white space, order and ignored members may differ. All written members must have the input's values. */
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

/** Whether all members of `part` are in `whole` with the same values. A null member counts as missing. */
function isPartOf(part: unknown, whole: unknown): boolean {
  if (part === null) return whole === null || whole === undefined;
  if (typeof part !== 'object' || typeof whole !== 'object' || whole === null) return part === whole;
  if (Array.isArray(part) !== Array.isArray(whole)) return false;
  if (Array.isArray(part) && Array.isArray(whole) && part.length !== whole.length) return false;
  const values = new Map<string, unknown>(Object.entries(whole));
  return Object.entries(part).every(([name, value]) => isPartOf(value, values.get(name)));
}

/** A verifier that accepts only the sample, byte for byte apart from the exception. */
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

/** Hexadecimal digits may be in upper or lower case. */
export const EITHER_CASE: Exception = { reason: 'hexadecimal digits are read in either case', normal: upperCase };

/** Lengths may be in longer forms than DER allows, as Windows writes them (MS-DVRJ, 4.1). */
export const LONG_LENGTHS: Exception = {
  reason: 'lengths are read in longer forms than DER has',
  normal: (bytes) => concat(...(derParts(bytes) ?? []).map(derBytes)),
};

/** The text of a JSON member: white space and other members around it may differ. */
export const memberOnly = (name: string): Exception => ({
  reason: `JSON may have white space and members besides ${name}`,
  normal: (bytes) => utf8(String(Object(parseJson(bytes))[name])),
});

/** Nothing writes this format, for the given reason, so inputs are only counted. */
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
    // Bytes that are not UTF-8 have been replaced.
    return await judge(await read(given), utf8(given), again);
  };
  return { kind: 'text', read, sample: asBytes(sample), judgedBy: words, judge: judgeInput };
}
