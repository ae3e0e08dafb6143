// Measures event loop delay while the TPM in this process makes RSA-3072 keys. Argument: the number of keys.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { openTpmKeyProvider } from '../../src/keys/index.ts';
import { openTpm } from '../../src/tpm/index.ts';

await using tpm = await openTpm('libtpms');
const provider = await openTpmKeyProvider(tpm);
await provider.create({ algorithm: 'p-256' });
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
for (let key = 0; key < Number(process.argv[2]); key++) await provider.create({ algorithm: 'rsa-3072' });
delay.disable();
const ms = (nanoseconds: number): number => nanoseconds / 1e6;
console.log(JSON.stringify({ p50: ms(delay.percentile(50)), p99: ms(delay.percentile(99)), most: ms(delay.max) }));
