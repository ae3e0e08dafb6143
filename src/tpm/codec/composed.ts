import { byteCount } from '../../bytes.ts';
import { CodecError } from '../../errors/codec-error.ts';
import { type Codec, expectEnd, type FieldShapes, type Reader, type Writer, withinField } from './codec.ts';
import { oneOf } from './simple.ts';

/** A codec for each field of T, in wire order. */
export type FieldCodecs<T> = { readonly [K in keyof T]-?: Codec<T[K]> };

type AnyFields = readonly (readonly [string, Codec<unknown>])[];

// The field codecs are checked against T where they are defined; here they are handled by name.
const fieldsOf = (fields: object): AnyFields => Object.entries(fields);

/** Writes `fields` of `value` one after the other. */
export function writeFields(out: Writer, fields: AnyFields, value: object): void {
  const source = value as Readonly<Record<string, unknown>>;
  for (const [key, codec] of fields) {
    try {
      const field = source[key];
      if (field === undefined) throw new CodecError(codec.name, 'missing');
      codec.write(out, field);
    } catch (error) {
      throw withinField(error, key);
    }
  }
}

/** Reads `fields` one after the other into `target`. */
export function readFields(input: Reader, fields: AnyFields, target: object): void {
  const sink = target as Record<string, unknown>;
  for (const [key, codec] of fields) {
    try {
      sink[key] = codec.read(input);
    } catch (error) {
      throw withinField(error, key);
    }
  }
}

const mustBeObject = (name: string, value: unknown): void => {
  if (typeof value !== 'object' || value === null) throw new CodecError(name, 'must be an object');
};

/** A structure: its fields one after the other. */
export function struct<T extends object>(name: string, fields: NoInfer<FieldCodecs<T>>): Codec<T> {
  const list = fieldsOf(fields);
  return {
    name,
    shape: { kind: 'struct', fields: list as unknown as FieldShapes },
    write: (out, value) => {
      mustBeObject(name, value);
      try {
        writeFields(out, list, value);
      } catch (error) {
        throw withinField(error, name);
      }
    },
    read: (input) => {
      const value = {};
      try {
        readFields(input, list, value);
      } catch (error) {
        throw withinField(error, name);
      }
      return value as T;
    },
  };
}

/** The fields of each tag value, beyond those that all cases share. */
type Cases<T extends object, Tag extends keyof T, Shared> = {
  readonly [V in T[Tag] & number]: FieldCodecs<Omit<MemberFor<T, Tag, V>, Tag | keyof Shared>>;
};

/** The member of the union T whose tag can be V. */
type MemberFor<T, Tag extends keyof T, V> = T extends unknown ? (V extends T[Tag] ? T : never) : never;

/**
 * A structure whose last fields depend on a tag: fields `before` the tag, the tag, the fields of `head`, then those of
 * the case. A tag without a case is an error. `tagType` is the tag's type in Part 2, of `tagSize` bytes.
 */
export function tagged<
  T extends object,
  Tag extends keyof T & string,
  Before extends Partial<FieldCodecs<T>> = object,
  Head extends Partial<FieldCodecs<T>> = object,
