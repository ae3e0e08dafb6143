import { type Bytes, fromBase64, fromBase64Url } from '../bytes.ts';
import { inRequest, requestInvalid } from './x509/in-request.ts';

/** Reads the members of a JSON object. All its errors are KeyprovError `request-invalid` and name the member. */
export class JsonObject {
  readonly #what: string;
  readonly #members: ReadonlyMap<string, unknown>;

  /** `what` names the object in messages; where `known` is given, no other members may be there. */
  constructor(what: string, json: unknown, known?: readonly string[]) {
    if (typeof json !== 'object' || json === null || Array.isArray(json)) throw requestInvalid(what, 'no JSON object');
    this.#what = what;
    this.#members = new Map(Object.entries(json));
    const unknown = known && [...this.#members.keys()].find((name) => !known.includes(name));
    if (unknown !== undefined) throw requestInvalid(what, `unknown member ${JSON.stringify(unknown)}`);
  }

  /** Reads the text of a JSON object, or its UTF-8 bytes. */
  static parse(what: string, json: string | Uint8Array, known?: readonly string[]): JsonObject {
    const value = inRequest(what, () => JSON.parse(typeof json === 'string' ? json : utf8Text(json)));
    return new JsonObject(what, value, known);
  }

  /** Whether the member is there and not null. */
  has(name: string): boolean {
    return (this.#members.get(name) ?? null) !== null;
  }

  /** The member, whatever it is; `undefined` where there is none. */
  any(name: string): unknown {
    return this.#members.get(name);
  }

  /** All members. */
  all(): Readonly<Record<string, unknown>> {
    return Object.fromEntries(this.#members);
  }

  /** A member that is text. */
  text(name: string): string {
    const value = this.#members.get(name);
    if (typeof value !== 'string') throw this.wrong(name, value === undefined ? 'missing' : 'no text');
    return value;
  }

  /** A member that is an integer. */
  integer(name: string): number {
    const value = this.#members.get(name);
    if (!Number.isSafeInteger(value)) throw this.wrong(name, value === undefined ? 'missing' : 'no integer');
    return Number(value);
  }

  /** A member that is padded standard base64. */
  base64(name: string): Bytes {
    return inRequest(`${this.#what}: ${name}`, () => fromBase64(this.text(name)));
  }

  /** A member that is unpadded base64url. */
  base64Url(name: string): Bytes {
    return inRequest(`${this.#what}: ${name}`, () => fromBase64Url(this.text(name)));
  }

  /** The error for what is wrong with a member. */
  wrong(name: string, problem: string): Error {
    return requestInvalid(`${this.#what}: ${name}`, problem);
  }
}

/** The text in UTF-8 bytes. @throws TypeError for other bytes. */
function utf8Text(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
}
