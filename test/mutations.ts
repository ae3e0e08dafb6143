import { concat, copy, utf8 } from '../src/bytes.ts';
import { asText } from './inspect-samples.ts';

/** A valid sample from which inputs are made. */
export interface Seed {
  readonly bytes: Uint8Array;
}

/** Pseudo-random numbers that depend only on the seed (xorshift32). */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 1;
  }

  /** A whole number from 0 to `below` - 1. */
  roll(below: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) % below;
  }

  /** Picks one of the items. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.roll(items.length)];
    if (item === undefined) throw new RangeError('nothing to pick from');
    return item;
  }
}

/** Changes bytes in one way, possibly with a part of another sample. */
export type Mutation = (bytes: Uint8Array, dice: Dice, samples: readonly Seed[]) => Uint8Array;

/** Typical values of wrong lengths, counts and tags. */
const BORDERS = [0x00, 0x01, 0x02, 0x1f, 0x30, 0x7f, 0x80, 0x81, 0x84, 0xa0, 0xfe, 0xff];

const flipBit: Mutation = (bytes, dice) => {
  const changed = copy(bytes);
  const at = dice.roll(Math.max(1, bytes.length));
  if (changed.length > 0) changed[at] = (changed[at] ?? 0) ^ (1 << dice.roll(8));
  return changed;
};
const setByte: Mutation = (bytes, dice) => {
  const changed = copy(bytes);
  if (changed.length > 0) changed[dice.roll(bytes.length)] = dice.pick(BORDERS);
  return changed;
};
/** Changes a length of 2 or 4 bytes, in either byte order. */
const setLength: Mutation = (bytes, dice) => {
  const changed = copy(bytes);
  const [size, value] = [dice.pick([2, 4]), dice.pick([0, 1, bytes.length, bytes.length + 1, 0xffff, 0xffffffff])];
  if (bytes.length < size) return changed;
  const at = dice.roll(dice.pick([Math.min(64, bytes.length - size + 1), bytes.length - size + 1]));
  const littleEndian = dice.roll(2) === 0;
  const view = new DataView(changed.buffer);
  if (size === 2) view.setUint16(at, value & 0xffff, littleEndian);
  else view.setUint32(at, value >>> 0, littleEndian);
  return changed;
};
const truncate: Mutation = (bytes, dice) => copy(bytes.subarray(0, dice.roll(bytes.length + 1)));
const extend: Mutation = (bytes, dice) => concat(bytes, new Uint8Array(1 + dice.roll(64)).fill(dice.pick(BORDERS)));
const remove: Mutation = (bytes, dice) => {
  const at = dice.roll(bytes.length + 1);
  return concat(bytes.subarray(0, at), bytes.subarray(at + 1 + dice.roll(8)));
};
const insert: Mutation = (bytes, dice) => {
  const at = dice.roll(bytes.length + 1);
  return concat(bytes.subarray(0, at), new Uint8Array(1 + dice.roll(8)).fill(dice.pick(BORDERS)), bytes.subarray(at));
};
const repeat: Mutation = (bytes, dice) => {
  const at = dice.roll(bytes.length + 1);
  const part = bytes.subarray(at, at + 1 + dice.roll(200));
  return concat(bytes.subarray(0, at), ...Array.from({ length: 1 + dice.roll(20) }, () => part), bytes.subarray(at));
};
const splice: Mutation = (bytes, dice, samples) => {
  const other = dice.pick(samples).bytes;
  return concat(bytes.subarray(0, dice.roll(bytes.length + 1)), other.subarray(dice.roll(other.length + 1)));
};
const encode: Mutation = (bytes, dice) => utf8(dice.pick(asText(bytes))[1]);

/** Changes that do not depend on the format. */
export const MUTATIONS: readonly Mutation[] = [
  flipBit,
  flipBit,
  setByte,
  setLength,
  truncate,
  extend,
  remove,
  insert,
  repeat,
  splice,
];

/** A sample changed in one to four ways, sometimes as hexadecimal or base64 text. */
export function mutated(samples: readonly Seed[], dice: Dice): Uint8Array {
  let { bytes } = dice.pick(samples);
  for (let i = 1 + dice.roll(4); i > 0; i--) bytes = dice.pick(MUTATIONS)(bytes, dice, samples);
  return dice.roll(8) === 0 ? encode(bytes, dice, samples) : bytes;
}