>(
  name: string,
  [tag, tagType, tagSize = 2]: readonly [tag: Tag, tagType: string, tagSize?: 2 | 4],
  cases: Cases<T, Tag, Before & Head>,
  { before, head }: { readonly before?: Before; readonly head?: Head } = {},
): Codec<T> {
  const beforeFields = fieldsOf(before ?? {});
  const headFields = fieldsOf(head ?? {});
  const lastFields = new Map(Object.entries<object>(cases).map(([value, fields]) => [Number(value), fieldsOf(fields)]));
  const tagCodec = oneOf(tagType, tagSize, ...lastFields.keys());
  const leadingFields: AnyFields = [...beforeFields, [tag, tagCodec as Codec<unknown>], ...headFields];
  const caseOf = (value: unknown): AnyFields => {
    const fields = lastFields.get(value as number);
    if (fields === undefined) throw new CodecError(tag, `${describeTag(value)} is not allowed here`);
    return fields;
  };
  return {
    name,
    shape: {
      kind: 'tagged',
      before: beforeFields as unknown as FieldShapes,
      tag,
      tagCodec: tagCodec as unknown as Codec<never>,
      head: headFields as unknown as FieldShapes,
      cases: lastFields as unknown as ReadonlyMap<number, FieldShapes>,
    },
    write: (out, value) => {
      mustBeObject(name, value);
      try {
        const last = caseOf(value[tag]);
        writeFields(out, leadingFields, value);
        writeFields(out, last, value);
      } catch (error) {
        throw withinField(error, name);
      }
    },
    read: (input) => {
      const value: Record<string, unknown> = {};
      try {
        readFields(input, leadingFields, value);
        readFields(input, caseOf(value[tag]), value);
      } catch (error) {
        throw withinField(error, name);
      }
      return value as T;
    },
  };
}

const describeTag = (value: unknown): string =>
  typeof value === 'number' ? `0x${value.toString(16).padStart(4, '0')}` : String(value);

function readSized<T>(input: Reader, name: string, inner: Codec<T>, size: number): T {
  const outerEnd = input.end;
  if (size > input.left) throw new CodecError(name, `${byteCount(size)} announced, ${input.left} left`);
  input.end = input.position + size;
  try {
    const value = inner.read(input);
    expectEnd(input, inner.name);
    return value;
  } catch (error) {
    throw withinField(error, name);
  } finally {
    input.end = outerEnd;
  }
}

function writeSized<T>(out: Writer, name: string, inner: Codec<T>, value: T): void {
  const at = out.length;
  out.uint(2, 0);
  try {
    inner.write(out, value);
  } catch (error) {
    throw withinField(error, name);
  }
  out.patch(at, 2, out.length - at - 2);
}

/** A TPM2B that holds one structure: a UINT16 length, then a structure of exactly that length. */
export function sized<T>(name: string, inner: Codec<T>): Codec<T> {
  return {
    name,
    shape: { kind: 'sized', inner: inner as unknown as Codec<never>, optional: false },
    write: (out, value) => writeSized(out, name, inner, value),
    read: (input) => readSized(input, name, inner, input.uint(2, name)),
  };
}

/** Like {@link sized}, but an empty TPM2B is allowed and means `null`. */
export function sizedOptional<T>(name: string, inner: Codec<T>): Codec<T | null> {
  return {
    name,
    shape: { kind: 'sized', inner: inner as unknown as Codec<never>, optional: true },
    write: (out, value) => (value === null ? out.uint(2, 0) : writeSized(out, name, inner, value)),
    read: (input) => {
      const size = input.uint(2, name);
      return size === 0 ? null : readSized(input, name, inner, size);
    },
  };
}

/** A TPML: a UINT32 count of at most `max`, then that many items. */
export function list<T>(name: string, item: Codec<T>, max: number): Codec<readonly T[]> {
  const checkCount = (count: number) => {
    if (count > max) throw new CodecError(name, `${count} items; at most ${max} are allowed`);
  };
  return {
    name,
    shape: { kind: 'list', item: item as unknown as Codec<never>, max },
    write: (out, value) => {
      if (!Array.isArray(value)) throw new CodecError(name, 'must be an array');
      checkCount(value.length);
      out.uint(4, value.length);
      for (let i = 0; i < value.length; i++) {
        try {
          item.write(out, value[i]);
        } catch (error) {
          throw withinField(error, `${name}[${i}]`);
        }
      }
    },
    read: (input) => {
      const count = input.uint(4, name);
      checkCount(count);
      const value: T[] = [];
      for (let i = 0; i < count; i++) {
        try {
          value.push(item.read(input));
        } catch (error) {
          throw withinField(error, `${name}[${i}]`);
        }
      }
      return value;
    },
  };
}
