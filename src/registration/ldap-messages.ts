import { byteCount } from '../bytes.ts';
import { ServiceError } from '../errors/service-error.ts';
import { LIMIT } from '../limits.ts';

/** How many messages may answer one operation: an entry or two, some references, and the result. */
const MAX_MESSAGES = 1000;
const MAX_BYTES = LIMIT.document;
const SEQUENCE = 0x30;

/**
 * Cuts the data of a directory into whole messages (RFC 4511, 5.1), in linear time. A directory may answer one
 * operation with 1 MiB in 1,000 messages.
 */
export class LdapMessages {
  /** Begins with `#length` bytes of an incomplete message; the rest is room for more. */
  #room = new Uint8Array(4096);
  #length = 0;
  #bytes = 0;
  #messages = 0;

  /** Whether there is no incomplete message. */
  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** Notes that an operation begins. */
  begin(): void {
    this.#bytes = 0;
    this.#messages = 0;
  }

  /** Returns the messages that `data` completes. @throws ServiceError `service-answer` */
  take(data: Uint8Array): Uint8Array[] {
    this.#bytes += data.length;
    if (this.#bytes > MAX_BYTES) throw wrong(`the response to one operation has more than ${MAX_BYTES} bytes`);
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
    if (this.#messages > MAX_MESSAGES)
      throw wrong(`the response to one operation has more than ${MAX_MESSAGES} messages`);
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

/** Length of the message that begins here; undefined until it can be read. X.690, 8.1.3. */
function sizeOf(bytes: Uint8Array): number | undefined {
  const [tag = SEQUENCE, first] = bytes;
  if (tag !== SEQUENCE) throw wrong('the response is not an LDAP message');
  if (first === undefined) return undefined;
  if (first < 0x80) return 2 + first;
  const count = first - 0x80;
  if (count === 0 || count > 4) throw wrong('the response is not an LDAP message');
  if (bytes.length < 2 + count) return undefined;
  const size = bytes.subarray(2, 2 + count).reduce((sum, byte) => sum * 256 + byte, 0);
  if (size > MAX_BYTES) throw wrong(`a message has ${byteCount(size)}; the limit is ${MAX_BYTES}`);
  return 2 + count + size;
}

function wrong(problem: string): ServiceError {
  return new ServiceError('service-answer', `LDAP: ${problem}`, { remedy: "check the directory's address and port" });
}
