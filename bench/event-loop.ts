// How long the event loop is held while the in-process TPM makes RSA-3072 keys: goal 20 ms at the 99th percentile.
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { openTpmKeyProvider } from '../src/keys/tpm-provider.ts';
import { openTpm } from '../src/tpm/open-tpm.ts';

const KEYS = 10;

await using tpm = await openTpm('libtpms');
const provider = await openTpmKeyProvider(tpm);
await provider.create({ algorithm: 'p-256' });

const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
const times: number[] = [];
for (let i = 0; i < KEYS; i++) {
  const start = performance.now();
  await provider.create({ algorithm: 'rsa-3072' });
  times.push(performance.now() - start);
}
delay.disable();
times.sort((a, b) => a - b);
const ms = (nanoseconds: number) => (nanoseconds / 1e6).toFixed(2);
console.log(
  `\n${KEYS} RSA-3072 keys, median ${times[KEYS / 2]?.toFixed(0)} ms, longest ${times.at(-1)?.toFixed(0)} ms`,
);
console.log(
  `  event loop held: p50 ${ms(delay.percentile(50))} ms, p99 ${ms(delay.percentile(99))} ms, max ${ms(delay.max)} ms`,
);
