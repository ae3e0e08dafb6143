import { startSwtpm } from '../../../src/tpm/transports/swtpm-process.ts';

// Starts a swtpm, prints its address, and waits to be killed.
const { pid, data } = await startSwtpm();
process.stdout.write(`${JSON.stringify({ pid, path: 'path' in data ? data.path : '' })}\n`);
process.stdin.resume();
