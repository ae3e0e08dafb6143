import { expect, it } from 'vitest';
import { utf8 } from '../../src/bytes.ts';
import { startSimulator } from '../../src/testing/start-simulator.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { ReadPublic } from '../../src/tpm/commands/object.ts';
import { GetRandom } from '../../src/tpm/commands/random.ts';
import { TPM_ALG, TPM_RH } from '../../src/tpm/constants.ts';
import { startSession } from '../../src/tpm/start-session.ts';
import { akTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import type { TpmObject } from '../../src/tpm/tpm-object.ts';
import { TPM_RC } from '../../src/tpm/tpm-rc.ts';
import { faultyWire, type WireFault } from '../reliability/wire-faults.ts';
import { leftovers, tpmMissing } from './support/new-tpm.ts';

const missing = await tpmMissing();

/** Loads one more object, each another one. */
async function load(tpm: Tpm, label: string): Promise<TpmObject> {
  const template = akTemplate('p-256');
  if (template.type !== TPM_ALG.ECC) throw new Error('a P-256 key is an ECC key');
  const inPublic = { ...template, unique: { x: utf8(label), y: new Uint8Array(0) } };
  const inSensitive = { userAuth: new Uint8Array(0), data: new Uint8Array(0) };
  const args = { primaryHandle: TPM_RH.OWNER, inSensitive, inPublic, outsideInfo: new Uint8Array(0), creationPCR: [] };
  return (await tpm.run(CreatePrimary, args)).objectHandle;
}

/** What is left in a TPM after `work` with `fault` at the command of that number, and after closing. */
async function leftAfter(at: number, fault: WireFault, work: (tpm: Tpm) => Promise<unknown>): Promise<string[]> {
  const inner = await startSimulator();
  const wire = faultyWire(inner, at, fault);
  const tpm = await Tpm.open(wire);
  const said = await work(tpm).then(
    () => 'done',
    () => 'failed',
  );
  await tpm.close();
  expect(wire.met).toBe(true);
  const after = await Tpm.open(inner);
  const left = await leftovers(after);
  await after.close();
  return [said, ...left.map((handle) => handle.toString(16))];
}

const refused: WireFault = { kind: 'response code', code: TPM_RC.NV_UNAVAILABLE };

it.skipIf(missing)('an object whose flush the TPM refuses is taken out when the TPM is closed', async () => {
  const work = async (tpm: Tpm) => (await load(tpm, 'a')).flush();
  expect(await leftAfter(2, refused, work)).toEqual(['failed']);
});

it.skipIf(missing)('an object whose flush the TPM refuses at the close is tried once more', async () => {
  expect(await leftAfter(2, refused, (tpm) => load(tpm, 'a'))).toEqual(['done']);
});

it.skipIf(missing)('a session whose flush the TPM refuses is taken out when the TPM is closed', async () => {
  const work = async (tpm: Tpm) => {
    const session = await startSession(tpm);
    session.use = { ...session.use, audit: true };
    await tpm.run(GetRandom, { bytesRequested: 1 }, { sessions: [session] });
    await session.close();
  };
  expect(await leftAfter(3, refused, work)).toEqual(['failed']);
  // A TPM answers as if there were nothing to flush.
  const bitOfTag = 10;
  expect(await leftAfter(3, { kind: 'command bit', bit: bitOfTag }, work)).toEqual(['done']);
});

it.skipIf(missing)('an object whose flush the TPM refuses is removed when room is needed', async () => {
  const work = async (tpm: Tpm) => {
    await expect((await load(tpm, 'a')).flush()).rejects.toThrow('TPM_RC_NV_UNAVAILABLE');
    // Three slots are there, and nothing of these may be swapped out unseen: they are used at once.
    for (const label of ['b', 'c', 'd', 'e']) await load(tpm, label);
    expect(await leftovers(tpm)).toHaveLength(3);
  };
  expect(await leftAfter(2, refused, work)).toEqual(['done']);
});

it.skipIf(missing)(
  'loaded objects and started sessions are flushed if their answer and the next one are swapped',
  async () => {
    const objects = async (tpm: Tpm) => {
      await load(tpm, 'a');
      await load(tpm, 'b');
    };
    expect(await leftAfter(1, { kind: 'reorder' }, objects)).toEqual(['failed']);
    expect(await leftAfter(2, { kind: 'reorder' }, objects)).toEqual(['failed']);
    expect(await leftAfter(1, { kind: 'reorder' }, startSession)).toEqual(['failed']);
    // The answer before is a refusal.
    const afterRefusal = async (tpm: Tpm) => {
      await tpm.run(ReadPublic, { objectHandle: 0x81000001 }).catch(() => {});
      await load(tpm, 'a');
    };
    expect(await leftAfter(2, { kind: 'duplicate' }, afterRefusal)).toEqual(['failed']);
    expect(await leftAfter(2, { kind: 'reorder' }, afterRefusal)).toEqual(['failed']);
  },
);

it.skipIf(missing)('an object is flushed if its flush was altered and hit another one', async () => {
  const lastBitOfHandle = 8 * 13;
  const work = async (tpm: Tpm) => {
    const [a, b] = [await load(tpm, 'a'), await load(tpm, 'b')];
    await a.flush();
    await b.flush();
  };
  expect(await leftAfter(3, { kind: 'command bit', bit: lastBitOfHandle }, work)).toEqual(['done']);
});

it.skipIf(missing)(
  'a lost connection is one error, however many objects and sessions are closed after it',
  async () => {
    const wire = faultyWire(await startSimulator(), 4, { kind: 'cut', when: 'after' });
    const tpm = await Tpm.open(wire);
    const work = async (): Promise<void> => {
      await using first = await load(tpm, 'a');
      await using second = await load(tpm, 'b');
      await using session = await startSession(tpm);
      expect([first.handle, second.handle, session.ended]).not.toContain(undefined);
      await tpm.run(GetRandom, { bytesRequested: 8 });
    };
    await expect(work()).rejects.toMatchObject({ code: 'transport-lost', suppressed: [] });
    expect(wire.met).toBe(true);
    await tpm.close();
  },
);

it.skipIf(missing)('a connection that is lost while an object is closed is an error', async () => {
  const tpm = await Tpm.open(faultyWire(await startSimulator(), 2, { kind: 'cut', when: 'after' }));
  await expect((await load(tpm, 'a')).flush()).rejects.toMatchObject({ code: 'transport-lost' });
  await tpm.close();
});
