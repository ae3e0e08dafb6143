import { generateKeyPair, randomBytes, sign as signNode } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { utf8 } from '../../src/bytes.ts';
import { openSoftwareKeyProvider } from '../../src/keys/software-provider.ts';
import { openTestTpm } from '../../src/testing/with-tpm.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { startMssimStandIn } from '../../test/integration/support/mssim-stand-in.ts';
import { type ProcessCost, processCost } from '../child.ts';
import { amount, digits, Race } from '../figures.ts';
import { cpuTime, perCall, ratio, spread, wallTime } from '../measure.ts';
import { notMeasured } from '../peers.ts';
import type { Figure, Goal, Row } from '../row.ts';

const getRandom = (address: string): string => `
  import { commands, openTpm } from 'keyprov/tpm';
  const tpm = await openTpm('${address}');
  await tpm.run(commands.GetRandom, { bytesRequested: 8 });
  await tpm.close();`;

const getRandomByTssJs = (module: string, port: number): string => `
  import tss from '${module}';
  const tpm = new tss.Tpm(true, '127.0.0.1', ${port});
  tpm.connect(() => tpm.GetRandom(8, () => tpm.close()));`;

type Script = Parameters<typeof processCost>[0];

/** The costs of processes compared with an empty Node, round by round. */
async function starts(rounds: number, scripts: Readonly<Record<string, Script | (() => Promise<Script>)>>) {
  const names = ['nothing', ...Object.keys(scripts)];
  const costs = new Map<string, ProcessCost[]>(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const script = scripts[name] ?? '';
      costs.get(name)?.push(await processCost(typeof script === 'function' ? await script() : script));
    }
  }
  const of = (name: string, member: keyof ProcessCost): number[] => costs.get(name)?.map((one) => one[member]) ?? [];
  const more = (name: string, member: keyof ProcessCost) =>
    spread(of(name, member).map((cost, round) => cost - (of('nothing', member)[round] ?? Number.NaN)));
  return {
    times: (what: string, name: string, goal?: Goal): Figure => ({
      ...{ what, unit: '×', measured: ratio(of(name, 'ms'), of('nothing', 'ms')), ...(goal && { goal }) },
      amounts: `${digits(spread(of(name, 'ms')).median)} ms, empty Node ${digits(spread(of('nothing', 'ms')).median)} ms`,
    }),
    memory: (what: string, name: string, goal: Goal): Figure => amount(what, 'MiB', spread(of(name, 'mib')), goal),
    more,
  };
}

/** The same work in Node without keyprov: node:net and the bytes, or node:crypto. */
const floor = ({ data }: { readonly data: object }): string => `
  import { connect } from 'node:net';
  const socket = connect(${JSON.stringify(data)});
  socket.write(Buffer.from('80010000000c0000017b0008', 'hex'));
  socket.once('data', () => socket.destroy());`;

const G1: Row = {
  id: 'G1',
  what: 'a process that opens a TPM over a socket, runs GetRandom and closes it',
  async measure({ rounds, peers: { tssJs } }) {
    await using swtpm = await startSwtpm();
    // Needs a new simulator each time: TSS.JS does not wait for the last answer, which makes the simulator exit.
    const simulators: AsyncDisposable[] = [];
    const byTssJs = async (module: string) => {
      const simulator = await startMssimStandIn();
      simulators.push(simulator);
      return getRandomByTssJs(module, simulator.port);
    };
    const cost = await starts(rounds, {
      ours: getRandom(swtpm.address),
      floor: floor(swtpm),
      ...('command' in tssJs && { 'TSS.JS': () => byTssJs(tssJs.command[0]) }),
    });
    for (const simulator of simulators) await simulator[Symbol.asyncDispose]();
    const what = 'TSS.JS vs. an empty Node';
    return {
      figures: [
        cost.times('CPU vs. an empty Node', 'ours', { most: 1.25 }),
        cost.memory('memory', 'ours', { most: 46 }),
        cost.times('floor (node:net and the bytes) vs. an empty Node', 'floor'),
        'missing' in tssJs ? { what, unit: '×', measured: notMeasured(tssJs.missing) } : cost.times(what, 'TSS.JS'),
      ],
    };
  },
  why: 'keyprov spends the additional time parsing and running its code once, and loading node:crypto',
};

