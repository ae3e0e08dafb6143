import { fromHex } from '../src/bytes.ts';
import type { AnyCodec, Codec } from '../src/tpm/codec/index.ts';
import * as algorithm from '../src/tpm/structures/algorithm.ts';
import * as attest from '../src/tpm/structures/attest.ts';
import * as base from '../src/tpm/structures/base.ts';
import * as capability from '../src/tpm/structures/capability.ts';
import * as context from '../src/tpm/structures/context.ts';
import * as nv from '../src/tpm/structures/nv.ts';
import * as object from '../src/tpm/structures/object.ts';

const isCodec = (value: unknown): value is Codec<unknown> =>
  typeof value === 'object' && value !== null && 'shape' in value && 'read' in value;

/** Every codec that src/tpm/structures exports, by the name of the export. */
export const STRUCTURES: ReadonlyMap<string, Codec<unknown>> = new Map(
  [base, algorithm, object, attest, capability, nv, context].flatMap((module) =>
    Object.entries<unknown>({ ...module }).flatMap(([name, value]) => (isCodec(value) ? [[name, value] as const] : [])),
  ),
);

/** The codec of that name. */
export function structure(name: string): Codec<unknown> {
  const codec = STRUCTURES.get(name);
  if (codec === undefined) throw new RangeError(`src/tpm/structures exports no ${name}`);
  return codec;
}

/** A value as JSON: bytes are hexadecimal digits, integers of 8 bytes decimal digits. */
export function toJson({ shape }: AnyCodec, value: unknown): unknown {
  return convert(shape, value, (bytes) => Buffer.from(bytes as Uint8Array).toString('hex'), String);
}

/** The value from which {@link toJson} made the JSON. */
export function fromJson({ shape }: AnyCodec, json: unknown): unknown {
  return convert(
    shape,
    json,
    (hex) => fromHex(hex as string),
    (digits) => BigInt(digits as string),
  );
}

function convert(
  shape: AnyCodec['shape'],
  value: unknown,
  bytes: (value: unknown) => unknown,
  int64: (value: unknown) => unknown,
): unknown {
  const next = (codec: AnyCodec, part: unknown) => convert(codec.shape, part, bytes, int64);
  switch (shape.kind) {
    case 'bytes':
      return bytes(value);
    case 'integer':
      return shape.size === 8 ? int64(value) : value;
    case 'bits':
      return value;
    case 'list':
      return (value as unknown[]).map((item) => next(shape.item, item));
    case 'sized':
      return value === null ? null : next(shape.inner, value);
    case 'struct':
    case 'tagged': {
      const parts = value as Readonly<Record<string, unknown>>;
      const fields =
        shape.kind === 'struct'
          ? shape.fields
          : [
              ...shape.before,
              [shape.tag, shape.tagCodec] as const,
              ...shape.head,
              ...(shape.cases.get(parts[shape.tag] as number) ?? []),
            ];
      return Object.fromEntries(fields.map(([key, codec]) => [key, next(codec, parts[key])]));
    }
  }
}
