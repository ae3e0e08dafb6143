import { uint32At, utf8 } from '../../src/bytes.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { createKeyPool } from '../../src/provisioning/key-pool.ts';
import { provisionKey } from '../../src/provisioning/provision-key.ts';
import { TPM_CC } from '../../src/tpm/constants.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import type { SwtpmProcess } from '../../src/tpm/transports/swtpm-process.ts';
import { child, lastLine } from '../child.ts';
import { countOnWire, PIN, startPreparedSwtpm } from '../counts.ts';
import { amount, digits, Race } from '../figures.ts';
import { type JobOptions, job } from '../job.ts';
import { type Contender, cpuTime, inTurn, perCall, ratio, spread } from '../measure.ts';
import { GO_TPM, notMeasured, type Peer } from '../peers.ts';
import type { Figure, Row } from '../row.ts';

const JOBS = 10;
/** The address in tpm2-tss' form. */
const tctiOf = (port: number): string => `swtpm:host=127.0.0.1,port=${port}`;
const portOf = ({ data }: SwtpmProcess): number => ('port' in data ? data.port : Number.NaN);

const G3: Row = {
  id: 'G3',
  what: 'commands of a provisioning job in a salted session, including open and close',
  async measure({ peers: { esys } }) {
    const cold = await countOnWire({ session: true, warm: false });
    const warm = await countOnWire({ session: true, warm: true });
    const byEsys = async ({ command: [program] }: Extract<Peer, { command: unknown }>): Promise<number> =>
      (await countOnWire((port) => lastLine(program, [tctiOf(port), 'job', 'session', '1']))).commands;
    return {
      figures: [
        amount('cold', 'commands', cold.commands, { most: 13 }),
        amount('warm: endorsement, storage and attestation key are in the TPM', 'commands', warm.commands, {
          most: 10,
        }),
        amount('of these, refused and resent, cold and warm together', 'commands', cold.refused + warm.refused, {
          most: 0,
        }),
        {
          ...{ what: 'cold, ESYS (C)', unit: 'commands' },
          measured: 'missing' in esys ? notMeasured(esys.missing) : await byEsys(esys),
        },
      ],
    };
  },
  why: 'the job itself takes 13 (cold) and 10 (warm). Safety costs five more commands: one checks at open that the TPM answers, two look for leftovers of dead processes, TPM2_Shutdown follows the use of a PIN, and its effect, TPM_RC_RETRY, makes keyprov resend a command',
};

/** Runs the job ten times in a new process, and measures CPU time of the first and the tenth. */
async function jobCosts(rounds: number, esys: Peer): Promise<readonly (readonly Figure[])[]> {
  await using swtpm = await startPreparedSwtpm();
  const costs: Record<'first' | 'tenth', Record<'ours' | 'esys', number[]>> = {
    first: { ours: [], esys: [] },
    tenth: { ours: [], esys: [] },
  };
  const add = (who: 'ours' | 'esys', run: readonly number[]): void => {
    costs.first[who].push(run[0] ?? Number.NaN);
    costs.tenth[who].push(run[JOBS - 1] ?? Number.NaN);
  };
  for (let round = 0; round < rounds; round++) {
    add('ours', await child('job', [swtpm.address, 'session', 'cold', `${JOBS}`]));
    if ('command' in esys) {
      add('esys', await lastLine(esys.command[0], [tctiOf(portOf(swtpm)), 'job', 'session', `${JOBS}`]));
    }
  }
  return (['first', 'tenth'] as const).map((which) => {
    const { ours, esys: theirs } = costs[which];
    const goal = { most: which === 'first' ? 0.6 : 0.25 };
    const amounts = [
      `ours ${digits(spread(ours).median)} ms`,
      ...('command' in esys ? [`ESYS ${digits(spread(theirs).median)} ms`] : []),
    ].join(', ');
    return [
      {
        ...{ what: 'client CPU vs. ESYS (C)', unit: '×', goal, amounts },
        measured: 'missing' in esys ? notMeasured(esys.missing) : ratio(ours, theirs),
      },
      { what: 'vs. go-tpm', unit: '×', ...(which === 'tenth' && { goal: { most: 0.9 } }), measured: GO_TPM },
    ];
  });
}
let jobFigures: ReturnType<typeof jobCosts> | undefined;

const G4: Row = {
  id: 'G4',
  what: 'first provisioning job of a process: P-256 keys, salted session',
  async measure({ rounds, peers: { esys } }) {
    jobFigures ??= jobCosts(rounds, esys);
    return { figures: (await jobFigures)[0] ?? [] };
  },
  why: 'most of the time goes to parsing code and running it before V8 compiles it',
};

