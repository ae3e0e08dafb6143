import { type Bytes, concatSecrets, wipe } from '../../bytes.ts';

/** Longer than any line that is typed here, including a PIN. */
const MAX_SIZE = 1024;

const CONTROL = { c: 0x03, d: 0x04, u: 0x15, backspace: 0x08, delete: 0x7f, escape: 0x1b } as const;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** The effect of a byte: the line continues or is complete, the user wants to stop, or the input has ended. */
export type Typed = 'more' | 'line' | 'interrupt' | 'end';

/**
 * Builds a line from the bytes of a terminal in raw mode. Backspace, Ctrl-U, Ctrl-C and Ctrl-D work as usual; keys such as
 * the arrows do nothing. The line can be wiped.
 */
export class LineEditor {
  readonly #bytes = new Uint8Array(MAX_SIZE);
  #length = 0;
  #escape: 'none' | 'begun' | 'sequence' = 'none';

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
      default:
        if (byte >= 0x20 && this.#length < MAX_SIZE) this.#bytes[this.#length++] = byte;
        return 'more';
    }
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

  /** A key without a character sends ESC and one byte, or ESC [ and bytes up to one of `@` to `~`. ECMA-48, 5.4. */
  #isOfEscape(byte: number): boolean {
    if (this.#escape === 'none') {
      if (byte !== CONTROL.escape) return false;
      this.#escape = 'begun';
    } else if (this.#escape === 'begun') {
      this.#escape = byte === 0x5b || byte === 0x4f ? 'sequence' : 'none';
      // The escape key itself, followed by an ordinary key.
      return byte >= 0x20;
    } else if (byte >= 0x40 && byte <= 0x7e) {
      this.#escape = 'none';
    }
    return true;
  }

  /** Removes the last character, which in UTF-8 may have several bytes. */
  #removeLast(): void {
    while (this.#length > 0) {
      const byte = this.#bytes[--this.#length] ?? 0;
      this.#bytes[this.#length] = 0;
      if ((byte & 0xc0) !== 0x80) return;
    }
  }
}
