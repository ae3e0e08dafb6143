import { type Bytes, checkObject, checkText, toBase64, toHex } from '../bytes.ts';
import { bitLength, decodeSpki, encodeSpki, type PublicKey } from '../crypto/public-key.ts';
import { isJsonObject, JsonMembers, type JsonObject } from '../json.ts';
import {
  definePinPolicy,
  definePolicy,
  isKeyAlgorithm,
  type KeyAlgorithm,
  type PinPolicy,
  type Policy,
} from '../policy/index.ts';
import { decodeRecord, encodeRecord, type RecordFormat } from '../storage/record-file.ts';
import type { TpmNature } from '../tpm/virtual.ts';
import type { Assurance, Backend, PinDerivation, ProvidedKey } from './provider.ts';

/** The part of a policy applied when a key was made: without PIN rules if the key has no PIN. */
export type AppliedPolicy = Omit<Policy, 'pin'> & { readonly pin?: PinPolicy | undefined };

/** One way that was tried when the key was made; see `Attempt`. */
export interface RecordedAttempt {
  readonly backend: Backend;
  readonly outcome: 'used' | 'failed' | 'passed-over';
  /** The code of the error or rule; a later version of keyprov may have written one that this version does not know. */
  readonly code?: string | undefined;
  readonly reason: string;
}

/** The TPM that made a key. */
export interface RecordedTpm extends TpmNature {
  /** The address of its transport. */
  readonly address: string;
  /**
   * The Name of the attestation key that attested this key. It is a primary of the endorsement seed, so it
   * distinguishes a cleared TPM from another TPM. Absent if the key was not attested when it was made.
   */
  readonly akName?: Bytes | undefined;
}

/**
 * The record of a TPM or software key. Plain data; the private key in it is protected by its TPM, its PIN or both. Use
 * `encodeKeyRecord` to write it as text, not `JSON.stringify`, which cannot write its bytes and bigints. For a log, pick
 * members, such as `id`, `user`, `backend`, `assurance` and `attempts`.
 */
export interface KeyRecord extends ProvidedKey {
  /**
   * The record's id in the store: 1 to 64 lower-case letters, digits, `.`, `_` and `-`. The first and last are letters
   * or digits.
   */
  readonly id: string;
  /** For people. */
  readonly name: string;
  /** The user principal name of the key's user; case is ignored. Absent: unknown. */
  readonly user?: string | undefined;
  /** GUID of the device on which it was made. Absent: unknown. */
  readonly deviceId?: string | undefined;
  readonly assurance: Assurance;
  /** The TPM that made it. Absent for a software key, and for a key made by an earlier version. */
  readonly tpm?: RecordedTpm | undefined;
  /** When the key was made: ISO 8601 in UTC with milliseconds, as `Date.prototype.toISOString` writes it. */
  readonly created: string;
  /** The policy applied when the key was made. Absent: none. */
  readonly policy?: AppliedPolicy | undefined;
  /** What was tried to make the key, in order, with reasons. */
  readonly attempts: readonly RecordedAttempt[];
  /**
   * Files next to the record that contain the private key. They are rewritten when the PIN changes, and deleted with
   * the key, together with the request, attestation and public key next to them.
   */
  readonly exports?: readonly 'key.pem'[] | undefined;
  /** Data of other parts of keyprov and of the caller. */
  readonly annotations: JsonObject;
}

/** Files beside a record with `exports`, in the order of writing; all are deleted with the key. */
export const EXPORTS = ['request.json', 'attestation.json', 'key.pem', 'public.pem'] as const;

/**
 * Tells whether a text can be the id of a record: it cannot lead out of the directory, and means the same file on file
 * systems that ignore case.
 */
export function isRecordId(id: string): boolean {
  return /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/.test(id);
}

/** @throws RangeError for an invalid id; TypeError for one that is not text. */
export function checkKeyId(id: string): void {
  checkText(id, 'the key id');
  if (!isRecordId(id)) {
    throw new RangeError(
      `the key id ${JSON.stringify(id)} must be 1 to 64 characters long, contain only a-z, 0-9, '.', '_' and '-', ` +
        'and start and end with one of a-z or 0-9',
    );
  }
}

const KEY_RECORD: RecordFormat<KeyRecord> = {
  format: 'keyprov-key',
  version: 2,
  what: 'key record',
  code: 'store-invalid',
  remedy:
    'restore a copy of the file, or remove the key (keyprov remove --key ID; the id is in the file name) and make a new one',
  toJson: keyRecordToJson,
  fromJson: keyRecordFromJson,
  older: olderKeyRecordFromJson,
};

/** Writes the text of a key's file. @throws TypeError for a record that lacks a member; KeyprovError `key-invalid`. */
export function encodeKeyRecord(record: KeyRecord): string {
  return encodeRecord(KEY_RECORD, record);
}

