import fc from 'fast-check';
import { type AnyCodec, type Codec, decode, encode, type FieldShapes } from '../src/tpm/codec/index.ts';

/** Narrows the values of {@link arbitrary}, for other software that supports less than our codecs. */
export interface Narrowing {
  /** Whether the integer or tag `name` may have this `value`. */
  readonly allows?: (name: string, value: number) => boolean;
  /** Maximum number of bytes or items in the structure `name`. */
  readonly most?: (name: string) => number | undefined;
}

const MOST_ITEMS = 4;
/** Long enough that some lengths use both bytes of a UINT16, short enough for many runs. */
const MOST_BYTES = 300;

/** Values that fit `codec`, of any shape: every tag, every optional part, empty and full. */
export function arbitrary<T>(codec: Codec<T>, narrowing?: Narrowing): fc.Arbitrary<T>;
export function arbitrary(codec: AnyCodec, narrowing?: Narrowing): fc.Arbitrary<unknown>;
export function arbitrary({ name, shape }: AnyCodec, narrowing: Narrowing = {}): fc.Arbitrary<unknown> {
  const allows = (of: string, value: number) => narrowing.allows?.(of, value) ?? true;
  switch (shape.kind) {
    case 'integer': {
      if (shape.size === 8) return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
      const { values } = shape;
      if (values === undefined) return fc.integer({ min: 0, max: 2 ** (8 * shape.size) - 1 });
      return fc.constantFrom(...values.filter((value) => allows(name, value)));
    }
    case 'bits': {
      const attributes = Object.entries(shape.bits).map(([key, range]) =>
        (typeof range === 'number' ? fc.boolean() : fc.integer({ min: 0, max: 2 ** range[1] - 1 })).map(
          (value) => [key, value] as const,
        ),
      );
      // Members that are not set are absent.
      return fc.tuple(...attributes).map((pairs) => Object.fromEntries(pairs.filter(([, value]) => value)));
    }
    case 'bytes': {
      const max = shape.fixed ?? Math.min(shape.max, narrowing.most?.(name) ?? shape.max);
      const some = fc.uint8Array({ minLength: shape.fixed ?? 0, maxLength: Math.min(max, MOST_BYTES) });
      const full = fc.uint8Array({ minLength: max, maxLength: max, size: 'max' });
      return fc.oneof({ arbitrary: some, weight: 9 }, { arbitrary: full, weight: 1 });
    }
    case 'struct':
      return record(shape.fields, narrowing);
    case 'tagged': {
      const cases = [...shape.cases].filter(([tag]) => allows(shape.tagCodec.name, tag) && allows(name, tag));
      return fc.oneof(
        ...cases.map(([tag, fields]) =>
          record([...shape.before, ...shape.head, ...fields], narrowing).map((rest) => ({ [shape.tag]: tag, ...rest })),
        ),
      );
    }
    case 'sized': {
      const inner = arbitrary(shape.inner, narrowing);
      return shape.optional ? fc.option(inner) : inner;
    }
    case 'list':
      return fc.array(arbitrary(shape.item, narrowing), {
        maxLength: Math.min(shape.max, narrowing.most?.(name) ?? MOST_ITEMS),
      });
  }
}

const record = (fields: FieldShapes, narrowing: Narrowing): fc.Arbitrary<object> =>
  fc.record(Object.fromEntries(fields.map(([key, codec]) => [key, arbitrary(codec, narrowing)])), {
    noNullPrototype: true,
  });

/** Whether the structure extends to the end of the input, so that longer or shorter bytes are valid too. */
export function isOpenEnded({ shape }: AnyCodec): boolean {
  if (shape.kind === 'bytes') return shape.lengthSize === 0 && shape.fixed === undefined;
  const last = shape.kind === 'struct' ? shape.fields.at(-1)?.[1] : undefined;
  return last !== undefined && isOpenEnded(last);
}

/** A valid value's bytes, changed in one to three places: bytes replaced, inserted or removed. */
export function spoiled<T>(codec: Codec<T>): fc.Arbitrary<Uint8Array> {
  const change = fc.record({ at: fc.nat(), by: fc.uint8Array({ maxLength: 2 }), gone: fc.nat({ max: 2 }) });
  return fc.tuple(arbitrary(codec), fc.array(change, { minLength: 1, maxLength: 3 })).map(([value, changes]) => {
    const bytes = [...encode(codec, value)];
    for (const { at, by, gone } of changes) bytes.splice(at % (bytes.length + 1), gone, ...by);
    return new Uint8Array(bytes);
  });
}

/** The result of decoding: the value or the error, without a stack trace, which would take most of the time. */
export function outcome<T>(codec: Codec<T>, bytes: Uint8Array): { value: T } | { error: unknown } {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return { value: decode(codec, bytes) };
  } catch (error) {
    return { error };
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}
