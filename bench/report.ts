import { readFileSync, writeFileSync } from 'node:fs';
import { type Line, linesOf, type Run } from './results.ts';

/** The table as text for a terminal. */
export function printTable(runs: readonly Run[]): string {
  const lines = linesOf(runs);
  const text = lines.flatMap((line, at) => {
    const isFirst = lines[at - 1]?.id !== line.id;
    const head = isFirst ? ['', `${line.id}  ${line.row}`] : [];
    return [...head, printLine(line)];
  });
  return [...heading(runs), ...text, '', ...reasons(runs).map((reason) => `missed: ${reason}`)].join('\n');
}

function printLine({ figure, goal, measured, verdict }: Line): string {
  const amounts = figure.amounts === undefined ? '' : `  [${figure.amounts}]`;
  return `     ${figure.what.padEnd(64)} ${goal.padEnd(14)} ${measured.padEnd(26)} ${verdict.padEnd(12)}${amounts}`.trimEnd();
}

const BEGIN = '<!-- bench: begin -->';
const END = '<!-- bench: end -->';

/** Writes the table into a page, between two marker comments. */
export function writePage(path: string, runs: readonly Run[]): void {
  const page = readFileSync(path, 'utf8');
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined)
    throw new Error(`${path} does not contain the comments that mark the table`);
  writeFileSync(path, `${before}${BEGIN}\n${markdown(runs)}\n${END}${after}`);
}

function markdown(runs: readonly Run[]): string {
  const lines = linesOf(runs);
  const rows = lines.map(({ id, row, figure, goal, measured, verdict }, at) => {
    const isFirst = lines[at - 1]?.id !== id;
    const what = `${isFirst ? `**${row}**: ` : ''}${figure.what}`;
    return `| ${isFirst ? id : ''} | ${what} | ${goal} | ${measured} | ${figure.amounts ?? ''} | ${verdict} |`;
  });
  return [
    '',
    heading(runs).join(' '),
    '',
    '| | what | goal | measured | amounts | |',
    '|---|---|---|---|---|---|',
    ...rows,
    '',
    'Missed, and why:',
    '',
    ...reasons(runs).map((reason) => `- ${reason}.`),
    '',
  ].join('\n');
}

function heading(runs: readonly Run[]): string[] {
  const [first] = runs;
  if (first === undefined) return [];
  const { commit, machine, rounds } = first;
  const dates = [...new Set(runs.map(({ date }) => date.slice(0, 10)))].join(', ');
  const loads = runs.map(({ load: [before, after] }) => `${before.toFixed(1)} to ${after.toFixed(1)}`).join(', ');
  const times = runs.length === 1 ? 'One run' : `${runs.length} runs`;
  return [`${dates}, ${commit}, ${machine}.`, `${times} of ${rounds} rounds; load of the machine ${loads}.`];
}

/** Why rows miss their goals. */
function reasons(runs: readonly Run[]): string[] {
  const missed = new Set(linesOf(runs).flatMap(({ id, verdict }) => (verdict === 'missed' ? [id] : [])));
  return (runs[0]?.rows ?? []).flatMap(({ id, why }) => (missed.has(id) ? [`${id}: ${why ?? 'not known yet'}`] : []));
}
