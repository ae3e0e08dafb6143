import { type Bytes, concatSecrets, wipe } from '../../bytes.ts';

/** Longer than any line that is typed here, including a PIN. */
const MAX_SIZE = 1024;

const CONTROL = { c: 0x03, d: 0x04, u: 0x15, backspace: 0x08, delete: 0x7f, escape: 0x1b, bell: 0x07 } as const;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** The effect of a byte: the line continues or is complete, the user wants to stop, or the input has ended. */
export type Typed = 'more' | 'line' | 'interrupt' | 'end';

/** The part of an escape sequence that comes next; a number stands for that many bytes of any value. */
type Escape = 'none' | 'begun' | 'rest' | 'bracket' | 'sequence' | number;

/** The characters that begin a string after ESC: DCS, SOS, OSC, PM and APC. It ends with ESC \ or BEL. ECMA-48, 8.3. */
const BEGIN_STRING = 'PX]^_';
/** The bytes after ESC [ M, the oldest report of a mouse. */
const MOUSE_SIZE = 3;

/**
 * Builds a line from the bytes of a terminal in raw mode. Backspace, Ctrl-U, Ctrl-C and Ctrl-D work as usual; keys such as
 * the arrows do nothing. The line can be wiped.
 */
export class LineEditor {
  readonly #bytes = new Uint8Array(MAX_SIZE);
  #length = 0;
  #escape: Escape = 'none';
  /** Where a string begins that may be a terminal's answer; it belongs to the line unless its end comes. */
  #answer: number | undefined;

  /** Takes the next byte. Drops bytes that no longer fit. */
  type(byte: number): Typed {
    if (this.#isOfEscape(byte)) return 'more';
    switch (byte) {
      case LINE_FEED:
      case CARRIAGE_RETURN:
        return 'line';
      case CONTROL.c:
        return 'interrupt';
      case CONTROL.d:
        return this.#length === 0 ? 'end' : 'more';
      case CONTROL.u:
        this.wipe();
        return 'more';
      case CONTROL.backspace:
      case CONTROL.delete:
        this.#removeLast();
        return 'more';
      case CONTROL.bell:
        this.#dropAnswer();
        return 'more';
      default:
        if (byte >= 0x20 && this.#length < MAX_SIZE) this.#bytes[this.#length++] = byte;
        return 'more';
    }
  }

  /** Whether the last byte may be of an unfinished escape sequence. */
  get isInEscape(): boolean {
    return this.#escape !== 'none';
  }

  /** Takes what was typed of a sequence for all of it: a lone ESC does nothing. */
  endEscape(): void {
    this.#escape = 'none';
  }

  /** A copy of the line so far. */
  line(): Bytes {
    return concatSecrets(this.#bytes.subarray(0, this.#length));
  }

  /** Wipes the line. */
  wipe(): void {
    wipe(this.#bytes);
    this.#length = 0;
  }

  /**
   * A key without a character sends ESC and one character, or ESC [ and bytes up to one of `@` to `~`. A control character
   * ends any sequence and has its own effect, so Enter and Ctrl-C always work. ECMA-48, 5.4.
   */
  #isOfEscape(byte: number): boolean {
    if (byte === CONTROL.escape) {
      this.#escape = 'begun';
      return true;
    }
    if (byte < 0x20 || (this.#escape === 'rest' && !isContinuation(byte))) this.#escape = 'none';
    if (this.#escape === 'none') return false;
    if (this.#escape === 'begun') {
      const sign = String.fromCharCode(byte);
      if (sign === '\\') this.#dropAnswer();
      this.#answer = BEGIN_STRING.includes(sign) ? this.#length : undefined;
    }
    this.#escape = after(this.#escape, byte);
    return true;
  }

  #dropAnswer(): void {
    if (this.#answer === undefined) return;
    this.#length = Math.min(this.#answer, this.#length);
    wipe(this.#bytes.subarray(this.#length));
    this.#answer = undefined;
  }

  /** Removes the last character, which in UTF-8 may have several bytes. */
  #removeLast(): void {
    while (this.#length > 0) {
      const byte = this.#bytes[--this.#length] ?? 0;
      this.#bytes[this.#length] = 0;
      if (!isContinuation(byte)) return;
    }
  }
}

function after(state: Escape, byte: number): Escape {
  const sign = String.fromCharCode(byte);
  if (typeof state === 'number') return state > 1 ? state - 1 : 'none';
  if (state === 'begun') return sign === '[' ? 'bracket' : sign === 'O' ? 'sequence' : 'rest';
  if (state === 'rest') return state;
  if (state === 'bracket' && sign === 'M') return MOUSE_SIZE;
  // The function keys of the Linux console send ESC [ [ and a letter.
  if (state === 'bracket' && sign === '[') return 'sequence';
  return byte >= 0x40 && byte <= 0x7e ? 'none' : 'sequence';
}

/** Whether this is not the first byte of a character in UTF-8. */
const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80;
