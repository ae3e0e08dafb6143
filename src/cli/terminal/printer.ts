import { printable, printableJson } from '../../printable.ts';

/** The target of text: the needed part of `process.stdout` and `process.stderr`. */
export interface TextStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const ERASE_LINE = '\r\x1b[2K';

/**
 * The only way from this program to a terminal. It writes only printable characters, and decides where a line ends: no
 * service, file or TPM can move the cursor, set the clipboard or add a line.
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

  /** Several lines of our own text, such as help. */
  text(text: string): void {
    this.lines(...text.replace(/\n$/, '').split('\n'));
  }

  /** One JSON object. */
  json(value: object): void {
    this.#stream.write(`${printableJson(value)}\n`);
  }

  /** A question, on a line that the user completes. */
  ask(text: string): void {
    this.#stream.write(printable(text));
  }

  /** Replaces the line that {@link draw} has left. */
  replace(text: string): void {
    this.#stream.write(`${ERASE_LINE}${printable(text)}\n`);
  }

  /** Replaces the line before until the next call. Cuts the text, since a wrapped line could not be erased. */
  draw(text: string): void {
    this.#stream.write(ERASE_LINE + printable(text).slice(0, (this.#stream.columns || 80) - 1));
  }
}
