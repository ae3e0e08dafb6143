import { readFileSync } from 'node:fs';

/** A value of a structure and its bytes; see `toJson` in structures.ts for the form of the value. */
export interface StructureVector {
  readonly codec: string;
  readonly value: unknown;
  readonly hex: string;
  readonly source: string;
}

/** The golden vectors of all structures. */
export const vectors: readonly StructureVector[] = JSON.parse(
  readFileSync(new URL('vectors/structures.json', import.meta.url), 'utf8'),
).vectors;
