import { sayError } from '../errors.ts';
import { gathered, shortened } from './fields.ts';
import type { Content, Field, Reading } from './inspection.ts';

/** Longer inputs are only read by formats that can be that long. In bytes or characters. */
export const MAX_USUAL_SIZE: number = 128 * 1024;

/** A format, and how its input (bytes, text, JSON or a DER value) is recognized and read. */
export interface Format<T> {
  readonly format: string;
  /** For people. */
  readonly title: string;
  /** Tells quickly whether the input may be of this format. */
  readonly claims: (input: T) => boolean;
  /** Whether it may also claim inputs of other formats. Then an input that it cannot read does not count as damaged. */
  readonly unmarked?: boolean;
  /** Whether files of it can be longer than {@link MAX_USUAL_SIZE}. */
  readonly large?: boolean;
  /** Reads the input. Throws if it is not of this format, or damaged. */
  readonly read: (input: T) => Content | Promise<Content>;
}

/** A format that an input has, or may have. */
export interface Candidate extends Reading {
  readonly problems: readonly string[];
  readonly fields: readonly Field[];
  /** Whether only the hint says that it has this format. */
  readonly isOnlyHinted?: boolean;
}

/**
 * What an input may be, in the order of the formats. Always tries the format of the hint, so that its problems are
 * reported.
 */
export async function candidatesOf<T>(
  formats: readonly Format<T>[],
  input: T,
  { size, hint }: { readonly size: number; readonly hint: string | undefined },
): Promise<Candidate[]> {
  const found: Candidate[] = [];
  for (const one of formats) {
    if (size > MAX_USUAL_SIZE && one.large !== true) continue;
    const candidate = await candidateOf(one, input, one.format === hint);
    if (candidate !== undefined) found.push(candidate);
  }
  return found;
}

async function candidateOf<T>(
  { format, title, claims, unmarked = false, read }: Format<T>,
  input: T,
  isHinted: boolean,
): Promise<Candidate | undefined> {
  const damaged = (problem: string): Candidate => ({
    ...{ format, title, confidence: 'damaged', problems: [shortened(problem)], fields: [] },
  });
  let isClaimed = isHinted;
  try {
    const isOnlyHinted = !claims(input);
    if (isOnlyHinted && !isHinted) return undefined;
    isClaimed ||= !unmarked;
    const { title: exact = title, problems, fields } = gathered(await read(input));
    if (isOnlyHinted && !unmarked) return damaged('it does not look like this format');
    return {
      format,
      title: exact,
      confidence: unmarked ? 'likely' : 'certain',
      problems: problems.map((problem) => shortened(problem)),
      fields,
      isOnlyHinted,
    };
  } catch (error) {
    // Bytes from outside can fail in any way. Each failure means the same: they are not of this format.
    if (!isClaimed) return undefined;
    return damaged(`it cannot be read: ${sayError(error)}`);
  }
}
