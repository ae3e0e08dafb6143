import type { JsonObject, JsonValue } from '../json.ts';

/** A JSON object, parsed, with its text. */
export interface JsonInput {
  readonly text: string;
  readonly value: JsonObject;
  readonly members: ReadonlyMap<string, JsonValue>;
}
