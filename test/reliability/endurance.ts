/**
 * Checks that this process's memory and descriptors do not grow over a million commands, 100,000 signatures, 5,000 test
 * TPMs and 100,000 verifications. Run it with `node scripts/reliability.mjs endurance [--share N] [--only PART]`; N divides
 * the counts. It prints a table. Its exit code is 1 if something grew too much.
 */
import { readdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { verifyStatement } from '../../src/attestation/index.ts';
import { utf8 } from '../../src/bytes.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { openKey } from '../../src/provisioning/open-key.ts';
import { provisionKey } from '../../src/provisioning/provision-key.ts';
import { openTestTpm, type TestTpm } from '../../src/testing/index.ts';
import { GetRandom } from '../../src/tpm/commands/random.ts';
import { leftovers } from '../integration/support/new-tpm.ts';

const { values: given } = parseArgs({ options: { share: { type: 'string', default: '1' }, only: { type: 'string' } } });
const SHARE = Number(given.share);
/** How much resident memory may grow after the first tenth, in MiB: a leak of 20 bytes per command would exceed it. */
const MOST_MIB = 16;
const DATA = utf8('what is signed');
const CHALLENGE = utf8('a challenge of the service');
const PIN = utf8('591834');
const policy = definePolicy({ algorithm: 'p-256', hardware: 'required', attestation: 'required' });

interface Measure {
  readonly mib: number;
  readonly descriptors: number;
}

function measure(): Measure {
  for (let n = 0; n < 3; n++) globalThis.gc?.();
  return { mib: process.memoryUsage().rss / 2 ** 20, descriptors: readdirSync('/proc/self/fd').length };
}

/** A repeated operation: how often, and how many calls overlap. */
interface Part {
  readonly count: number;
  readonly atOnce: number;
  readonly prepare: () => Promise<{ readonly once: () => Promise<void>; readonly end: () => Promise<void> }>;
}

async function withKey(engine: 'libtpms' | 'swtpm', pin?: Uint8Array) {
  const kit = await openTestTpm({ engine, lockout: 'windows' });
  const made = await provisionKey({ policy, sources: { tpm: kit.tpm }, challenge: CHALLENGE, pin });
  return { kit, made };
}

/** @throws Error if the TPM contains objects or sessions that a new test TPM does not have. */
async function end({ tpm }: TestTpm): Promise<void> {
  const left = await leftovers(tpm);
  await tpm.close();
  if (left.length > 0) throw new Error(`left in the TPM: ${left.map((handle) => handle.toString(16)).join(', ')}`);
}

const commands = (engine: 'libtpms' | 'swtpm', count: number): Part => ({
  count,
  atOnce: 64,
  prepare: async () => {
    const kit = await openTestTpm({ engine });
    return { once: async () => void (await kit.tpm.run(GetRandom, { bytesRequested: 16 })), end: () => end(kit) };
  },
});

const signatures = (engine: 'libtpms' | 'swtpm', count: number, atOnce: number, pin?: Uint8Array): Part => ({
  count,
  atOnce,
  prepare: async () => {
    const { kit, made } = await withKey(engine, pin);
    const key = await openKey({ record: made.record, sources: { tpm: kit.tpm } });
    return {
      once: async () => void (await key.sign({ data: DATA, pin })),
      end: async () => {
        await key.close();
        await end(kit);
      },
    };
  },
});

const PARTS: Readonly<Record<string, Part>> = {
  'commands, libtpms': commands('libtpms', 1_000_000),
  'commands, swtpm': commands('swtpm', 200_000),
  'signatures, libtpms': signatures('libtpms', 50_000, 1),
  'overlapping signatures, libtpms': signatures('libtpms', 40_000, 10_000),
  'overlapping signatures, swtpm': signatures('swtpm', 8_000, 1_000),
  // Each use of a PIN runs scrypt.
  'signatures with a PIN, libtpms': signatures('libtpms', 2_000, 1, PIN),
  'test TPMs': {
    ...{ count: 5_000, atOnce: 4 },
    prepare: async () => ({
      once: async () => {
        await using kit = await openTestTpm({ engine: 'libtpms' });
        await kit.tpm.run(GetRandom, { bytesRequested: 16 });
      },
      end: async () => {},
    }),
  },
  verifications: {
    ...{ count: 100_000, atOnce: 16 },
    prepare: async () => {
      const { kit, made } = await withKey('libtpms');
      await end(kit);
      const { attestation, record } = made;
      if (attestation.status !== 'made') throw new Error('the key was not attested');
      const { statement } = attestation;
      const options = {
        ...{ challenge: CHALLENGE, attestationKey: { pubArea: statement.ak.pubArea } },
        expectedKey: { spki: encodeSpki(record.publicKey) },
      };
      return {
        once: async () => {
          if (!verifyStatement(statement, options).ok) throw new Error('a good statement was refused');
        },
        end: async () => {},
      };
    },
  },
};

/** Calls `once` `count` times, with `atOnce` calls overlapping. */
async function repeat(once: () => Promise<void>, count: number, atOnce: number): Promise<void> {
  let begun = 0;
  const lane = async () => {
    while (begun++ < count) await once();
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}

console.log(
  '| part | count | overlapping | minutes | MiB after 10 % | MiB at the end | descriptors after 10 % | descriptors at the end |',
);
console.log('|---|---:|---:|---:|---:|---:|---:|---:|');
for (const [name, { count, atOnce, prepare }] of Object.entries(PARTS)) {
  if (given.only !== undefined && !name.includes(given.only)) continue;
  const whole = Math.ceil(count / SHARE);
  const start = performance.now();
  const part = await prepare();
  await repeat(part.once, Math.ceil(whole / 10), Math.min(atOnce, whole));
  const early = measure();
  await repeat(part.once, whole - Math.ceil(whole / 10), Math.min(atOnce, whole));
  const late = measure();
  await part.end();
  const minutes = ((performance.now() - start) / 60_000).toFixed(1);
  const figures = [early.mib.toFixed(0), late.mib.toFixed(0), early.descriptors, late.descriptors];
  console.log(`| ${[name, whole, atOnce, minutes, ...figures].join(' | ')} |`);
  if (late.mib - early.mib > MOST_MIB || late.descriptors > early.descriptors) process.exitCode = 1;
}
