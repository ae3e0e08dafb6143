import { startSwtpm } from '../../../src/tpm/transports/swtpm-process.ts';

// Starts a swtpm, says where, and waits for its own end.
const { pid, data } = await startSwtpm();
process.stdout.write(`${JSON.stringify({ pid, path: 'path' in data ? data.path : '' })}\n`);
process.stdin.resume();
