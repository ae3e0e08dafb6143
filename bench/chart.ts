import { digits } from './figures.ts';
import { type Line, linesOf, type Run } from './results.ts';
import { type Curve, spreadOf } from './row.ts';

const colors = (ink: string, soft: string, grid: string, met: string, missed: string, unproven: string): string => `
  text { fill: ${ink}; } .soft { fill: ${soft}; } .grid { stroke: ${grid}; } .goal { stroke: ${ink}; } .curve { stroke: ${met}; }
  .met { stroke: ${met}; fill: ${met}; } .missed { stroke: ${missed}; fill: ${missed}; }
  .unproven { stroke: ${unproven}; fill: ${unproven}; }`;

const STYLE = `<style>
  text { font: 12px system-ui, sans-serif; }
  .grid, .curve { fill: none; }
  .curve { stroke-width: 2; }${colors('#1f2328', '#656d76', '#d0d7de', '#1a7f37', '#cf222e', '#9a6700')}
  @media (prefers-color-scheme: dark) {${colors('#e6edf3', '#8d96a0', '#30363d', '#3fb950', '#f85149', '#d29922')}
  }
</style>`;

const escaped = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
const text = (x: number, y: number, content: string, more = ''): string =>
  `<text x="${x.toFixed(0)}" y="${y.toFixed(0)}" ${more}>${escaped(content)}</text>`;
const svg = (width: number, height: number, title: string, parts: readonly string[]): string =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    STYLE,
    ...parts,
    '</svg>',
    '',
  ].join('\n');

/** The largest factor that is drawn. Factors left of 1 reach the goal; factors right of 1 miss it. */
const FURTHEST = 16;
const [LABELS, BARS, LINE] = [480, 320, 18];

/** Draws how far each line is from its goal. */
export function goalChart(runs: readonly Run[]): string {
  const lines = linesOf(runs).filter(({ figure }) => figure.goal !== undefined && typeof figure.measured !== 'string');
  let y = 20;
  const marks = lines.flatMap((line, at) => {
    const isFirst = lines[at - 1]?.id !== line.id;
    if (isFirst) y += LINE + 6;
    const head = isFirst ? [text(0, y + 4, `${line.id} ${line.row}`, 'font-weight="600"')] : [];
    y += LINE;
    return [...head, ...markOf(line, y)];
  });
  const height = y + LINE;
  const scale = [1 / FURTHEST, 1 / 4, 1, 4, FURTHEST].flatMap((factor) => {
    const x = place(factor);
    const label = factor === 1 ? 'goal' : factor < 1 ? `${1 / factor} × better` : `${factor} × worse`;
    return [
      `<path class="${factor === 1 ? 'goal' : 'grid'}" d="M${x.toFixed(1)} 24V${height - 8}"/>`,
      text(x, 16, label, 'text-anchor="middle" class="soft"'),
    ];
  });
  return svg(LABELS + BARS + 130, height, 'How far each figure is from its goal', [...scale, ...marks]);
}

/** The horizontal position of a factor. */
function place(factor: number): number {
  const bounded = Math.min(Math.max(factor, 1 / FURTHEST), FURTHEST);
  return LABELS + (BARS * (1 + Math.log(bounded) / Math.log(FURTHEST))) / 2;
}

function markOf({ figure, measured, verdict }: Line, y: number): string[] {
  const { goal, measured: value, what } = figure;
  if (goal === undefined || typeof value === 'string') return [];
  const factor = (one: number): number => {
    const [above, below] = 'most' in goal ? [one, goal.most] : [goal.least, one];
    return above === below ? 1 : above / below;
  };
  const { median, low, high } = spreadOf(value);
  return [
    text(16, y + 4, what),
    `<path class="${verdict}" stroke-width="3" d="M${place(factor(low)).toFixed(1)} ${y}H${place(factor(high)).toFixed(1)}"/>`,
    `<circle class="${verdict}" cx="${place(factor(median)).toFixed(1)}" cy="${y}" r="4"/>`,
    text(LABELS + BARS + 10, y + 4, measured.replace(/ \(.*/, ''), 'class="soft"'),
  ];
}

const [PANEL, TALL] = [280, 190];

/** Draws the cost of growing work, with a panel for each curve. */
export function growthChart(runs: readonly Run[]): string | undefined {
  const curves = (runs[0]?.rows ?? []).flatMap(({ id, curves: of = [] }) => of.map((curve) => ({ id, curve })));
  if (curves.length === 0) return undefined;
  const columns = 3;
  const panels = curves.flatMap(({ id, curve }, at) => {
    const [x, y] = [(at % columns) * PANEL, Math.floor(at / columns) * TALL];
    return [`<g transform="translate(${x} ${y})">`, ...panelOf(id, curve), '</g>'];
  });
  const rows = Math.ceil(curves.length / columns);
  return svg(columns * PANEL, rows * TALL, 'What the work costs as it grows', panels);
}

function panelOf(id: string, { what, unit, points }: Curve): string[] {
  const [left, right, top, bottom] = [20, PANEL - 30, 50, TALL - 40];
  const sizes = points.map(([size]) => size);
  const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
  const isWide = most / least > 100;
  const part = (size: number): number =>
    isWide ? Math.log(size / least) / Math.log(most / least) : (size - least) / (most - least || 1);
  const highest = Math.max(...points.map(([, cost]) => cost));
  const dots = points.map(([size, cost]) => ({
    ...{ size, cost },
    x: left + (right - left) * part(size),
    y: bottom - (bottom - top) * (cost / highest),
  }));
  const isLabelled = (at: number): boolean => isWide || at === 0 || at === dots.length - 1;
  return [
    text(left, 20, `${what} (${id}), ${unit}`),
    `<path class="grid" d="M${left} ${bottom}H${right}"/>`,
    `<path class="curve" d="M${dots.map(({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`).join('L')}"/>`,
    ...dots.flatMap(({ size, cost, x, y }, at) => [
      `<circle class="met" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="3"/>`,
      ...(isLabelled(at)
        ? [
            text(x, y - 8, digits(cost), 'text-anchor="middle" class="soft"'),
            text(x, bottom + 16, size.toLocaleString('en'), 'text-anchor="middle" class="soft"'),
          ]
        : []),
    ]),
  ];
}
