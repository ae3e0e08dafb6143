import { printable, printableJson } from '../../printable.ts';
import { inOptions, type RepeatedOptions } from './ways-on.ts';

/** The target of text: the needed part of `process.stdout` and `process.stderr`. */
export interface TextStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const ERASE_LINE = '\r\x1b[2K';
/** Words that begin a line, by their color: green, red, yellow. Each says the same without it. */
const COLORS = [
  ['\x1b[32m', '✓ ok pass verified:'],
  ['\x1b[31m', '✗ fail problem NOT keyprov:'],
  ['\x1b[33m', 'missing unknown skipped warning:'],
] as const;

/** Whether a stream gets colors: if it is a terminal that can show them, and as `NO_COLOR` and `FORCE_COLOR` say. */
export function hasColor({ isTTY }: TextStream, { NO_COLOR, FORCE_COLOR, TERM }: NodeJS.ProcessEnv): boolean {
  if (NO_COLOR) return false;
  if (FORCE_COLOR) return FORCE_COLOR !== '0';
  return isTTY === true && TERM !== 'dumb';
}

/**
 * The only way from this program to a terminal. It writes only printable characters, and decides where a line ends: no
 * service, file or TPM can move the cursor, set the clipboard or add a line. It names the options of the command line
 * where the library names its own.
 */
export class Printer {
  readonly #stream: TextStream;
  readonly #env: NodeJS.ProcessEnv;
  /** The options that an advised command repeats. */
  repeated: RepeatedOptions = [];

  constructor(stream: TextStream, env: NodeJS.ProcessEnv = process.env) {
    this.#stream = stream;
    this.#env = env;
  }

  /** One line each; a terminal gets them wrapped at words, and in color. */
  lines(...texts: readonly string[]): void {
    this.#write(texts.map((text) => this.#shaped(text)));
  }

  /** One line each, unchanged: for text that is copied. */
  verbatim(...texts: readonly string[]): void {
    this.#write(texts.map((text) => printable(text)));
  }

  /** Help: several lines of our own, wrapped at words everywhere. */
  help(text: string): void {
    const { isTTY, columns } = this.#stream;
    const width = (isTTY && columns) || 80;
    this.#write(
      text
        .replace(/\n$/, '')
        .split('\n')
        .map((line) => wrap(printable(line), Math.max(width, 20), 0)),
    );
  }

  /** One JSON object. Only its messages name options: other members may come from files. */
  json(value: object): void {
    this.#stream.write(`${printableJson(value, (key, member) => messageInOptions(key, member, this.repeated))}\n`);
  }

  /** A question, on a line that the user completes. */
  ask(text: string): void {
    this.#stream.write(this.#said(text));
  }

  /** Replaces the line that {@link draw} has left. */
  replace(text: string): void {
    this.#stream.write(`${ERASE_LINE}${this.#shaped(text)}\n`);
  }

  /** Shows a line that the next call replaces. Cuts the text, since a wrapped line could not be erased. */
  draw(text: string): void {
    this.#stream.write(ERASE_LINE + this.#said(text).slice(0, (this.#stream.columns || 80) - 1));
  }

  #said(text: string): string {
    return printable(inOptions(text, this.repeated));
  }

  #write(lines: readonly string[]): void {
    if (lines.length > 0) this.#stream.write(lines.map((line) => `${line}\n`).join(''));
  }

  /** A terminal of unknown width, or a very narrow one, breaks lines itself. */
  #shaped(text: string): string {
    const { isTTY, columns = 0 } = this.#stream;
    const line = isTTY && columns >= 20 ? wrap(this.#said(text), columns) : this.#said(text);
    const [word = ''] = line.split(' ', 1);
    if (!hasColor(this.#stream, this.#env)) return line;
    const [color] = COLORS.find(([, words]) => words.split(' ').includes(word)) ?? [];
    return color === undefined ? line : `${color}${word}\x1b[39m${line.slice(word.length)}`;
  }
}

const MESSAGES = /^(?:message|remed(?:y|ies)|reasons?|details?|problems?|warnings?)$/;

function messageInOptions(key: string, value: unknown, repeated: RepeatedOptions): unknown {
  if (!MESSAGES.test(key)) return value;
  const told = (one: unknown) => (typeof one === 'string' ? inOptions(one, repeated) : one);
  return Array.isArray(value) ? value.map(told) : told(value);
}

/**
 * Breaks a line at blanks, and continues it below the second column of a table, or indented by `hang`. A word that is longer than `width` stays
 * whole, and so does a command to copy.
 */
function wrap(text: string, width: number, hang = 2): string {
  if (text.length <= width || text.trimStart().startsWith('keyprov ')) return text;
  const margin = text.length - text.trimStart().length;
  const gap = text.indexOf('  ', margin);
  const least = margin === 0 ? hang : margin + 2;
  const column = gap < 0 ? least : text.length - text.slice(gap).trimStart().length;
  const indent = ' '.repeat(column <= width / 2 ? column : least);
  const lines: string[] = [];
  let rest = text;
  while (rest.length > width) {
    const back = Math.max(rest.lastIndexOf(' ', width), 0);
    const at = rest.slice(0, back).trim() === '' ? rest.indexOf(' ', width) : back;
    if (at < 0) break;
    lines.push(rest.slice(0, at));
    rest = indent + rest.slice(at).trimStart();
  }
  return [...lines, rest].join('\n');
}
