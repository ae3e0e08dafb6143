/** What JSON can say. */
type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
/** A JSON object. */
export interface JsonObject {
  readonly [name: string]: JsonValue;
}

/** Whether it is a JSON object. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The members of a parsed JSON object; each reader throws TypeError for a member of another kind. */
export class Fields {
  readonly #object: JsonObject;
  readonly #name: string;

  constructor(value: unknown, name: string) {
    if (!isJsonObject(value)) throw new TypeError(`${name} is no object`);
    this.#object = value;
    this.#name = name;
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#object, name);
  }

  value(name: string): unknown {
    if (!this.has(name)) throw new TypeError(`${this.#name} has no ${name}`);
    return this.#object[name];
  }

  text(name: string): string {
    const value = this.value(name);
    if (typeof value !== 'string') throw new TypeError(`${name} is no text`);
    return value;
  }

  number(name: string): number {
    const value = this.value(name);
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
      throw new TypeError(`${name} is no number`);
    return value;
  }

  boolean(name: string): boolean {
    const value = this.value(name);
    if (typeof value !== 'boolean') throw new TypeError(`${name} is neither true nor false`);
    return value;
  }

  oneOf<T extends string>(name: string, values: readonly T[]): T {
    const found = values.find((value) => value === this.value(name));
    if (found === undefined) throw new TypeError(`${name} is none of ${values.join(', ')}`);
    return found;
  }

  object(name: string): JsonObject {
    const value = this.value(name);
    if (!isJsonObject(value)) throw new TypeError(`${name} is no object`);
    return value;
  }

  fields(name: string): Fields {
    return new Fields(this.value(name), name);
  }
}
