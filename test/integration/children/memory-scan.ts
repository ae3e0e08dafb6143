// Looks for secrets in the memory of its own process while a pool of keys is at work. Linux only. Prints JSON.
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { utf8, wipe } from '../../../src/bytes.ts';
import { definePolicy } from '../../../src/policy/index.ts';
import { createKeyPool } from '../../../src/provisioning/key-pool.ts';
import type { CreateArgs, ObjectChangeAuthArgs } from '../../../src/tpm/commands/object.ts';
import { Tpm } from '../../../src/tpm/tpm.ts';
import { startSwtpm } from '../../../src/tpm/transports/swtpm-process.ts';

/** What is looked for is kept only in this disguise, so as not to be found itself. */
const MASK = 0x5a;
const disguised = (secret: Uint8Array): readonly number[] => Array.from(secret, (byte) => byte ^ MASK);
const CHUNK = 2 ** 22;

/** Reads memory at `at`. What has gone away since the list of it was read holds nothing. */
function read(memory: number, into: Uint8Array, length: number, at: number): number {
  try {
    return readSync(memory, into, 0, length, at);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EIO') return 0;
    throw error;
  }
}

/** How often the secret is in the writable memory of this process. */
function count(secret: readonly number[]): number {
  const memory = openSync('/proc/self/mem', 'r');
  const chunk = Buffer.alloc(CHUNK + secret.length - 1);
  const [first = 0] = secret;
  let found = 0;
  try {
    for (const [, from = '', to = ''] of readFileSync('/proc/self/maps', 'utf8').matchAll(/^(\w+)-(\w+) rw/gm)) {
      const end = Number.parseInt(to, 16);
      for (let at = Number.parseInt(from, 16); at < end; at += CHUNK) {
        const size = read(memory, chunk, Math.min(chunk.length, end - at), at);
        for (
          let i = chunk.indexOf(first ^ MASK);
          i >= 0 && i + secret.length <= size;
          i = chunk.indexOf(first ^ MASK, i + 1)
        ) {
          if (secret.every((byte, k) => ((chunk[i + k] ?? 0) ^ MASK) === byte)) found++;
        }
        chunk.fill(0);
      }
    }
  } finally {
    closeSync(memory);
  }
  return found;
}

const seen: { random: readonly number[]; ofPin: readonly number[] } = { random: [], ofPin: [] };
const swtpm = await startSwtpm(); // in a process of its own, whose memory is not looked at
const tpm = await Tpm.open(await swtpm.open());
const run = tpm.run.bind(tpm);
tpm.run = async (command, args, options) => {
  if (command.name === 'ObjectChangeAuth') seen.ofPin = disguised((args as unknown as ObjectChangeAuthArgs).newAuth);
  if (command.name === 'Create') seen.random = disguised((args as unknown as CreateArgs).inSensitive.userAuth);
  return await run(command, args, options);
};

const policy = definePolicy({ hardware: 'required', attestation: 'required', algorithm: 'p-256' });
const pool = createKeyPool({ policy, sources: { tpm } });
const rounds: object[] = [];
for (let round = 0; round < 4; round++) {
  await pool.fill();
  const filled = count(seen.random) > 0;
  const pin = utf8('147258');
  await pool.take({ pin, challenge: utf8('a challenge'), profile: 'attested' });
  wipe(pin);
  rounds.push({ filled, taken: count(seen.random), ofPin: count(seen.ofPin) });
}
await pool.close();
await tpm.close();
await swtpm.stop();
console.log(JSON.stringify(rounds));
