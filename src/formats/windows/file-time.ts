import { checkObject } from '../../bytes.ts';

/** Units of 100 ns from 0001-01-01 to 1601-01-01. */
const EPOCH_IN_TICKS = 504_911_232_000_000_000n;
/** Units of 100 ns from 1601-01-01 to 1970-01-01. */
const UNIX_EPOCH = 116_444_736_000_000_000n;
const TICKS_PER_MS = 10_000n;
const TICKS_PER_DAY = 864_000_000_000n;
const KIND = 1n << 62n;

/**
 * The FILETIME of a date: units of 100 ns since 1601-01-01 UTC. MS-DTYP 2.3.3.
 * @throws TypeError for anything but a Date.
 *
 * @example
 * ```ts
 * import { decodeFileTime, encodeFileTime } from 'keyprov/formats/windows';
 *
 * const fileTime = encodeFileTime(new Date('2026-01-01T00:00:00Z'));
 * console.log(fileTime, decodeFileTime(fileTime).toISOString()); // 134116992000000000n 2026-01-01T00:00:00.000Z
 * ```
 */
export function encodeFileTime(date: Date): bigint {
  checkObject(date, 'the time of a FILETIME', 'getTime');
  return BigInt(date.getTime()) * TICKS_PER_MS + UNIX_EPOCH;
}

/** The date of a FILETIME, rounded down to milliseconds. @throws TypeError for anything but a bigint. */
export function decodeFileTime(fileTime: bigint): Date {
  checkBigint(fileTime, 'a FILETIME');
  // Division rounds toward zero, and FILETIMEs before 1601 are negative.
  const overMs = ((fileTime % TICKS_PER_MS) + TICKS_PER_MS) % TICKS_PER_MS;
  return new Date(Number((fileTime - overMs - UNIX_EPOCH) / TICKS_PER_MS));
}

/**
 * The FILETIME of a .NET `DateTime.ToBinary`, read as unsigned: ticks since 0001-01-01 in 62 bits, then the kind (1 for
 * UTC). A local time has UTC ticks too. They may lie up to a day before year 1 and are written modulo 2^62.
 * @throws TypeError for anything but a bigint.
 */
export function decodeDotNetTime(binary: bigint): bigint {
  checkBigint(binary, 'a DateTime');
  const ticks = binary % KIND;
  const isBeforeYear1 = binary >= 2n * KIND && ticks > KIND - TICKS_PER_DAY;
  return ticks - (isBeforeYear1 ? KIND : 0n) - EPOCH_IN_TICKS;
}

/** The .NET `DateTime.ToBinary` of a FILETIME, with kind UTC. @throws RangeError for times before year 1. */
export function encodeDotNetTime(fileTime: bigint): bigint {
  checkBigint(fileTime, 'a FILETIME');
  const ticks = fileTime + EPOCH_IN_TICKS;
  if (ticks < 0n || ticks >= KIND) throw new RangeError(`${fileTime} is out of range for .NET`);
  return KIND + ticks;
}

function checkBigint(value: bigint, what: string): void {
  if (typeof value !== 'bigint') throw new TypeError(`${what} must be a bigint`);
}
