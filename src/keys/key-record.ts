import { type Bytes, fromBase64, fromHex, toBase64, toHex } from '../bytes.ts';
import { bitLength, decodeSpki, encodeSpki, type PublicKey } from '../crypto/public-key.ts';
import { isKeyAlgorithm, type KeyAlgorithm } from '../policy/index.ts';
import { type Fields, isJsonObject, type JsonObject } from '../storage/record-fields.ts';
import { decodeRecord, encodeRecord, type RecordFormat } from '../storage/record-file.ts';
import type { Assurance, PinDerivation, ProvidedKey } from './provider.ts';

/** What is kept of a key. */
export interface KeyRecord extends ProvidedKey {
  /** Name of the record in the store: lower-case letters, digits, `.`, `_` and `-`, at most 64. */
  readonly id: string;
  /** For people. */
  readonly name: string;
  readonly assurance: Assurance;
  /** When the key was made: ISO 8601 in UTC with milliseconds, as `Date.prototype.toISOString` writes it. */
  readonly created: string;
  /** The policy that applied when the key was made. */
  readonly policy: JsonObject;
  /** What was tried to make it, in order, with the reasons. */
  readonly attempts: readonly JsonObject[];
  /** Whatever the caller wants to keep with it. */
  readonly annotations: JsonObject;
}

/** The id must not lead out of the directory, and must be the same file where case does not count. */
export function checkKeyId(id: string): void {
  if (!/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/.test(id)) {
    throw new RangeError(`the key id ${JSON.stringify(id)} is not of 1 to 64 of the characters a-z 0-9 . _ -`);
  }
}

const KEY_RECORD: RecordFormat<KeyRecord> = {
  format: 'keyprov-key',
  version: 1,
  what: 'key record',
  code: 'store-invalid',
  remedy: 'restore a copy of it, or delete the file and make a new key',
  toJson: keyRecordToJson,
  fromJson: keyRecordFromJson,
};

/** The text of the file of a key. */
export function encodeKeyRecord(record: KeyRecord): string {
  return encodeRecord(KEY_RECORD, record);
}

/**
 * Reads the text of a file that {@link encodeKeyRecord} made. `path` is for messages.
 * @throws KeyprovError `store-invalid` for one that is cut off, changed, or of an unknown version.
 */
export function decodeKeyRecord(text: string, path: string): KeyRecord {
  return decodeRecord(KEY_RECORD, text, path);
}

/** The record as a JSON object. */
export function keyRecordToJson(record: KeyRecord): JsonObject {
  const { pinDerivation, parent } = record;
  return {
    id: record.id,
    name: record.name,
    backend: record.backend,
    assurance: record.assurance,
    algorithm: record.algorithm,
    publicKey: toBase64(encodeSpki(record.publicKey)),
    privateKey: record.privateKey,
    hasPin: record.hasPin,
    ...(pinDerivation !== undefined && {
      pinDerivation: 'salt' in pinDerivation ? { ...pinDerivation, salt: toHex(pinDerivation.salt) } : pinDerivation,
    }),
    ...(parent !== undefined && { parent: { handle: parent.handle, name: toHex(parent.name) } }),
    created: record.created,
    policy: record.policy,
    attempts: record.attempts,
    annotations: record.annotations,
  };
}

/** The inverse of {@link keyRecordToJson}. @throws TypeError or KeyprovError for anything else. */
export function keyRecordFromJson(fields: Fields): KeyRecord {
  const algorithm = fields.value('algorithm');
  const publicKey = decodeSpki(fromBase64(fields.text('publicKey')));
  if (!isKeyAlgorithm(algorithm) || algorithm !== algorithmOf(publicKey)) {
    throw new TypeError('algorithm is not that of the public key');
  }
  const created = fields.text('created');
  if (new Date(created).toISOString() !== created) throw new TypeError('created is not ISO 8601');
  const attempts = fields.value('attempts');
  if (!Array.isArray(attempts) || !attempts.every(isJsonObject)) throw new TypeError('attempts is no list of objects');
  return {
    id: fields.text('id'),
    name: fields.text('name'),
    backend: fields.oneOf('backend', ['tpm', 'software']),
    assurance: fields.oneOf('assurance', ['hardware', 'virtual', 'software']),
    algorithm,
    publicKey,
    privateKey: fields.text('privateKey'),
    hasPin: fields.boolean('hasPin'),
    ...(fields.has('pinDerivation') && { pinDerivation: readPinDerivation(fields.fields('pinDerivation')) }),
    ...(fields.has('parent') && { parent: readParent(fields.fields('parent')) }),
    created,
    policy: fields.object('policy'),
    attempts,
    annotations: fields.object('annotations'),
  };
}

function readPinDerivation(fields: Fields): PinDerivation {
  const kdf = fields.oneOf('kdf', ['scrypt', 'pcp-sha1', 'pcp-sha256']);
  if (kdf !== 'scrypt') return { kdf };
  return {
    kdf,
    salt: fromHex(fields.text('salt')),
    cost: fields.number('cost'),
    blockSize: fields.number('blockSize'),
    parallelization: fields.number('parallelization'),
  };
}

function readParent(fields: Fields): { handle: number; name: Bytes } {
  return { handle: fields.number('handle'), name: fromHex(fields.text('name')) };
}

/** The kind of user key that a public key is; undefined for none of them. */
export function algorithmOf(key: PublicKey): KeyAlgorithm | undefined {
  const name = key.kty === 'RSA' ? `rsa-${bitLength(key.n)}` : key.crv.toLowerCase();
  return isKeyAlgorithm(name) ? name : undefined;
}
