// From PIN to request, with a key that was made in advance and without, and how much of it is scrypt.
import { loadavg } from 'node:os';
import { performance } from 'node:perf_hooks';
import { utf8 } from '../src/bytes.ts';
import { deriveAuthValue, newPinDerivation } from '../src/keys/pin-derivation.ts';
import { definePolicy } from '../src/policy/index.ts';
import { createKeyPool } from '../src/provisioning/key-pool.ts';
import { provisionKey } from '../src/provisioning/provision-key.ts';
import { openTpm } from '../src/tpm/open-tpm.ts';

const ROUNDS = 25;
const pin = utf8('147258');
const challenge = utf8('a challenge of the service');

for (const algorithm of ['rsa-2048', 'p-256'] as const) {
  await using tpm = await openTpm('libtpms');
  const policy = definePolicy({ hardware: 'required', attestation: 'required', algorithm });
  await using pool = createKeyPool({ policy, sources: { tpm } });
  const times = new Map<string, number[]>();
  const timed = async (name: string, work: () => Promise<unknown>): Promise<void> => {
    const start = performance.now();
    await work();
    times.set(name, [...(times.get(name) ?? []), performance.now() - start]);
  };
  for (let round = -1; round < ROUNDS; round++) {
    if (round === 0) times.clear(); // the first one warms up
    await timed('provisionKey', () => provisionKey({ policy, sources: { tpm }, challenge, pin, profile: 'attested' }));
    await timed('fill', () => pool.fill());
    await timed('take', async () => {
      const { pregenerated } = await pool.take({ challenge, pin, profile: 'attested' });
      if (!pregenerated) throw new Error('the pool was empty');
    });
    await timed('of that, scrypt of the PIN', async () => deriveAuthValue(pin, newPinDerivation()));
  }
  console.log(`\n${algorithm} on libtpms (load ${loadavg()[0]?.toFixed(1)}, ${ROUNDS} rounds)`);
  let first: number | undefined;
  for (const [name, values] of times) {
    values.sort((a, b) => a - b);
    const median = values[Math.floor(values.length / 2)] ?? Number.NaN;
    first ??= median;
    const spread = `${values[0]?.toFixed(1)}–${values.at(-1)?.toFixed(1)}`;
    const ratio = `${((100 * median) / first).toFixed(0)}%`;
    console.log(
      `  ${name.padEnd(28)} ${median.toFixed(1).padStart(7)} ms  ${spread.padStart(14)}  ${ratio.padStart(5)}`,
    );
  }
}
