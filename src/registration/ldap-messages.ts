import { ServiceError } from '../errors/service-error.ts';
import { LIMIT } from '../limits.ts';

/** How many messages may answer one operation: an entry or two, some references, and the result. */
const MAX_MESSAGES = 1000;
const MAX_BYTES = LIMIT.document;
const SEQUENCE = 0x30;

/**
 * Cuts what a directory sends into whole messages (RFC 4511, 5.1), in time that grows with its size. A directory may
 * answer one operation with 1 MiB in 1,000 messages.
 */
export class LdapMessages {
  /** Begins with `#length` bytes of a message that is not whole yet; the rest is room for more. */
  #room = new Uint8Array(4096);
  #length = 0;
  #bytes = 0;
  #messages = 0;

  /** Whether nothing of a message is there that is not whole. */
  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** Notes that an operation begins. */
  begin(): void {
    this.#bytes = 0;
    this.#messages = 0;
  }

  /** The messages that are whole with `data`. @throws ServiceError `service-answer` */
  take(data: Uint8Array): Uint8Array[] {
    this.#bytes += data.length;
    if (this.#bytes > MAX_BYTES) throw wrong(`more than ${MAX_BYTES} bytes to one operation`);
    this.#append(data);
    const messages: Uint8Array[] = [];
    let at = 0;
    for (;;) {
      const size = sizeOf(this.#room.subarray(at, this.#length));
      if (size === undefined || size > this.#length - at) break;
      messages.push(this.#room.slice(at, at + size));
      at += size;
    }
    this.#room.copyWithin(0, at, this.#length);
    this.#length -= at;
    this.#messages += messages.length;
    if (this.#messages > MAX_MESSAGES) throw wrong(`more than ${MAX_MESSAGES} messages to one operation`);
    return messages;
  }

  #append(data: Uint8Array): void {
    const length = this.#length + data.length;
    if (length > this.#room.length) {
      const larger = new Uint8Array(2 * length);
      larger.set(this.#room.subarray(0, this.#length));
      this.#room = larger;
    }
    this.#room.set(data, this.#length);
    this.#length = length;
  }
}

/** How long the message is that begins there; undefined while that is not to be seen. X.690, 8.1.3. */
function sizeOf(bytes: Uint8Array): number | undefined {
  const [tag = SEQUENCE, first] = bytes;
  if (tag !== SEQUENCE) throw wrong('what comes is not a message of LDAP');
  if (first === undefined) return undefined;
  if (first < 0x80) return 2 + first;
  const count = first - 0x80;
  if (count === 0 || count > 4) throw wrong('what comes is not a message of LDAP');
  if (bytes.length < 2 + count) return undefined;
  const size = bytes.subarray(2, 2 + count).reduce((sum, byte) => sum * 256 + byte, 0);
  if (size > MAX_BYTES) throw wrong(`a message of ${size} bytes, at most ${MAX_BYTES} are read`);
  return 2 + count + size;
}

function wrong(problem: string): ServiceError {
  return new ServiceError('service-answer', `LDAP: ${problem}`);
}
