/**
 * How certain a reading is. `certain`: the bytes identify their format, and could be read. `likely`: they do not
 * identify it, but could be read, with nothing left over. `damaged`: they begin like the format, but could not be read.
 * `none`: the format is unknown, also that in a PEM block.
 */
export type Confidence = 'certain' | 'likely' | 'damaged' | 'none';

/** The format that was found. */
export interface Reading {
  /**
   * For programs: a name from {@link FORMATS}, such as `certificate`; `pem` for several PEM blocks or one of another
   * kind, `json` for damaged JSON, or `unknown`.
   */
  readonly format: string;
  /** For people. */
  readonly title: string;
  readonly confidence: Confidence;
}

/** A part of the content: a value, sub-parts, or both. Bytes are in hexadecimal. Never contains a secret. */
export interface Field {
  readonly name: string;
  readonly value?: string | number | boolean;
  readonly fields?: readonly Field[];
}

/** What `inspect` found in a file: plain data that can be written as JSON. */
export interface Inspection extends Reading {
  /** The text encodings that were removed, from the outside in, such as `base64` or `PEM CERTIFICATE`. */
  readonly encodings: readonly string[];
  /** The number of bytes inside all encodings. */
  readonly size: number;
  /** What is wrong or odd, for people. */
  readonly problems: readonly string[];
  readonly fields: readonly Field[];
  /** Other formats that the file may have. */
  readonly alternatives: readonly Reading[];
}

/** A field with what is wrong with it. */
export interface Part extends Field {
  readonly problems?: readonly string[];
  readonly fields?: readonly Part[];
}

/** What the reader of a format found, with a title or problems of the whole. */
export interface Description {
  /** More exact than the title of the format. */
  readonly title?: string;
  /** Come before those of the parts. */
  readonly problems?: readonly string[];
  readonly fields: readonly Part[];
}

/** What the reader of a format found. */
export type Content = Description | readonly Part[];
