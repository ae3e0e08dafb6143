import { describe, expect, it } from 'vitest';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { GetRandom } from '../../src/tpm/commands/random.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import { startSession } from '../../src/tpm/start-session.ts';
import { srkTemplate } from '../../src/tpm/templates.ts';
import { newTpm, tpmMissing } from '../integration/support/new-tpm.ts';

// Here because of the flags of this project: a collection on request, and none on its own meanwhile.

/** Limit for a command's heap allocations in bytes: a quarter more than today. */
const MOST = { plain: 22_000, salted: 35_000 };
const COMMANDS = 400;
const EMPTY = new Uint8Array(0);

/** Allocations per command: the least of several measurements, because the first ones include uncompiled code. */
async function bytesOf(command: () => Promise<unknown>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 10; run++) {
    globalThis.gc?.();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < COMMANDS; i++) await command();
    const taken = (process.memoryUsage().heapUsed - before) / COMMANDS;
    if (taken > 0) least = Math.min(least, taken);
  }
  return least;
}

describe.skipIf(await tpmMissing())('a command', () => {
  it('allocates little memory, with or without a session', async () => {
    await using tpm = await newTpm();
    const plain = await bytesOf(() => tpm.run(GetRandom, { bytesRequested: 8 }));
    const { objectHandle: handle, outPublic: publicArea } = await tpm.run(CreatePrimary, {
      ...{ primaryHandle: TPM_RH.OWNER, inSensitive: { userAuth: EMPTY, data: EMPTY } },
      ...{ inPublic: srkTemplate('p-256'), outsideInfo: EMPTY, creationPCR: [] },
    });
    const session = await startSession(tpm, { salt: { handle, publicArea }, use: { encrypt: true } });
    const salted = await bytesOf(() => tpm.run(GetRandom, { bytesRequested: 8 }, { sessions: [session] }));
    expect(plain).toBeLessThan(MOST.plain);
    expect(salted).toBeLessThan(MOST.salted);
  });
});