/**
 * Reads a text written by {@link encodeKeyRecord} of this or an earlier version. `path` is for messages.
 * @throws KeyprovError `store-invalid` if it is cut off, changed, or of an unknown version.
 */
export function decodeKeyRecord(text: string, path: string): KeyRecord {
  return decodeRecord(KEY_RECORD, text, path);
}

/** The record as a JSON object. Members keep the order in which they are read, since the text must stay the same. */
export function keyRecordToJson(record: KeyRecord): JsonObject {
  checkObject(
    record,
    'a key record',
    ...(['id', 'name', 'publicKey', 'annotations', 'attempts:list'] as const),
    ...(['tpm:object?', 'policy:object?', 'pinDerivation:object?', 'parent:object?'] as const),
  );
  const { user, deviceId, tpm, policy, exports, pinDerivation, parent } = record;
  return {
    id: record.id,
    name: record.name,
    ...(user !== undefined && { user }),
    ...(deviceId !== undefined && { deviceId }),
    backend: record.backend,
    assurance: record.assurance,
    ...(tpm !== undefined && { tpm: tpmToJson(tpm) }),
    algorithm: record.algorithm,
    publicKey: toBase64(encodeSpki(record.publicKey)),
    privateKey: record.privateKey,
    hasPin: record.hasPin,
    ...(pinDerivation !== undefined && { pinDerivation: pinDerivationToJson(pinDerivation) }),
    ...(parent !== undefined && { parent: parentToJson(parent) }),
    created: record.created,
    ...(policy !== undefined && { policy: policyToJson(policy) }),
    attempts: record.attempts.map(attemptToJson),
    ...(exports !== undefined && { exports }),
    annotations: record.annotations,
  };
}

/** The inverse of {@link keyRecordToJson}. @throws TypeError or KeyprovError for anything else. */
export function keyRecordFromJson(members: JsonMembers): KeyRecord {
  return {
    id: members.text('id'),
    name: members.text('name'),
    ...(members.has('user') && { user: members.text('user') }),
    ...(members.has('deviceId') && { deviceId: members.text('deviceId') }),
    ...(members.has('tpm') && { tpm: tpmFromJson(members.members('tpm')) }),
    ...keyFromJson(members),
    ...(members.has('policy') && { policy: policyFromJson(members.object('policy')) }),
    ...(members.has('exports') && { exports: exportsFromJson(members.value('exports')) }),
    annotations: members.object('annotations'),
  };
}

/** Reads version 1, which had neither user nor TPM, and `{}` as the policy of a key made without one. */
export function olderKeyRecordFromJson(members: JsonMembers): KeyRecord {
  const stranger = ['user', 'deviceId', 'tpm', 'exports'].find((name) => members.has(name));
  if (stranger !== undefined) throw new TypeError(`records of version 1 have no ${stranger}`);
  const annotations = members.object('annotations');
  const { registration } = annotations;
  const { user, deviceId } = isJsonObject(registration) ? registration : {};
  const policy = members.object('policy');
  return {
    id: members.text('id'),
    name: members.text('name'),
    ...(typeof user === 'string' && { user }),
    ...(typeof deviceId === 'string' && { deviceId }),
    ...keyFromJson(members),
    ...(Object.keys(policy).length > 0 && { policy: policyFromJson(policy) }),
    annotations,
  };
}

/** The members common to both versions. */
function keyFromJson(members: JsonMembers): ProvidedKey & Pick<KeyRecord, 'assurance' | 'created' | 'attempts'> {
  const algorithm = members.value('algorithm');
  const publicKey = decodeSpki(members.base64('publicKey'));
  if (!isKeyAlgorithm(algorithm) || algorithm !== algorithmOf(publicKey)) {
    throw new TypeError('algorithm does not match the public key');
  }
  const created = members.text('created');
  if (new Date(created).toISOString() !== created) throw new TypeError('created is not ISO 8601');
  return {
    backend: members.oneOf('backend', BACKENDS),
    assurance: members.oneOf('assurance', ['hardware', 'virtual', 'software']),
    algorithm,
    publicKey,
    privateKey: members.text('privateKey'),
    hasPin: members.boolean('hasPin'),
    ...(members.has('pinDerivation') && { pinDerivation: pinDerivationFromJson(members.members('pinDerivation')) }),
    ...(members.has('parent') && { parent: parentFromJson(members.members('parent')) }),
    created,
    attempts: members.list('attempts').map(attemptFromJson),
  };
}

const BACKENDS = ['tpm', 'software'] as const;