const G5: Row = {
  id: 'G5',
  what: 'tenth provisioning job of a process: P-256 keys, salted session',
  async measure({ rounds, peers: { esys } }) {
    jobFigures ??= jobCosts(rounds, esys);
    return { figures: (await jobFigures)[1] ?? [] };
  },
  why: 'about a third goes to the file that records which objects the process has in a TPM without a resource manager. The rest is the five additional commands of G3 and code that V8 has not compiled yet',
};

/** The job's commands with passwords, as bytes. They do not depend on earlier answers, so they can be sent again. */
async function recordJob(swtpm: SwtpmProcess, options: JobOptions): Promise<Uint8Array[]> {
  const commands: Uint8Array[] = [];
  await using tpm = await openTpm(swtpm.address, {
    wrap: (inner) => ({
      ...inner,
      ...{ kind: inner.kind, address: inner.address, emulator: true, managed: false },
      async send(command, more) {
        const kept = command.slice();
        const answer = await inner.send(command, more);
        // Leaves out refused commands, which are resent, and the commands of `openTpm` and `close`.
        if (uint32At(answer, 6) === 0 && !NOT_OF_THE_JOB.has(uint32At(kept, 6))) commands.push(kept);
        return answer;
      },
      close: () => inner.close(),
    }),
  });
  await job(tpm, options);
  return commands;
}
const NOT_OF_THE_JOB: ReadonlySet<number> = new Set([TPM_CC.GetCapability, TPM_CC.Shutdown]);

const G6: Row = {
  id: 'G6',
  what: 'provisioning job with a password, in a warm process on an open connection',
  async measure({ rounds }) {
    const figures: Figure[] = [];
    for (const warm of [false, true]) {
      await using swtpm = await startPreparedSwtpm();
      const commands = await recordJob(swtpm, { session: false, warm });
      await using transport = await swtpm.open();
      const tpm = await Tpm.open(transport);
      const race = await Race.run(rounds, {
        ours: perCall(cpuTime, () => job(tpm, { session: false, warm })),
        floor: perCall(cpuTime, async () => {
          for (const command of commands) {
            const answer = await transport.send(command);
            if (uint32At(answer, 6) !== 0) throw new Error('the job cannot be done again with the same bytes');
          }
        }),
      });
      const what = `${warm ? 'warm' : 'cold'}: client CPU vs. the floor`;
      figures.push(race.times(what, ['ours', 'floor'], { most: 1.2 }));
    }
    return { figures };
  },
  why: 'the floor parses nothing. keyprov encodes and decodes structures, computes Names and checks the responses',
};

const G7: Row = {
  id: 'G7',
  what: 'event loop delay while a TPM in process makes an RSA-3072 key',
  async measure() {
    const held: Record<'p50' | 'p99' | 'most', number> = await child('event-loop', ['5'], { everywhere: true });
    return {
      figures: [amount('99th percentile', 'ms', held.p99, { most: 5 }), amount('longest delay', 'ms', held.most)],
    };
  },
  why: 'the TPM works in another thread. If two CPUs are not free, that thread and the loop take turns',
};

const challenge = utf8('a challenge of the service');

const G8: Row = {
  id: 'G8',
  what: 'from PIN to request: a key from a pool vs. a new key',
  async measure({ rounds }) {
    await using tpm = await openTpm('libtpms');
    const policy = definePolicy({ hardware: 'required', attestation: 'required', algorithm: 'rsa-2048' });
    await using pool = createKeyPool({ policy, sources: { tpm } });
    const request = { challenge, pin: PIN, profile: 'attested' } as const;
    const cost =
      (work: () => Promise<unknown>): Contender =>
      async () => {
        const begin = cpuTime();
        await work();
        return (cpuTime() - begin) / 1000;
      };
    const fill = async (): Promise<number> => {
      await pool.fill();
      return 0;
    };
    await fill();
    await pool.take(request);
    // The search for primes takes up to ten times as long for some keys, so this needs many rounds, with a median each.
    const costs = await inTurn(3 * rounds, {
      fill,
      ours: cost(() => pool.take(request)),
      cold: cost(() => provisionKey({ policy, sources: { tpm }, ...request })),
    });
    const [ours, cold] = [spread(costs.ours), spread(costs.cold)];
    const part = (value: number): number => (100 * value) / cold.median;
    const measured = { median: part(ours.median), low: part(ours.low), high: part(ours.high) };
    const amounts = `pool ${digits(ours.median)} ms, new ${digits(cold.median)} ms`;
    return {
      figures: [
        { what: 'CPU including the TPM in process, RSA-2048', unit: '%', goal: { most: 15 }, measured, amounts },
      ],
    };
  },
  why: 'most of the time is scrypt for the PIN, which is slow on purpose',
};

export const JOB_ROWS: readonly Row[] = [G3, G4, G5, G6, G7, G8];
