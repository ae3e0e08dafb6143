// Measures the table in bench/README.md: `npm run bench -- --help`.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { goalChart, growthChart } from './chart.ts';
import { isPinned } from './child.ts';
import { findPeers } from './peers.ts';
import { printTable, writePage } from './report.ts';
import { describePlace, load, type Run, readRun } from './results.ts';
import type { Row } from './row.ts';
import { COMMAND_ROWS } from './rows/commands.ts';
import { JOB_ROWS } from './rows/job.ts';
import { PROVISION_ROWS } from './rows/provision.ts';
import { START_ROWS } from './rows/start.ts';
import { VERIFY_ROWS } from './rows/verify.ts';

const HELP = `npm run bench -- [ROW…] [OPTION…]

  ROW                  such as G9: measures only these rows. Default: all, which takes some minutes on an idle machine
  --quick              few rounds and small sizes, as a trial
  --rounds N           how often each contender runs. Default: 15
  --attestations N     number of attestations for the curve of G23. Default: 20,000
  --keys N             number of keys in the largest store. Default: 10,000
  --install-peers      installs peers from the npm registry in a separate folder
  --json FILE          writes the figures
  --svg FILE           draws how far each figure is from its goal
  --growth FILE        draws the cost of growing work
  --write PAGE         writes the table into a page
  --from FILE          reads the figures from such a JSON file instead of measuring; several files: the median of the runs`;

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    ...{ help: { type: 'boolean' }, quick: { type: 'boolean' }, 'install-peers': { type: 'boolean' } },
    ...{ rounds: { type: 'string' }, attestations: { type: 'string' }, keys: { type: 'string' } },
    ...{ json: { type: 'string' }, svg: { type: 'string' }, growth: { type: 'string' }, write: { type: 'string' } },
    from: { type: 'string', multiple: true },
  },
});

const ROWS: readonly Row[] = [START_ROWS, JOB_ROWS, COMMAND_ROWS, VERIFY_ROWS, PROVISION_ROWS]
  .flat()
  .sort((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)));

async function measure(): Promise<Run> {
  const unknown = positionals.filter((id) => !ROWS.some((row) => row.id === id));
  if (unknown.length > 0) throw new Error(`there is no row ${unknown.join(', ')}`);
  const size = (name: 'rounds' | 'attestations' | 'keys', usual: number, quick: number): number =>
    Number(given[name] ?? (given.quick ? quick : usual));
  const kit = {
    rounds: size('rounds', 15, 3),
    attestations: size('attestations', 20_000, 2000),
    keys: size('keys', 10_000, 1000),
    provisions: given.quick ? 5 : 100,
    peers: findPeers({ install: given['install-peers'] ?? false }),
  };
  if (!isPinned()) console.error('not pinned to one CPU: commands over a socket cost more than they should');
  const place = await describePlace();
  const before = load();
  const rows: Run['rows'][number][] = [];
  for (const { id, what, why, measure: run } of ROWS) {
    if (positionals.length > 0 && !positionals.includes(id)) continue;
    console.error(`${new Date().toISOString().slice(11, 19)} ${id} ${what}`);
    rows.push({ id, what, ...(why !== undefined && { why }), ...(await run(kit)) });
  }
  return { ...place, rounds: kit.rounds, load: [before, load()], rows };
}

if (given.help) console.log(HELP);
else {
  const runs = given.from?.map(readRun) ?? [await measure()];
  console.log(printTable(runs));
  if (given.json !== undefined) writeFileSync(given.json, `${JSON.stringify(runs[0], null, 1)}\n`);
  if (given.svg !== undefined) writeFileSync(given.svg, goalChart(runs));
  const growth = growthChart(runs);
  if (given.growth !== undefined && growth !== undefined) writeFileSync(given.growth, growth);
  if (given.write !== undefined) writePage(given.write, runs);
}