function pinDerivationToJson(derivation: PinDerivation): JsonObject {
  if (!('salt' in derivation)) return { ...derivation };
  return { ...derivation, salt: toHex(checkObject(derivation, 'pinDerivation', 'salt:bytes').salt) };
}

export function pinDerivationFromJson(members: JsonMembers): PinDerivation {
  const kdf = members.oneOf('kdf', ['scrypt', 'pcp-sha1', 'pcp-sha256']);
  if (kdf !== 'scrypt') return { kdf };
  return {
    kdf,
    salt: members.hex('salt'),
    cost: members.integer('cost'),
    blockSize: members.integer('blockSize'),
    parallelization: members.integer('parallelization'),
  };
}

function parentToJson(parent: NonNullable<ProvidedKey['parent']>): JsonObject {
  const { handle, name, publicArea } = checkObject(parent, 'parent', 'handle', 'name:bytes', 'publicArea:bytes?');
  return { handle, name: toHex(name), ...(publicArea !== undefined && { publicArea: toHex(publicArea) }) };
}

function parentFromJson(members: JsonMembers): NonNullable<ProvidedKey['parent']> {
  return {
    ...{ handle: members.integer('handle'), name: members.hex('name') },
    ...(members.has('publicArea') && { publicArea: members.hex('publicArea') }),
  };
}

function tpmToJson(tpm: RecordedTpm): JsonObject {
  const { address, virtual, signs, vendor, akName } = checkObject(tpm, 'tpm', 'vendor', 'akName:bytes?');
  const { manufacturer, manufacturerId, vendorString, firmwareVersion, revision } = checkObject(
    vendor,
    'vendor',
    ...(['manufacturerId:number', 'firmwareVersion:bigint'] as const),
  );
  return {
    ...{ address, manufacturer, manufacturerId: hexNumber(manufacturerId, 8), vendorString },
    ...{ firmwareVersion: hexNumber(firmwareVersion, 16), revision, virtual, signs },
    ...(akName !== undefined && { akName: toHex(akName) }),
  };
}

export function tpmFromJson(members: JsonMembers): RecordedTpm {
  const signs = members.list('signs');
  if (!signs.every((sign) => typeof sign === 'string')) throw new TypeError('signs is not a list of strings');
  return {
    address: members.text('address'),
    vendor: {
      manufacturer: members.text('manufacturer'),
      manufacturerId: Number(hexText(members, 'manufacturerId')),
      vendorString: members.text('vendorString'),
      firmwareVersion: BigInt(hexText(members, 'firmwareVersion')),
      revision: members.text('revision'),
    },
    virtual: members.boolean('virtual'),
    signs,
    ...(members.has('akName') && { akName: members.hex('akName') }),
  };
}

const hexNumber = (value: number | bigint, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}`;

/** A hexadecimal number in lower case, with `0x` before it. @throws TypeError for anything else. */
export function hexText(members: JsonMembers, name: string): string {
  const text = members.text(name);
  if (!/^0x[0-9a-f]{1,16}$/.test(text)) throw new TypeError(`${name} is not a hexadecimal number`);
  return text;
}

function policyToJson({ pin, ...policy }: AppliedPolicy): JsonObject {
  const { hardware, virtualTpm, algorithm, allowedAlgorithms, attestation } = policy;
  return { hardware, virtualTpm, algorithm, allowedAlgorithms, attestation, ...(pin && { pin: { ...pin } }) };
}

export function policyFromJson({ pin, ...policy }: JsonObject): AppliedPolicy {
  const { pin: _, ...applied } = definePolicy(policy);
  if (pin === undefined) return applied;
  if (!isJsonObject(pin)) throw new TypeError('pin is not an object');
  return { ...applied, pin: definePinPolicy(pin) };
}

function attemptToJson(attempt: RecordedAttempt): JsonObject {
  const { backend, outcome, code, reason } = checkObject(attempt, 'an attempt', 'backend');
  return { backend, outcome, ...(code !== undefined && { code }), reason };
}

export function attemptFromJson(value: unknown): RecordedAttempt {
  const members = new JsonMembers('attempt', value);
  return {
    backend: members.oneOf('backend', BACKENDS),
    outcome: members.oneOf('outcome', ['used', 'failed', 'passed-over']),
    ...(members.has('code') && { code: members.text('code') }),
    reason: members.text('reason'),
  };
}

function exportsFromJson(value: unknown): KeyRecord['exports'] {
  if (!Array.isArray(value) || !value.every((name) => name === 'key.pem'))
    throw new TypeError('exports lists unknown files');
  return value;
}

export function algorithmOf(key: PublicKey): KeyAlgorithm | undefined {
  const name = key.kty === 'RSA' ? `rsa-${bitLength(key.n)}` : key.crv.toLowerCase();
  return isKeyAlgorithm(name) ? name : undefined;
}
