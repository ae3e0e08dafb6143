import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { KeyprovError } from '../../../src/errors.ts';
import type { JsonMembers } from '../../../src/json.ts';
import { decodeRecord, encodeRecord, type RecordFormat } from '../../../src/storage/record-file.ts';
import { refusal } from '../../refusal.ts';

interface Pet {
  readonly name: string;
  readonly legs: number;
}

const PETS: RecordFormat<Pet> = {
  format: 'pet-record',
  version: 3,
  what: 'record of a pet',
  code: 'store-invalid',
  remedy: 'ask the pet',
  toJson: ({ name, legs }) => ({ name, legs }),
  fromJson: (members) => ({ name: members.text('name'), legs: members.integer('legs') }),
};
/** Before version 3 all pets were cats. */
const WITH_CATS: RecordFormat<Pet> = {
  ...PETS,
  older: (members, version) => ({ name: `${members.text('name')} of version ${version}`, legs: 4 }),
};
const RECORD = '{"name":"Rex","legs":3}';
const SHA256 = createHash('sha256').update(RECORD).digest('hex');
const TEXT = `{
  "format": "pet-record",
  "version": 3,
  "record": {
    "name": "Rex",
    "legs": 3
  },
  "sha256": "${SHA256}"
}
`;

/** The reader's result for TEXT with a replacement. */
const refused = (from: string, to: string, kind = PETS): string => {
  expect(TEXT).toContain(from);
  return refusal(() => decodeRecord(kind, TEXT.replace(from, to), '/pets/rex.json'));
};
/** Another record, whose digest is right. */
const withRecord = (record: object, version = 3): string => {
  const sha256 = createHash('sha256').update(JSON.stringify(record)).digest('hex');
  return `${JSON.stringify({ format: 'pet-record', version, record, sha256 }, undefined, 2)}\n`;
};

describe('a record in a separate file', () => {
  it('is JSON with its format, its version and its SHA-256', () => {
    expect(encodeRecord(PETS, { name: 'Rex', legs: 3 })).toBe(TEXT);
    for (const kind of [PETS, WITH_CATS]) {
      expect(decodeRecord(kind, TEXT, '/pets/rex.json')).toEqual({ name: 'Rex', legs: 3 });
    }
  });

  const DAMAGED = 'store-invalid: the record of a pet /pets/rex.json is damaged: ';
  it.each<[string, string, string, string]>([
    ['nothing of it', TEXT, '', 'file: not JSON'],
    ['another format', 'pet-record', 'key-record', 'its format is unknown; ask the pet'],
    ['no format', '"format": "pet-record",', '', 'its format is unknown; ask the pet'],
    ['no version', '"version": 3,', '', 'file: version: missing; ask the pet'],
    ['no record', '"record": {', '"recorded": {', 'file: record: missing; ask the pet'],
    ['a name that was changed', 'Rex', 'Max', 'its SHA-256 does not match; ask the pet'],
    ['no digest', '"sha256"', '"sha1"', 'file: sha256: missing; ask the pet'],
    ['a line break less', '}\n', '}', 'its content is not what keyprov writes; ask the pet'],
    ['other white space', '  "version": 3', ' "version": 3', 'its content is not what keyprov writes; ask the pet'],
  ])('is damaged with %s', (_, from, to, problem) => {
    expect(refused(from, to)).toContain(DAMAGED + problem);
  });

  it.each<[string, object, string]>([
    ['a member that is not one', { name: 'Rex', legs: 3, tail: 1 }, 'its content is not what keyprov writes'],
    ['a member less', { name: 'Rex' }, 'record: legs: missing'],
    ['its members in another order', { legs: 3, name: 'Rex' }, 'its content is not what keyprov writes'],
  ])('is damaged with %s, although the digest is right', (_, record, problem) => {
    expect(refusal(() => decodeRecord(PETS, withRecord(record), '/pets/rex.json'))).toBe(
      `${DAMAGED}${problem}; ask the pet`,
    );
  });

  it.each([0, 4])('of version %i is of an unknown version', (version) => {
    for (const kind of [PETS, WITH_CATS]) {
      expect(refused('"version": 3', `"version": ${version}`, kind)).toBe(
        `store-invalid: the record of a pet /pets/rex.json has version ${version}; this keyprov reads versions up to 3; use the version of keyprov that wrote it`,
      );
    }
  });

  it.each([1, 2])('of version %i is read if that version existed, and only if its digest is right', (version) => {
    const text = withRecord({ name: 'Tom' }, version);
    expect(decodeRecord(WITH_CATS, text, '/pets/tom.json')).toEqual({ name: `Tom of version ${version}`, legs: 4 });
    expect(refused('"version": 3', `"version": ${version}`)).toContain(
      `has version ${version}; this keyprov reads versions up to 3`,
    );
    expect(refusal(() => decodeRecord(WITH_CATS, text.replace('Tom', 'Tim'), '/'))).toContain(
      'its SHA-256 does not match',
    );
    expect(refusal(() => decodeRecord(WITH_CATS, withRecord({}, version), '/'))).toContain('record: name: missing');
  });

  it('is an error with its cause; a complete error of the reader is not changed', () => {
    const failing = (error: Error) => ({
      ...PETS,
      fromJson: (_: JsonMembers): Pet => {
        throw error;
      },
    });
    const read = (error: Error) => () => decodeRecord(failing(error), TEXT, '/pets/rex.json');
    const other = new KeyprovError('state-invalid', 'a leg too few');
    expect(refusal(read(other))).toBe(`${DAMAGED}a leg too few; ask the pet`);
    expect(read(other)).toThrow(expect.objectContaining({ cause: other }));
    expect(refusal(read(new KeyprovError('store-invalid', 'no pet', { remedy: 'buy one' })))).toBe(
      'store-invalid: no pet; buy one',
    );
  });
});
