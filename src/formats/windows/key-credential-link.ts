import { type Bytes, byteCount, checkList, checkObject, concat, copy } from '../../bytes.ts';
import { digest } from '../../crypto/kdf.ts';
import { checkSize, LIMIT } from '../../limits.ts';
import { inRequest, requestInvalid } from '../x509/in-request.ts';
import {
  type CustomKeyInformation,
  decodeCustomKeyInformation,
  encodeCustomKeyInformation,
  oneByte,
} from './custom-key-information.ts';
import { decodeDotNetTime, encodeDotNetTime } from './file-time.ts';
import { checkGuid, decodeGuid, encodeGuid } from './guid.ts';

/** Identifiers of entries. MS-ADTS 2.2.20.6. */
export const KEY_CREDENTIAL_ENTRY = {
  KEY_ID: 1,
  KEY_HASH: 2,
  KEY_MATERIAL: 3,
  USAGE: 4,
  SOURCE: 5,
  DEVICE_ID: 6,
  CUSTOM_KEY_INFORMATION: 7,
  LAST_LOGON: 8,
  CREATED: 9,
} as const;

/** Usages of a key: MS-ADTS 2.2.20.5 has NGC, FIDO and FEK; the others are in MichaelGrafnetter/DSInternals. */
export const KEY_CREDENTIAL_USAGE = {
  ADMIN: 0,
  NGC: 1,
  STK: 2,
  BITLOCKER_RECOVERY: 3,
  OTHER: 4,
  FIDO: 7,
  FEK: 8,
} as const;

/** Source of the credential: MS-ADTS 2.2.20.6 has AD; synchronized ones have AZURE_AD. */
export const KEY_CREDENTIAL_SOURCE = { AD: 0, AZURE_AD: 1 } as const;

/** A raw entry: an identifier of one byte, and at most 65535 bytes. */
export interface KeyCredentialEntry {
  readonly id: number;
  readonly value: Uint8Array;
}

/** A key from a value of msDS-KeyCredentialLink. */
export interface KeyCredential {
  /** SHA-256 of the key material; for a FIDO key, its credential id. */
  readonly keyId: Uint8Array;
  /** See `decodeKeyMaterial`. */
  readonly keyMaterial: Uint8Array;
  /** See {@link KEY_CREDENTIAL_USAGE}. */
  readonly usage: number;
  /** See {@link KEY_CREDENTIAL_SOURCE}. */
  readonly source?: number;
  /** GUID of the device that has the key. */
  readonly deviceId?: string;
  readonly customKeyInformation?: CustomKeyInformation;
  /** FILETIME: units of 100 ns since 1601-01-01 UTC. In year 1, and so negative, if the key was never used. */
  readonly lastLogon?: bigint;
  /** FILETIME. */
  readonly created?: bigint;
}

/** The parts of a KEYCREDENTIALLINK_BLOB. */
export interface KeyCredentialLink extends KeyCredential {
  readonly keyHash?: Uint8Array;
  /** All entries, known or not, in order and byte for byte. */
  readonly entries: readonly KeyCredentialEntry[];
}

/** Input of {@link buildKeyCredentialLink}. */
export interface BuildKeyCredentialLink extends Omit<KeyCredential, 'keyId' | 'usage'> {
  /** Default: SHA-256 of the key material. */
  readonly keyId?: Uint8Array | undefined;
  /** Default NGC. */
  readonly usage?: number | undefined;
  /** Entries with unknown identifiers. */
  readonly otherEntries?: readonly KeyCredentialEntry[] | undefined;
}

const WHAT = 'key credential link';
const VERSION = 0x200;
const { KEY_ID, KEY_HASH, KEY_MATERIAL, USAGE, SOURCE } = KEY_CREDENTIAL_ENTRY;
const { DEVICE_ID, CUSTOM_KEY_INFORMATION: CUSTOM, LAST_LOGON, CREATED } = KEY_CREDENTIAL_ENTRY;