const G2: Row = {
  id: 'G2',
  what: 'a process that opens a TPM in process, runs GetRandom and closes it',
  async measure({ rounds }) {
    const cost = await starts(rounds, { ours: getRandom('libtpms') });
    return {
      figures: [
        cost.times('CPU vs. an empty Node', 'ours', { most: 1.4 }),
        cost.memory('memory', 'ours', { most: 52 }),
      ],
    };
  },
  why: 'in addition to G1, the process loads koffi and a private copy of libtpms, and makes a new TPM',
};

const [MOST_MS, MOST_MIB] = [20, 4];

const G16: Row = {
  id: 'G16',
  what: 'importing each subpath, beyond the cost of an empty Node',
  async measure({ rounds }) {
    const { exports } = JSON.parse(readFileSync('package.json', 'utf8'));
    const names = Object.keys(exports).flatMap((path) =>
      path === './package.json' ? [] : [`keyprov${path.slice(1)}`],
    );
    const cost = await starts(rounds, {
      ...Object.fromEntries(names.map((name) => [name, `import '${name}'`])),
      '--version': [resolve('dist/src/cli/main.js'), '--version'],
    });
    const found = names
      .map((name) => ({ name, ms: cost.more(name, 'ms'), mib: cost.more(name, 'mib') }))
      .sort((a, b) => a.ms.median - b.ms.median);
    const isOver = ({ ms, mib }: (typeof found)[number]) => ms.median > MOST_MS || mib.median > MOST_MIB;
    const [least, dearest] = [found[0], found.at(-1)];
    const root = found.find(({ name }) => name === 'keyprov');
    if (least === undefined || dearest === undefined || root === undefined) throw new Error('no subpaths');
    const largest = found.toSorted((a, b) => a.mib.median - b.mib.median).at(-1) ?? dearest;
    const list = found
      .map(({ name, ms, mib }) => `${name} ${digits(ms.median)} ms, ${digits(mib.median)} MiB`)
      .join('; ');
    return {
      figures: [
        {
          ...amount(`subpaths that miss a goal below, out of ${names.length}`, '', found.filter(isOver).length, {
            most: 0,
          }),
          amounts: list,
        },
        amount('CPU of the most expensive subpath', 'ms', dearest.ms, { most: MOST_MS }),
        amount('CPU of the subpath keyprov', 'ms', root.ms, { most: MOST_MS }),
        amount('memory of the largest subpath', 'MiB', largest.mib, { most: MOST_MIB }),
        cost.times('keyprov --version vs. an empty Node', '--version', { most: 1.4 }),
      ],
    };
  },
  why: 'no package is loaded (test/package/import-graph.test.ts), but node:crypto takes about 10 ms, and each file about 1 ms',
};

const G17: Row = {
  id: 'G17',
  what: 'a new TPM for a test vs. starting swtpm',
  async measure({ rounds }) {
    const race = await Race.run(rounds, {
      ours: perCall(wallTime, async () => void (await (await openTestTpm()).tpm.close())),
      swtpm: perCall(wallTime, async () => {
        await using swtpm = await startSwtpm();
        await using _ = await openTpm(swtpm.address);
      }),
    });
    return { figures: [race.times('time to open and close', ['ours', 'swtpm'], { most: 0.25 })] };
  },
  why: 'each TPM gets its own copy of the library, so that there can be many',
};

const DATA = utf8('data');

const G18: Row = {
  id: 'G18',
  what: 'making a software key without a PIN and using it once',
  async measure({ rounds }) {
    const provider = openSoftwareKeyProvider({ wrappingSecret: randomBytes(32) });
    const race = await Race.run(rounds, {
      ours: perCall(cpuTime, async () => {
        const key = await provider.create({ algorithm: 'p-256' });
        await provider.sign(key, { data: DATA });
      }),
      'node:crypto': perCall(cpuTime, async () => {
        const { privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
        signNode('sha256', DATA, privateKey);
      }),
    });
    return { figures: [race.times('CPU vs. node:crypto, P-256', ['ours', 'node:crypto'], { most: 1.2 })] };
  },
  why: 'keyprov encrypts the new key. Each use decrypts it, imports it, and checks the signature',
};

export const START_ROWS: readonly Row[] = [G1, G2, G16, G17, G18];
