import { type Bytes, checkObject, concat, copy } from '../../bytes.ts';
import { checkSize, LIMIT } from '../../limits.ts';
import { requestInvalid } from '../x509/in-request.ts';

/** Flags of {@link CustomKeyInformation}. */
export const CUSTOM_KEY_FLAGS = { ATTESTATION: 0x01, MFA_NOT_USED: 0x02 } as const;

/** CUSTOM_KEY_INFORMATION, MS-ADTS 2.2.20.4. Fields past the end of the structure are absent. */
export interface CustomKeyInformation {
  /** 1. */
  readonly version: number;
  /** See {@link CUSTOM_KEY_FLAGS}. */
  readonly flags: number;
  /** 0 none, 1 operating system, 2 fixed data, 3 removable data. */
  readonly volumeType?: number;
  /** 0 or 1. */
  readonly supportsNotification?: number;
  readonly fekKeyVersion?: number;
  /** 0 unknown, 1 weak, 2 normal. */
  readonly keyStrength?: number;
  /** The rest: reserved bytes, and encoded extensions. */
  readonly rest?: Uint8Array;
}

/** Fields of one byte each, in order. */
const FIELDS = ['version', 'flags', 'volumeType', 'supportsNotification', 'fekKeyVersion', 'keyStrength'] as const;
const REQUIRED = 2;

/** @throws RangeError for a number that is not a byte. */
export function oneByte(value: number, what: string): Bytes {
  if (!(Number.isInteger(value) && value >= 0 && value < 256))
    throw new RangeError(`${what} must be an integer from 0 to 255, not ${value}`);
  return new Uint8Array([value]);
}

/**
 * The bytes of the structure. @throws TypeError if a field is present and one before it is not; RangeError for one that is
 * not a byte, or if the rest is too long.
 *
 * @example
 * ```ts
 * import { CUSTOM_KEY_FLAGS, decodeCustomKeyInformation, encodeCustomKeyInformation } from 'keyprov/formats/windows';
 *
 * const bytes = encodeCustomKeyInformation({ version: 1, flags: CUSTOM_KEY_FLAGS.MFA_NOT_USED });
 * console.log(decodeCustomKeyInformation(bytes).flags); // 2
 * ```
 */
export function encodeCustomKeyInformation(information: CustomKeyInformation): Bytes {
  checkObject(information, 'custom key information', 'version', 'flags', 'rest:bytes?');
  const values = FIELDS.map((name) => information[name]);
  const end = values.indexOf(undefined);
  const { rest = new Uint8Array(0) } = information;
  if (end >= 0 && (rest.length > 0 || values.slice(end).some((value) => value !== undefined))) {
    throw new TypeError(`custom key information lacks ${FIELDS[end]}, but has a later field`);
  }
  const given = values.filter((value) => value !== undefined); // the first fields, without a gap
  const bytes = concat(...given.map((value, i) => oneByte(value, `custom key information: ${FIELDS[i]}`)), rest);
  checkSize(bytes, LIMIT.structure, (problem) => new RangeError(`custom key information: ${problem}`));
  return bytes;
}

/**
 * Reads the structure as far as it goes: directories hold short ones of 2 bytes, and long ones that end anywhere.
 * @throws KeyprovError `request-invalid` for fewer than 2 bytes.
 */
export function decodeCustomKeyInformation(bytes: Uint8Array): CustomKeyInformation {
  checkSize(bytes, LIMIT.structure, (problem) => requestInvalid('custom key information', problem));
  const [version, flags] = bytes;
  if (version === undefined || flags === undefined) {
    throw requestInvalid('custom key information', `length ${bytes.length}, at least ${REQUIRED} bytes expected`);
  }
  const optional = FIELDS.slice(REQUIRED, bytes.length).map((name, i) => [name, bytes[REQUIRED + i]]);
  const rest = bytes.subarray(FIELDS.length);
  return { version, flags, ...Object.fromEntries(optional), ...(rest.length > 0 && { rest: copy(rest) }) };
}