/**
 * Builds the KEYCREDENTIALLINK_BLOB of a key, MS-ADTS 2.2.20: entries in ascending order, with Key ID and KeyHash.
 * Writes times as FILETIME, or as .NET `DateTime.ToBinary` if the source is Entra ID.
 *
 * @throws TypeError for a device id that is not a GUID, without key material or Key ID, or if `otherEntries` do not have unique ids above 9; RangeError
 * for values that are too long or out of range.
 *
 * @example
 * ```ts
 * import { buildKeyCredentialLink, encodePublicBlob, parseKeyCredentialLink } from 'keyprov/formats/windows';
 * import { encodeKeyCredentialLink, findKeyCredentialProblems } from 'keyprov/formats/windows';
 * import type { PublicKey } from 'keyprov/formats/x509';
 *
 * declare const publicKey: PublicKey; // RSA with 2048 bits
 * const link = parseKeyCredentialLink(buildKeyCredentialLink({ keyMaterial: encodePublicBlob(publicKey), source: 0 }));
 * console.log(link.usage, findKeyCredentialProblems(link)); // 1 (NGC) []
 * console.log(encodeKeyCredentialLink(link.entries)); // the same bytes as before
 * ```
 */
export function buildKeyCredentialLink(credential: BuildKeyCredentialLink): Bytes {
  const {
    keyMaterial,
    usage = KEY_CREDENTIAL_USAGE.NGC,
    source,
    deviceId,
    customKeyInformation,
    otherEntries = [],
  } = checkObject(
    credential,
    'a key credential',
    'keyMaterial:bytes',
    'keyId:bytes?',
    'otherEntries:list?',
    'lastLogon:bigint?',
    'created:bigint?',
  );
  if (deviceId !== undefined) checkGuid(deviceId, 'deviceId');
  const { keyId = digest('sha256', keyMaterial), lastLogon, created } = credential;
  if (keyMaterial.length === 0 || keyId.length === 0)
    throw new TypeError('a key credential needs a key and its Key ID');
  for (const one of otherEntries) checkObject(one, 'each of otherEntries', 'id', 'value:bytes');
  const time = (fileTime: bigint, what: string) =>
    uint64(source === KEY_CREDENTIAL_SOURCE.AZURE_AD ? encodeDotNetTime(fileTime) : fileTime, what);
  const others = [...otherEntries].sort((a, b) => a.id - b.id);
  if (others.some(({ id }, i) => id <= CREATED || id === others[i + 1]?.id)) {
    throw new TypeError('each of otherEntries needs a unique id above 9');
  }
  const entries: readonly (KeyCredentialEntry | undefined)[] = [
    { id: KEY_MATERIAL, value: keyMaterial },
    { id: USAGE, value: oneByte(usage, 'usage') },
    source === undefined ? undefined : { id: SOURCE, value: oneByte(source, 'source') },
    deviceId === undefined ? undefined : { id: DEVICE_ID, value: encodeGuid(deviceId) },
    customKeyInformation && { id: CUSTOM, value: encodeCustomKeyInformation(customKeyInformation) },
    lastLogon === undefined ? undefined : { id: LAST_LOGON, value: time(lastLogon, 'lastLogon') },
    created === undefined ? undefined : { id: CREATED, value: time(created, 'created') },
    ...others,
  ];
  const hashed = entries.filter((entry) => entry !== undefined);
  const keyHash = digest('sha256', ...hashed.map(encodeEntry));
  return encodeKeyCredentialLink([{ id: KEY_ID, value: keyId }, { id: KEY_HASH, value: keyHash }, ...hashed]);
}

/** Writes a blob of these entries, unchanged. @throws RangeError for an entry that is too long. */
export function encodeKeyCredentialLink(entries: readonly KeyCredentialEntry[]): Bytes {
  checkList(entries, 'the entries of a key credential');
  const blob = concat(new Uint8Array([VERSION & 0xff, VERSION >>> 8, 0, 0]), ...entries.map(encodeEntry));
  checkSize(blob, LIMIT.structure, (problem) => new RangeError(`${WHAT}: ${problem}`));
  return blob;
}

