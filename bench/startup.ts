// What a start costs in CPU time of the whole process and in memory, beside a Node that does nothing: each subpath, the
// command line, and a random number from a TPM, over a socket and in this process. Of what is in dist/: `npm run build`.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { resolve } from 'node:path';
import { startSwtpm } from '../src/tpm/transports/swtpm-process.ts';

const ROUNDS = 15;
/** Loaded first: says at the end what the process has cost. */
const REPORT = `data:text/javascript,process.on('exit', () => {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  console.error(JSON.stringify({ ms: (userCPUTime + systemCPUTime) / 1000, mib: maxRSS / 1024 }));
});`;

interface Cost {
  readonly ms: number;
  readonly mib: number;
}

function costOf(args: readonly string[]): Cost {
  const command = ['-c', 'exec "$0" "$@" 2>&1 >/dev/null', process.execPath, '--import', REPORT, ...args];
  return JSON.parse(execFileSync('sh', command, { encoding: 'utf8' }).trimEnd().split('\n').at(-1) ?? '');
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const script = (code: string): readonly string[] => ['--input-type=module', '-e', code];
const getRandom = (address: string): readonly string[] =>
  script(`
    import { commands, openTpm } from 'keyprov/tpm';
    const tpm = await openTpm('${address}');
    await tpm.run(commands.GetRandom, { bytesRequested: 8 });
    await tpm.close();`);

await using swtpm = await startSwtpm();
const { exports } = JSON.parse(readFileSync('package.json', 'utf8'));
const subpaths = Object.keys(exports).filter((path) => path !== './package.json');
const starts: Readonly<Record<string, readonly string[]>> = {
  nothing: script(''),
  'keyprov --version': [resolve('dist/src/cli/main.js'), '--version'],
  'keyprov status --help': [resolve('dist/src/cli/main.js'), 'status', '--help'],
  'open, GetRandom, close over a socket': getRandom(swtpm.address),
  'open, GetRandom, close in process': getRandom('libtpms'),
  ...Object.fromEntries(
    subpaths.map((path) => [`import keyprov${path.slice(1)}`, script(`import 'keyprov${path.slice(1)}'`)]),
  ),
};
const costs = Object.entries(starts).map(([name, args]) => ({ name, args, measured: [] as Cost[] }));
for (let round = 0; round < ROUNDS; round++) for (const { args, measured } of costs) measured.push(costOf(args));

console.log(`\nstart of a process (load ${loadavg()[0]?.toFixed(1)}, ${ROUNDS} rounds, medians)`);
const nothing = costs[0]?.measured ?? [];
for (const { name, measured } of costs) {
  const ms = median(measured.map((cost) => cost.ms));
  const mib = median(measured.map((cost) => cost.mib));
  // Each beside the Node of the same round.
  const ratio = median(measured.map((cost, round) => cost.ms / (nothing[round]?.ms ?? Number.NaN)));
  const more = mib - median(nothing.map((cost) => cost.mib));
  console.log(
    `  ${name.padEnd(40)} ${ms.toFixed(0).padStart(5)} ms  ×${ratio.toFixed(2)}  ${mib.toFixed(1)} MiB  +${more.toFixed(1)}`,
  );
}
