import { printable, printableJson } from '../../printable.ts';

/** Where text is written: what is needed of `process.stdout` and `process.stderr`. */
export interface TextStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const ERASE_LINE = '\r\x1b[2K';

/**
 * The only way from this program to a terminal. Whatever text it is given, it writes printable characters, and where a
 * line ends it decides: no service, file or TPM can move the cursor, set the clipboard or add a line of its own.
 */
export class Printer {
  readonly #stream: TextStream;

  constructor(stream: TextStream) {
    this.#stream = stream;
  }

  /** One line each. */
  lines(...texts: readonly string[]): void {
    if (texts.length > 0) this.#stream.write(texts.map((text) => `${printable(text)}\n`).join(''));
  }

  /** Several lines of our own, such as those of the help. */
  text(text: string): void {
    this.lines(...text.replace(/\n$/, '').split('\n'));
  }

  /** One JSON object. */
  json(value: object): void {
    this.#stream.write(`${printableJson(value)}\n`);
  }

  /** The beginning of a line, which the user ends. */
  ask(text: string): void {
    this.#stream.write(printable(text));
  }

  /** A line in place of the one that {@link draw} has left. */
  replace(text: string): void {
    this.#stream.write(`${ERASE_LINE}${printable(text)}\n`);
  }

  /** A line in place of the one before, which the next one replaces: cut, since one that wraps could not be erased. */
  draw(text: string): void {
    this.#stream.write(ERASE_LINE + printable(text).slice(0, (this.#stream.columns || 80) - 1));
  }
}
