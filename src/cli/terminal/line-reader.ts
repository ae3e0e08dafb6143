import { type Bytes, concatSecrets, EMPTY, wipe } from '../../bytes.ts';
import { endsWithin } from '../../signal.ts';
import { UsageError } from '../options/arguments.ts';
import { LineEditor } from './line-editor.ts';

/** The source of lines: `process.stdin`, whether or not it is a terminal. */
export type InputStream = Pick<NodeJS.ReadableStream, 'on' | 'off' | 'pause' | 'resume'> & {
  readonly isTTY?: boolean;
  readonly setRawMode?: (mode: boolean) => unknown;
};

const MAX_LINE = 65_536;
/** How long an escape sequence may pause, in milliseconds; Node.js' readline waits as long. */
const ESCAPE_MS = 500;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Reads line after line, on demand, as bytes that the caller wipes. */
export class LineReader {
  readonly #stream: InputStream;
  readonly #interrupt: () => void;
  /** Bytes that were read but not yet returned. */
  #rest: Bytes = EMPTY;
  #ended = false;

  /** Calls `interrupt` for Ctrl-C while a hidden line is typed. That must abort the signal of the read. */
  constructor(stream: InputStream, interrupt: () => void) {
    this.#stream = stream;
    this.#interrupt = interrupt;
  }

  /** Whether there is a user to ask. */
  get isTerminal(): boolean {
    return this.#stream.isTTY === true;
  }

  /**
   * The next line without its line break; undefined at the end of the input.
   * @throws UsageError for one of more than 64 KiB; the reason of `signal`.
   */
  async line(signal: AbortSignal): Promise<Bytes | undefined> {
    for (;;) {
      const at = this.#rest.indexOf(LINE_FEED);
      if (at >= 0 || (this.#ended && this.#rest.length > 0)) {
        const end = at < 0 ? this.#rest.length : at;
        const line = concatSecrets(this.#rest.subarray(0, this.#rest[end - 1] === CARRIAGE_RETURN ? end - 1 : end));
        this.#keep(this.#rest.subarray(at < 0 ? end : end + 1));
        return line;
      }
      if (this.#ended) return undefined;
      if (this.#rest.length > MAX_LINE) throw new UsageError(['standard input: a line is longer than a PIN can be']);
      await this.#readMore(signal);
    }
  }

  /** Reads a line that the terminal does not show. Calls `ask` once the terminal has stopped showing input. */
  async hiddenLine(ask: () => void, signal: AbortSignal): Promise<Bytes | undefined> {
    const stream = this.#stream;
    if (!stream.isTTY || stream.setRawMode === undefined) {
      ask();
      return await this.line(signal);
    }
    const setRawMode = stream.setRawMode.bind(stream);
    const restore = () => void setRawMode(false);
    const editor = new LineEditor();
    // However the process ends, the terminal is restored.
    process.once('exit', restore);
    setRawMode(true);
    try {
      ask();
      for (;;) {
        const typed = this.#edit(editor);
        if (typed === 'line') return editor.line();
        if (typed === 'end' || this.#ended) return undefined;
        if (typed === 'interrupt') this.#interrupt();
        const reading = this.#readMore(signal);
        if (editor.isInEscape && !(await endsWithin(ESCAPE_MS, reading))) editor.endEscape();
        await reading;
      }
    } finally {
      editor.wipe();
      restore();
      process.off('exit', restore);
    }
  }

  /** Wipes unused input, and lets the process end. */
  close(): void {
    this.#keep();
    this.#stream.pause();
  }

  /** Feeds the editor up to the first byte that ends the line or the input. */
  #edit(editor: LineEditor): ReturnType<LineEditor['type']> {
    for (const [index, byte] of this.#rest.entries()) {
      const typed = editor.type(byte);
      if (typed === 'more') continue;
      // A pasted line may end with CR LF.
      const isPair = byte === CARRIAGE_RETURN && this.#rest[index + 1] === LINE_FEED;
      this.#keep(this.#rest.subarray(index + (isPair ? 2 : 1)));
      return typed;
    }
    this.#keep();
    return 'more';
  }

  #keep(...rest: readonly Uint8Array[]): void {
    const kept = concatSecrets(...rest);
    wipe(this.#rest);
    this.#rest = kept;
  }

  /** Waits for more input, or for its end. */
  async #readMore(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const stream = this.#stream;
    let stop = () => {};
    const read = new Promise<void>((resolve, reject) => {
      const onData = (chunk: Uint8Array) => {
        this.#keep(this.#rest, chunk);
        wipe(chunk);
        resolve();
      };
      const onEnd = () => {
        this.#ended = true;
        resolve();
      };
      const onAbort = () => reject(signal.reason);
      stop = () => {
        stream.pause();
        stream.off('data', onData).off('end', onEnd).off('error', reject);
        signal.removeEventListener('abort', onAbort);
      };
      stream.on('data', onData).on('end', onEnd).on('error', reject);
      signal.addEventListener('abort', onAbort, { once: true });
      stream.resume();
    });
    await read.finally(() => stop());
  }
}
