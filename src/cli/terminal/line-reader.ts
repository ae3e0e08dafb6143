import { type Bytes, concat, wipe } from '../../bytes.ts';
import { UsageError } from '../options/arguments.ts';
import { LineEditor } from './line-editor.ts';

/** What a line is read from: `process.stdin`, a terminal or not. */
export type InputStream = Pick<NodeJS.ReadableStream, 'on' | 'off' | 'pause' | 'resume'> & {
  readonly isTTY?: boolean;
  readonly setRawMode?: (mode: boolean) => unknown;
};

const MAX_LINE = 65_536;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const NOTHING = new Uint8Array(0);

/** Reads one line after the other, as bytes that the caller wipes, and nothing before it is asked to. */
export class LineReader {
  readonly #stream: InputStream;
  readonly #interrupt: () => void;
  /** Read already, and not asked for yet. */
  #rest: Bytes = NOTHING;
  #ended = false;

  /** `interrupt` is called for Ctrl-C while a line is typed that is not shown; its signal is to abort the reading. */
  constructor(stream: InputStream, interrupt: () => void) {
    this.#stream = stream;
    this.#interrupt = interrupt;
  }

  /** Whether somebody can be asked. */
  get isTerminal(): boolean {
    return this.#stream.isTTY === true;
  }

  /**
   * The next line without its end; undefined where there is none.
   * @throws UsageError for one of more than 64 KiB; the reason of `signal`.
   */
  async line(signal: AbortSignal): Promise<Bytes | undefined> {
    for (;;) {
      const at = this.#rest.indexOf(LINE_FEED);
      if (at >= 0 || (this.#ended && this.#rest.length > 0)) {
        const end = at < 0 ? this.#rest.length : at;
        const line = this.#rest.slice(0, this.#rest[end - 1] === CARRIAGE_RETURN ? end - 1 : end);
        this.#keep(this.#rest.slice(at < 0 ? end : end + 1));
        return line;
      }
      if (this.#ended) return undefined;
      if (this.#rest.length > MAX_LINE) throw new UsageError(['standard input: a line is longer than a PIN can be']);
      await this.#readMore(signal);
    }
  }

  /** The same for a line that a terminal does not show while it is typed. `ask` is called when it shows no more. */
  async hiddenLine(ask: () => void, signal: AbortSignal): Promise<Bytes | undefined> {
    const stream = this.#stream;
    if (!stream.isTTY || stream.setRawMode === undefined) {
      ask();
      return await this.line(signal);
    }
    const setRawMode = stream.setRawMode.bind(stream);
    const restore = () => void setRawMode(false);
    const editor = new LineEditor();
    // Whatever ends the process in between, the user gets the terminal back as it was.
    process.once('exit', restore);
    setRawMode(true);
    try {
      ask();
      for (;;) {
        const typed = this.#edit(editor);
        if (typed === 'line') return editor.line();
        if (typed === 'end' || this.#ended) return undefined;
        if (typed === 'interrupt') this.#interrupt();
        await this.#readMore(signal);
      }
    } finally {
      editor.wipe();
      restore();
      process.off('exit', restore);
    }
  }

  /** Wipes what was read and not asked for, and lets the process end. */
  close(): void {
    this.#keep(NOTHING);
    this.#stream.pause();
  }

  /** Types what was read, up to something that is more than a character. */
  #edit(editor: LineEditor): ReturnType<LineEditor['type']> {
    for (const [index, byte] of this.#rest.entries()) {
      const typed = editor.type(byte);
      if (typed === 'more') continue;
      // A line that was pasted may end as Windows has it.
      const isPair = byte === CARRIAGE_RETURN && this.#rest[index + 1] === LINE_FEED;
      this.#keep(this.#rest.slice(index + (isPair ? 2 : 1)));
      return typed;
    }
    this.#keep(NOTHING);
    return 'more';
  }

  #keep(rest: Bytes): void {
    wipe(this.#rest);
    this.#rest = rest;
  }

  /** Waits for more input, or for its end. */
  async #readMore(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const stream = this.#stream;
    let stop = () => {};
    const read = new Promise<void>((resolve, reject) => {
      const onData = (chunk: Uint8Array) => {
        this.#keep(concat(this.#rest, chunk));
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
