/** A JSON object, parsed, with its text. */
export interface JsonInput {
  readonly text: string;
  readonly value: object;
  readonly members: ReadonlyMap<string, unknown>;
}