/**
 * Reads a KEYCREDENTIALLINK_BLOB of version 0x200. Like other readers, accepts what occurs in directories: any order,
 * unknown entries, a wrong or missing KeyHash; see `findKeyCredentialProblems`.
 *
 * @throws KeyprovError `request-invalid` if bytes are cut off, Key ID, key material or usage is missing, a known entry
 * appears twice, or a value has a wrong length.
 */
export function parseKeyCredentialLink(blob: Uint8Array): KeyCredentialLink {
  const entries = readEntries(blob);
  const values = new Map(entries.map(({ id, value }) => [id, value]));
  for (const [name, id] of Object.entries(KEY_CREDENTIAL_ENTRY)) {
    if (entries.filter((entry) => entry.id === id).length > 1) throw invalid(`two ${name} entries`);
  }
  const required = (id: number, name: string): Uint8Array => {
    const value = values.get(id);
    if (value === undefined || value.length === 0) throw invalid(`no ${name}`);
    return value;
  };
  const optional = <T>(id: number, size: number, read: (value: Uint8Array) => T): T | undefined => {
    const value = values.get(id);
    if (value === undefined) return undefined;
    if (size > 0 && value.length !== size)
      throw invalid(`entry ${id} has ${byteCount(value.length)}, ${size} expected`);
    return inRequest(WHAT, () => read(value));
  };
  const usage = optional(USAGE, 1, ([first]) => first);
  const source = optional(SOURCE, 1, ([first]) => first);
  const time = (value: Uint8Array) => {
    const ticks = readUint64(value);
    return source === KEY_CREDENTIAL_SOURCE.AZURE_AD ? decodeDotNetTime(ticks) : ticks;
  };
  if (usage === undefined) throw invalid('no KeyUsage');
  const others = {
    keyHash: optional(KEY_HASH, 32, copy),
    source,
    deviceId: optional(DEVICE_ID, 16, decodeGuid),
    customKeyInformation: optional(CUSTOM, 0, decodeCustomKeyInformation),
    lastLogon: optional(LAST_LOGON, 8, time),
    created: optional(CREATED, 8, time),
  };
  return {
    keyId: required(KEY_ID, 'KeyID'),
    keyMaterial: required(KEY_MATERIAL, 'KeyMaterial'),
    usage,
    ...Object.fromEntries(Object.entries(others).filter(([, value]) => value !== undefined)),
    entries,
  };
}

/** The entry in bytes: UINT16 length, little endian, without itself and the identifier; identifier; value. */
export function encodeEntry(entry: KeyCredentialEntry): Bytes {
  const { id, value } = checkObject(entry, 'an entry of a key credential', 'id', 'value:bytes');
  if (value.length > 0xffff) throw new RangeError(`entry ${id} has ${byteCount(value.length)}; at most 65535 fit`);
  return concat(new Uint8Array([value.length & 0xff, value.length >>> 8]), oneByte(id, 'the id of an entry'), value);
}

function readEntries(blob: Uint8Array): KeyCredentialEntry[] {
  checkSize(blob, LIMIT.structure, invalid);
  if (blob.length < 4) throw invalid('cut off');
  const data = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  const version = data.getUint32(0, true);
  if (version !== VERSION) throw invalid(`its version is 0x${version.toString(16)}, not 0x200`);
  const entries: KeyCredentialEntry[] = [];
  for (let at = 4; at < blob.length; ) {
    const end = at + 3 + (blob.length - at < 3 ? 0 : data.getUint16(at, true));
    if (end > blob.length) throw invalid(`cut off in the entry at offset ${at}`);
    entries.push({ id: blob[at + 2] ?? 0, value: copy(blob.subarray(at + 3, end)) });
    at = end;
  }
  return entries;
}

function uint64(value: bigint, what: string): Bytes {
  if (value < 0n || value >> 64n !== 0n)
    throw new RangeError(`${what} must be a FILETIME from 0 to 2^64 - 1, not ${value}`);
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

const readUint64 = (bytes: Uint8Array): bigint =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(0, true);

const invalid = (problem: string): Error => requestInvalid(WHAT, problem);
