// Searches its own memory for secrets while a key pool runs. Linux only. Prints JSON.
import { utf8, wipe } from '../../../src/bytes.ts';
import { definePolicy } from '../../../src/policy/index.ts';
import { createKeyPool } from '../../../src/provisioning/key-pool.ts';
import type { CreateArgs, ObjectChangeAuthArgs } from '../../../src/tpm/commands/object.ts';
import { Tpm } from '../../../src/tpm/tpm.ts';
import { startSwtpm } from '../../../src/tpm/transports/swtpm-process.ts';
import { countInMemory, disguised } from '../support/memory.ts';

const seen: { random: readonly number[]; ofPin: readonly number[] } = { random: [], ofPin: [] };
const swtpm = await startSwtpm(); // a separate process, whose memory is not searched
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
  const filled = countInMemory('self', seen.random) > 0;
  const pin = utf8('147258');
  await pool.take({ pin, challenge: utf8('a challenge'), profile: 'attested' });
  wipe(pin);
  rounds.push({ filled, taken: countInMemory('self', seen.random), ofPin: countInMemory('self', seen.ofPin) });
}
await pool.close();
await tpm.close();
await swtpm.stop();
console.log(JSON.stringify(rounds));
