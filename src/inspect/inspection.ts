/**
 * How sure a reading is. `certain`: the bytes say of themselves what they are, and could be read. `likely`: they have no
 * mark of their own, but were read to their exact end. `damaged`: they begin as that, but could not be read. `none`:
 * nothing that is known here.
 */
export type Confidence = 'certain' | 'likely' | 'damaged' | 'none';

/** What something was found to be. */
export interface Reading {
  /** For programs: `tpmt-public`, `certificate`, … or `unknown`. The names are those of {@link FORMATS}. */
  readonly format: string;
  /** For people. */
  readonly title: string;
  readonly confidence: Confidence;
}

/** A part of what was read: a value, parts of its own, or both. Bytes are hexadecimal. No secret is ever in it. */
export interface Field {
  readonly name: string;
  readonly value?: string | number | boolean;
  readonly fields?: readonly Field[];
}

/** What `inspect` found out about a file. It is plain data and goes into JSON as it is. */
export interface Inspection extends Reading {
  /** The text encodings that were taken off, from the outside in: `base64`, `PEM CERTIFICATE`. */
  readonly encodings: readonly string[];
  /** Number of bytes of what was read, behind all encodings. */
  readonly size: number;
  /** What is wrong with it, or odd, for people; it was read all the same. */
  readonly problems: readonly string[];
  readonly fields: readonly Field[];
  /** What it may be as well. */
  readonly alternatives: readonly Reading[];
}

/** What a reader says of something. */
export interface Description {
  /** More exact than that of the format. */
  readonly title?: string;
  readonly problems: readonly string[];
  readonly fields: readonly Field[];
}
