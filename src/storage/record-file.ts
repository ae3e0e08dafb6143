import { toHex, utf8 } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { KeyprovError, type PlainErrorCode } from '../errors.ts';
import { JsonMembers } from '../json.ts';

/** A kind of record that is kept in a file of its own. */
export interface RecordFormat<T> {
  /** Value of the member `format`. */
  readonly format: string;
  readonly version: number;
  /** Its name in messages: `key record`. */
  readonly what: string;
  /** The code of the error for a file that cannot be read. */
  readonly code: PlainErrorCode;
  /** What to do about a damaged file. */
  readonly remedy: string;
  readonly toJson: (record: T) => object;
  /** @throws TypeError for anything that {@link toJson} does not write. */
  readonly fromJson: (members: JsonMembers) => T;
  /** Reads the record of a file of an earlier version; absent if there was none. */
  readonly older?: ((members: JsonMembers, version: number) => T) | undefined;
}

/**
 * Builds the text of a record file: JSON with format, version, the record and its SHA-256. The digest finds damage; it
 * does not protect against anyone who can write the file.
 */
export function encodeRecord<T>({ format, version, toJson }: RecordFormat<T>, value: T): string {
  const record = toJson(value);
  return `${JSON.stringify({ format, version, record, sha256: digestOf(record) }, undefined, 2)}\n`;
}

/**
 * Reads a text that {@link encodeRecord} made. `path` is for messages.
 * @throws KeyprovError with the code of the format if it is cut off, changed, or of an unknown version.
 */
export function decodeRecord<T>(kind: RecordFormat<T>, text: string, path: string): T {
  const { what, code } = kind;
  const wrong = (problem: string, remedy: string, cause?: unknown) =>
    new KeyprovError(code, `the ${what} ${path} ${problem}`, { remedy, cause });
  try {
    const file = JsonMembers.parse('file', text);
    if (file.value('format') !== kind.format) throw new TypeError('its format is unknown');
    const version = file.integer('version');
    const older = version >= 1 && version < kind.version ? kind.older : undefined;
    if (version !== kind.version && older === undefined) {
      throw wrong(
        `has version ${version}; this keyprov reads versions up to ${kind.version}`,
        'use the version of keyprov that wrote it',
      );
    }
    const json = file.object('record');
    if (digestOf(json) !== file.text('sha256')) throw new TypeError('its SHA-256 does not match');
    if (older !== undefined) return older(new JsonMembers('record', json), version);
    const record = kind.fromJson(new JsonMembers('record', json));
    if (encodeRecord(kind, record) !== text) throw new TypeError('its content is not what keyprov writes');
    return record;
  } catch (cause) {
    if (cause instanceof KeyprovError && cause.code === code) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw wrong(`is damaged: ${reason}`, kind.remedy, cause);
  }
}

function digestOf(record: object): string {
  return toHex(digest('sha256', utf8(JSON.stringify(record))));
}
