import type { Spread } from './measure.ts';
import type { Peers } from './peers.ts';

/** What is measured is right up to, or from, this number. */
export type Goal = { readonly most: number } | { readonly least: number };

/** One number of a row, held against a goal. */
export interface Figure {
  readonly what: string;
  /** `×`: a ratio to what `what` names. Everything else is an amount. */
  readonly unit: '×' | '%' | 'ms' | 'µs' | 'MiB' | 'commands' | '';
  /** Absent: to be compared, not to be reached. */
  readonly goal?: Goal;
  /** A text says why there is none. A count has no spread. */
  readonly measured: Spread | number | string;
  /** The amounts behind a ratio, for orientation. */
  readonly amounts?: string;
}

/** Points of a curve: how large, and what it costs then. */
export interface Curve {
  readonly what: string;
  readonly unit: string;
  readonly points: readonly (readonly [size: number, cost: number])[];
}

/** What came of a row. */
interface Measured {
  readonly figures: readonly Figure[];
  readonly curves?: readonly Curve[];
}

/** How much is measured, and beside whom. */
export interface Kit {
  readonly rounds: number;
  /** How many attestations are verified for the curve of the verifier. */
  readonly attestations: number;
  /** How many keys the largest store has. */
  readonly keys: number;
  /** How many provisions run at once. */
  readonly provisions: number;
  readonly peers: Peers;
}

/** One row of the table. */
export interface Row {
  readonly id: string;
  readonly what: string;
  readonly measure: (kit: Kit) => Promise<Measured>;
  /** Why a goal of it is missed, for the reader of a table in which it is. */
  readonly why?: string;
}

/** What is to be said of a figure; nothing if it has no goal or was not measured. */
export type Verdict = 'met' | 'missed' | 'unproven' | '';

/** Whether a figure reaches its goal: unproven if a quarter of the rounds or more do not. */
export function judge({ goal, measured }: Figure): Verdict {
  if (goal === undefined || typeof measured === 'string') return '';
  const reaches = (value: number): boolean => ('most' in goal ? value <= goal.most : value >= goal.least);
  const { median, low, high } = spreadOf(measured);
  if (!reaches(median)) return 'missed';
  return reaches('most' in goal ? high : low) ? 'met' : 'unproven';
}

/** A count as a spread. */
export const spreadOf = (measured: Spread | number): Spread =>
  typeof measured === 'number' ? { median: measured, low: measured, high: measured } : measured;
