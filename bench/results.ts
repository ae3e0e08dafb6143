import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { locateLibtpms } from '../src/tpm/transports/libtpms.ts';
import { digits } from './figures.ts';
import { spread } from './measure.ts';
import { type Curve, type Figure, type Goal, judge, spreadOf, type Verdict } from './row.ts';

/** The results of one run, as in the JSON file. */
export interface Run {
  /** ISO 8601. */
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
  readonly rounds: number;
  /** Load average of the machine, before and after. */
  readonly load: readonly [before: number, after: number];
  readonly rows: readonly {
    readonly id: string;
    readonly what: string;
    readonly why?: string;
    readonly figures: readonly Figure[];
    readonly curves?: readonly Curve[];
  }[];
}

/** A line of the table, from one run or several. */
export interface Line {
  readonly id: string;
  readonly row: string;
  readonly figure: Figure;
  /** The goal and the measurement, as text. */
  readonly goal: string;
  readonly measured: string;
  readonly verdict: Verdict;
}

const said = (command: string, ...args: string[]): string => {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return ''; // not installed
  }
};

/** Describes the machine and the versions that are measured. */
export async function describePlace(): Promise<Pick<Run, 'date' | 'commit' | 'machine'>> {
  const [first] = cpus();
  const system = /^PRETTY_NAME="(.*)"$/m.exec(said('cat', '/etc/os-release'))?.[1] ?? process.platform;
  const { version } = await locateLibtpms().catch(() => ({ version: 'none' }));
  const swtpm = /version (\S+?),/.exec(said('swtpm', '--version'))?.[1] ?? 'none';
  const gib = Math.round(totalmem() / 2 ** 30);
  return {
    date: new Date().toISOString(),
    commit:
      said('git', 'rev-parse', '--short', 'HEAD') +
      (said('git', 'status', '--porcelain', 'src', 'native') && ', changed'),
    machine: `${first?.model ?? 'unknown CPU'} × ${cpus().length}, ${gib} GiB, ${system}, Node ${process.versions.node}, libtpms ${version}, swtpm ${swtpm}`,
  };
}

/** The current load. */
export const load = (): number => loadavg()[0] ?? Number.NaN;

/** Reads a JSON file written by a run. */
export function readRun(path: string): Run {
  return JSON.parse(readFileSync(path, 'utf8'));
}

const goalText = (goal: Goal | undefined, unit: string): string => {
  if (goal === undefined) return '';
  return 'most' in goal ? `≤ ${digits(goal.most)}${unit}` : `≥ ${digits(goal.least)}${unit}`;
};

/** The lines of the table. For several runs, each line shows the median of each run. */
export function linesOf(runs: readonly Run[]): Line[] {
  const [first] = runs;
  return (first?.rows ?? []).flatMap(({ id, what: row, figures }) =>
    figures.map((figure) => {
      const same = runs.map((run) => findFigure(run, id, figure.what) ?? figure);
      const unit = figure.unit === '' ? '' : ` ${figure.unit}`;
      const goal = goalText(figure.goal, unit);
      return { id, row, figure, goal, measured: measuredText(same, unit), verdict: verdictOf(same) };
    }),
  );
}

const findFigure = (run: Run, id: string, what: string): Figure | undefined =>
  run.rows.find((row) => row.id === id)?.figures.find((figure) => figure.what === what);

function measuredText(figures: readonly Figure[], unit: string): string {
  const texts = figures.map(({ measured }) =>
    typeof measured === 'string' ? measured : digits(spreadOf(measured).median),
  );
  const [first] = figures;
  if (typeof first?.measured === 'string') return first.measured;
  if (figures.length > 1 && new Set(texts).size > 1) return `${texts.join(', ')}${unit}`;
  if (first === undefined || typeof first.measured === 'number')
    return `${texts[0]}${texts[0] === '1' ? unit.replace(/s$/, '') : unit}`;
  const { low, high } = first.measured;
  return `${texts[0]}${unit} (${digits(low)}–${digits(high)})`;
}

/** The verdict on the median of several runs. A goal that not every run meets is unproven. */
function verdictOf(figures: readonly Figure[]): Verdict {
  const [first] = figures;
  const medians = figures.flatMap(({ measured }) => (typeof measured === 'string' ? [] : [spreadOf(measured).median]));
  if (first === undefined || medians.length === 0) return '';
  const all = judge({ ...first, measured: spread(medians).median });
  return all === 'met' && figures.some((figure) => judge(figure) !== 'met') ? 'unproven' : all;
}
