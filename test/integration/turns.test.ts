import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/bytes.ts';
import { verifySignature } from '../../src/crypto/verify-signature.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { provisionKey } from '../../src/provisioning/provision-key.ts';
import { faultyTransport } from '../../src/testing/faulty-transport.ts';
import { GetRandom } from '../../src/tpm/commands/random.ts';
import { TPM_CC } from '../../src/tpm/constants.ts';
import { startSession } from '../../src/tpm/start-session.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { leftovers, newTpm, newTransport, tpmMissing } from './support/new-tpm.ts';

const DATA = utf8('data');
const SOFTWARE = { software: () => Promise.reject(new Error('no software key is wanted here')) };

/** A TPM that counts the commands that it gets, and the highest number of sessions that were started and not ended. */
async function countingTpm() {
  const counts = { commands: 0, swaps: 0 };
  const inner = await newTransport();
  const transport = faultyTransport(inner, (code) => {
    counts.commands += 1;
    if (code === TPM_CC.ContextSave || code === TPM_CC.ContextLoad) counts.swaps += 1;
    return 'none';
  });
  return { tpm: await Tpm.open(transport), counts };
}

describe.skipIf(await tpmMissing())('jobs that overlap on one TPM', () => {
  it('take turns: 300 overlapping signatures cost as much as one after the other', async () => {
    const { tpm, counts } = await countingTpm();
    const provider = await openTpmKeyProvider(tpm);
    const key = await provider.create({ algorithm: 'p-256' });
    counts.commands = 0;
    await provider.sign(key, { data: DATA });
    const alone = counts.commands;
    counts.commands = 0;
    const signatures = await Promise.all(Array.from({ length: 300 }, () => provider.sign(key, { data: DATA })));
    expect(counts).toEqual({ commands: 300 * alone, swaps: 0 });
    for (const signature of signatures) {
      expect(verifySignature(key.publicKey, 'sha256', DATA, signature, 'der')).toBe(true);
    }
    expect(await leftovers(tpm)).toEqual([]);
    await tpm.close();
  });

  it.each(['preferred', 'required'] as const)('are all attested TPM keys: 100 provisions, %s', async (hardware) => {
    const { tpm, counts } = await countingTpm();
    const policy = definePolicy({ hardware, attestation: hardware, algorithm: 'p-256' });
    const provision = (i: number) =>
      provisionKey({ policy, sources: { tpm, ...SOFTWARE }, challenge: utf8(`challenge ${i}`) });
    await provision(0);
    counts.commands = 0;
    for (let i = 0; i < 10; i++) await provision(i);
    const inRow = counts.commands / 10;
    counts.commands = 0;
    const made = await Promise.all(Array.from({ length: 100 }, (_, i) => provision(i)));
    console.log(`${hardware}: ${inRow} commands one after the other, ${counts.commands / 100} at once`);
    expect(counts.commands / 100).toBeLessThanOrEqual(1.1 * inRow);
    expect(made.map(({ record, attestation }) => `${record.backend} ${attestation.status}`)).toEqual(
      made.map(() => 'tpm made'),
    );
    expect(new Set(made.map(({ record }) => record.id)).size).toBe(100);
    expect(await leftovers(tpm)).toEqual([]);
    await tpm.close();
  });

  it('do not wait within their own turn, and leave the queue when they are aborted', async () => {
    await using tpm = await newTpm();
    const order: string[] = [];
    const controller = new AbortController();
    const job = (name: string) => async (): Promise<void> => {
      order.push(`${name} begins`);
      await tpm.turn(async () => {
        await tpm.turn(() => tpm.run(GetRandom, { bytesRequested: 4 }));
      });
      await Promise.all([tpm.turn(() => turn()), tpm.turn(() => turn())]);
      order.push(`${name} ends`);
    };
    const first = tpm.turn(job('first'));
    const aborted = tpm.turn(job('aborted'), { signal: controller.signal });
    const failing = tpm.turn(() => Promise.reject(new Error('failed')));
    const last = tpm.turn(job('last'));
    controller.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    expect(order).toEqual(['first begins']);
    await expect(failing).rejects.toThrow('failed');
    await Promise.all([first, last]);
    expect(order).toEqual(['first begins', 'first ends', 'last begins', 'last ends']);
  });

  it('may go on after the turn that they were started in', async () => {
    await using tpm = await newTpm();
    let later: Promise<string> | undefined;
    await tpm.turn(async () => {
      later = (async () => {
        await turn();
        await turn();
        return await tpm.turn(async () => 'had its turn');
      })();
    });
    expect(await later).toBe('had its turn');
  });

  it("let other programs' commands run between their own", async () => {
    await using tpm = await newTpm();
    const provider = await openTpmKeyProvider(tpm);
    const key = await provider.create({ algorithm: 'p-256' });
    const kept = await Promise.all(Array.from({ length: 5 }, () => startSession(tpm)));
    const work = Promise.all(Array.from({ length: 20 }, () => provider.sign(key, { data: DATA })));
    for (let i = 0; i < 20; i++) {
      for (const session of kept) {
        session.use = { ...session.use, audit: true };
        await tpm.run(GetRandom, { bytesRequested: 4 }, { sessions: [session] });
      }
    }
    await work;
    for (const session of kept) await session.close();
    expect(await leftovers(tpm)).toEqual([]);
  });
});
