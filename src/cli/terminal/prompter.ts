import type { Bytes } from '../../bytes.ts';
import type { LineReader } from './line-reader.ts';
import type { Printer } from './printer.ts';

/**
 * Talks with the user in lines of plain text, which a screen reader and a terminal without any abilities can cope with:
 * no colours, no cursor movement. Questions go to standard error, so that results stay alone on standard output.
 * Without a terminal nobody is asked, and the answers are the lines of standard input.
 */
export class Prompter {
  readonly #reader: LineReader;
  readonly #printer: Printer;

  constructor(reader: LineReader, printer: Printer) {
    this.#reader = reader;
    this.#printer = printer;
  }

  /** Whether somebody can be asked. */
  get isTerminal(): boolean {
    return this.#reader.isTerminal;
  }

  /** One line for the user. */
  say(text: string): void {
    this.#printer.lines(text);
  }

  /** Asks for something secret, which is not shown; undefined at the end of the input. The caller wipes it. */
  async askSecret(question: string, signal: AbortSignal): Promise<Bytes | undefined> {
    if (!this.isTerminal) return await this.#reader.line(signal);
    try {
      return await this.#reader.hiddenLine(() => this.#printer.ask(`${question} (it is not shown): `), signal);
    } finally {
      this.#printer.lines('');
    }
  }

  /** Asks for a word; whatever else is answered, or nothing at all, is a no. Without a terminal it is a no too. */
  async confirm(question: string, word: string, signal: AbortSignal): Promise<boolean> {
    if (!this.isTerminal) return false;
    this.#printer.ask(`${question} Type ${word} to go on: `);
    const line = await this.#reader.line(signal);
    return line !== undefined && new TextDecoder().decode(line).trim().toLowerCase() === word;
  }

  close(): void {
    this.#reader.close();
  }
}
