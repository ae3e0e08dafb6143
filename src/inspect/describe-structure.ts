import type { AnyCodec, FieldShapes } from '../tpm/codec/index.ts';
import { TPM_ALG, TPM_CC, TPM_ECC, TPM_RH, TPM_ST } from '../tpm/constants.ts';
import { bytesField, group, listOf, secretField } from './fields.ts';
import type { Field } from './inspection.ts';

/** Names of numbers, by a part of the name of their structure. */
const NAMES: readonly (readonly [mark: string, names: ReadonlyMap<unknown, string>])[] = [
  ['ALG', namesOf('TPM_ALG', TPM_ALG)],
  ['ECC_CURVE', namesOf('TPM_ECC', TPM_ECC)],
  ['_ST_', namesOf('TPM_ST', TPM_ST)],
  ['TPM_CC', namesOf('TPM_CC', TPM_CC)],
  ['HANDLE', namesOf('TPM_RH', TPM_RH)],
];

function namesOf(prefix: string, values: Readonly<Record<string, number>>): ReadonlyMap<unknown, string> {
  return new Map(Object.entries(values).map(([name, value]) => [value, `${prefix}_${name}`]));
}

/** The fields of a structure of TPM 2.0 Part 2, by the shape of its codec. Shows only the length of a secret. */
export function describeStructure(codec: AnyCodec, value: unknown): readonly Field[] {
  const described = describeValue('', codec, value);
  return described.fields ?? [{ ...described, name: 'value' }];
}

/** One value of a structure as a field. */
export function describeValue(name: string, codec: AnyCodec, value: unknown): Field {
  const { shape } = codec;
  switch (shape.kind) {
    case 'integer':
      return { name, value: describeInteger(codec.name, value, shape.size) };
    case 'bits':
      return { name, value: describeBits(value) };
    case 'bytes': {
      const bytes = value instanceof Uint8Array ? value : new Uint8Array(0);
      return shape.secret ? secretField(name, bytes.length) : bytesField(name, bytes);
    }
    case 'sized':
      return value === null ? { name, value: '(empty)' } : describeValue(name, shape.inner, value);
    case 'list':
      return listOf(name, Array.isArray(value) ? value : [], (i, item) => describeValue(i, shape.item, item));
    case 'struct':
      return group(name, fieldsOf(shape.fields, value));
    case 'tagged': {
      const tag = memberOf(value, shape.tag);
      const last = (typeof tag === 'number' ? shape.cases.get(tag) : undefined) ?? [];
      const fields = [...shape.before, [shape.tag, shape.tagCodec] as const, ...shape.head, ...last];
      return group(name, fieldsOf(fields, value));
    }
  }
}

const fieldsOf = (fields: FieldShapes, value: unknown): Field[] =>
  fields.map(([key, codec]) => describeValue(key, codec, memberOf(value, key)));

const memberOf = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;

function describeInteger(name: string, value: unknown, size: number): string | number {
  const known = NAMES.find(([mark]) => name.includes(mark));
  if (known === undefined) return typeof value === 'number' ? value : String(value);
  const hex = `0x${Number(value)
    .toString(16)
    .padStart(2 * size, '0')}`;
  return known[1].get(value) ?? hex;
}

function describeBits(value: unknown): string {
  const set = Object.entries(Object(value)).map(([key, bit]) => (bit === true ? key : `${key} ${String(bit)}`));
  return set.join(', ') || '(none)';
}
