import type { Spread } from './measure.ts';
import type { Peers } from './peers.ts';

/** The largest or smallest acceptable measurement. */
export type Goal = { readonly most: number } | { readonly least: number };

/** One number of a row, compared with a goal. */
export interface Figure {
  readonly what: string;
  /** `×`: a ratio, as `what` describes. All others are amounts. */
  readonly unit: '×' | '%' | 'ms' | 'µs' | 'MiB' | 'commands' | '';
  /** Absent for a figure that is only for comparison. */
  readonly goal?: Goal;
  /** A text if there is no measurement, with the reason. A count has no spread. */
  readonly measured: Spread | number | string;
  /** The amounts behind a ratio, for orientation. */
  readonly amounts?: string;
}

/** A curve: points of size and cost. */
export interface Curve {
  readonly what: string;
  readonly unit: string;
  readonly points: readonly (readonly [size: number, cost: number])[];
}

/** The results of a row. */
interface Measured {
  readonly figures: readonly Figure[];
  readonly curves?: readonly Curve[];
}

/** The sizes of the measurements, and the peers. */
export interface Kit {
  readonly rounds: number;
  /** Number of attestations for the verifier's curve. */
  readonly attestations: number;
  /** Number of keys in the largest store. */
  readonly keys: number;
  /** Number of overlapping `provisionKey` calls. */
  readonly provisions: number;
  readonly peers: Peers;
}

/** One row of the table. */
export interface Row {
  readonly id: string;
  readonly what: string;
  readonly measure: (kit: Kit) => Promise<Measured>;
  /** Why the row misses a goal; printed only if it does. */
  readonly why?: string;
}

/** The verdict on a figure; empty if it has no goal or was not measured. */
export type Verdict = 'met' | 'missed' | 'unproven' | '';

/** Whether a figure meets its goal: unproven if at least a quarter of the rounds do not. */
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
