import { type Bytes, concatSecrets, wipe } from '../../bytes.ts';
import type { LineReader } from './line-reader.ts';
import type { Printer } from './printer.ts';

/**
 * Talks to the user in lines of plain text, which work with a screen reader and with any terminal: no colors, no cursor
 * movement. Questions go to standard error, so that standard output contains only results. Without a terminal it asks
 * nothing, and takes the lines of standard input as answers.
 */
export class Prompter {
  readonly #reader: LineReader;
  readonly #printer: Printer;
  readonly #kept = new Map<string, Bytes | undefined>();

  constructor(reader: LineReader, printer: Printer) {
    this.#reader = reader;
    this.#printer = printer;
  }

  /** Whether there is a user to ask. */
  get isTerminal(): boolean {
    return this.#reader.isTerminal;
  }

  /** Shows one line to the user. */
  say(text: string): void {
    this.#printer.lines(text);
  }

  /** Asks for a secret without showing it; undefined at the end of the input. The caller wipes it. */
  async askSecret(question: string, signal: AbortSignal): Promise<Bytes | undefined> {
    if (!this.isTerminal) return await this.#reader.line(signal);
    try {
      return await this.#reader.hiddenLine(() => this.#printer.ask(`${question} (not shown): `), signal);
    } finally {
      this.#printer.lines('');
    }
  }

  /** The same for a secret that is needed repeatedly: the answer is kept until {@link close}. The caller wipes its copy. */
  async askSecretOnce(question: string, signal: AbortSignal): Promise<Bytes | undefined> {
    if (!this.#kept.has(question)) this.#kept.set(question, await this.askSecret(question, signal));
    const secret = this.#kept.get(question);
    return secret && concatSecrets(secret);
  }

  /** Asks the user to type "yes". Any other answer means no, and so does a missing terminal. */
  async confirm(question: string, signal: AbortSignal): Promise<boolean> {
    if (!this.isTerminal) return false;
    this.#printer.ask(`${question} Type yes to continue: `);
    const line = await this.#reader.line(signal);
    return line !== undefined && new TextDecoder().decode(line).trim().toLowerCase() === 'yes';
  }

  close(): void {
    wipe(...this.#kept.values());
    this.#reader.close();
  }
}
