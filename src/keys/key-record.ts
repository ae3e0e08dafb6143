import { type Bytes, fromBase64, fromHex, toBase64, toHex, utf8 } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { bitLength, decodeSpki, encodeSpki, type PublicKey } from '../crypto/public-key.ts';
import { KeyprovError } from '../errors.ts';
import { isKeyAlgorithm, type KeyAlgorithm } from '../policy/index.ts';
import type { Assurance, PinDerivation, ProvidedKey } from './provider.ts';

/** What JSON can say. */
type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
/** A JSON object. */
interface JsonObject {
  readonly [name: string]: JsonValue;
}

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

const FORMAT = 'keyprov-key';
const VERSION = 1;

/** The id must not lead out of the directory, and must be the same file where case does not count. */
export function checkKeyId(id: string): void {
  if (!/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/.test(id)) {
    throw new RangeError(`the key id ${JSON.stringify(id)} is not of 1 to 64 of the characters a-z 0-9 . _ -`);
  }
}

/**
 * The text of the file of a record: JSON with format, version, the record and the SHA-256 of the record. The digest
 * finds damage; it is no protection against whoever can write the file.
 */
export function encodeKeyRecord(record: KeyRecord): string {
  const { pinDerivation, parent } = record;
  const json = {
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
  return `${JSON.stringify({ format: FORMAT, version: VERSION, record: json, sha256: digestOf(json) }, undefined, 2)}\n`;
}

/**
 * Reads the text of a file that {@link encodeKeyRecord} made. `path` is for messages.
 * @throws KeyprovError `store-invalid` for one that is cut off, changed, or of an unknown version.
 */
export function decodeKeyRecord(text: string, path: string): KeyRecord {
  const wrong = (problem: string, remedy: string, cause?: unknown) =>
    new KeyprovError('store-invalid', `the key record ${path} ${problem}`, { remedy, cause });
  try {
    const file = new Fields(JSON.parse(text), 'file');
    if (file.value('format') !== FORMAT) throw new TypeError('format is not that of keyprov');
    const version = file.number('version');
    if (version !== VERSION) {
      throw wrong(`has version ${version}, known is ${VERSION}`, 'use the version of keyprov that wrote it');
    }
    const json = file.object('record');
    if (digestOf(json) !== file.text('sha256')) throw new TypeError('its SHA-256 does not fit');
    const record = readRecord(new Fields(json, 'record'));
    if (encodeKeyRecord(record) !== text) throw new TypeError('it has members or a form that keyprov does not write');
    return record;
  } catch (cause) {
    if (cause instanceof KeyprovError && cause.code === 'store-invalid') throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw wrong(`is damaged: ${reason}`, 'restore a copy of it, or delete the file and make a new key', cause);
  }
}

function readRecord(fields: Fields): KeyRecord {
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

function digestOf(record: object): string {
  return toHex(digest('sha256', utf8(JSON.stringify(record))));
}

function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The members of a parsed JSON object; each reader throws TypeError for a member of another kind. */
class Fields {
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
