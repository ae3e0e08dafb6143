import { describe, expect, it } from 'vitest';
import { fromHex, uint32At } from '../../src/bytes.ts';
import { isKeyprovError } from '../../src/errors.ts';
import { faultyTransport } from '../../src/testing/faulty-transport.ts';
import { listHandles, listSessionStates, readProperties } from '../../src/tpm/capabilities.ts';
import { ContextLoad, ContextSave } from '../../src/tpm/commands/context.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { ReadPublic } from '../../src/tpm/commands/object.ts';
import { TPM_CC, TPM_HT, TPM_RH } from '../../src/tpm/constants.ts';
import { readNv } from '../../src/tpm/nv.ts';
import { startSession } from '../../src/tpm/start-session.ts';
import { srkTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { TPM_RC } from '../../src/tpm/tpm-rc.ts';
import type { TpmTransport } from '../../src/tpm/transport.ts';
import { leftovers, newTpm, newTransport, tpmMissing } from './support/new-tpm.ts';

const EMPTY = new Uint8Array(0);
const primary = (tpm: Tpm) =>
  tpm.run(CreatePrimary, {
    ...{ primaryHandle: TPM_RH.OWNER, inPublic: srkTemplate('p-256') },
    ...{ inSensitive: { userAuth: EMPTY, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] },
  });

const missing = await tpmMissing();

describe.skipIf(missing !== undefined)('a TPM that answers the same to everything', () => {
  it.each(['OBJECT_MEMORY', 'SESSION_MEMORY', 'CONTEXT_GAP', 'SESSION_HANDLES', 'MEMORY', 'HANDLE'] as const)(
    'comes to an end: %s',
    async (name) => {
      let isFull = false;
      const inner = await newTransport();
      const transport = faultyTransport(inner, () => (isFull ? TPM_RC[name] : 'none'));
      const tpm = await Tpm.open(transport);
      const objects = [await primary(tpm), await primary(tpm)];
      const sessions = [await startSession(tpm), await startSession(tpm)];
      isFull = true;
      for (const work of [
        () => primary(tpm),
        () => startSession(tpm),
        () => tpm.run(ReadPublic, { objectHandle: objects[0]?.objectHandle ?? 0 }),
        () => tpm.run(ContextSave, { saveHandle: sessions[0]?.sessionHandle ?? 0 }),
        () => tpm.flushStale(),
      ]) {
        const before = transport.commands;
        const error = await work().then(
          () => undefined,
          (reason: unknown) => reason,
        );
        expect(isKeyprovError(error), String(error)).toBe(true);
        expect(transport.commands - before).toBeLessThan(20);
      }
      isFull = false;
      await tpm.close();
    },
  );
});

/** Answers every TPM2_GetCapability with the same one handle or property, and more to come. */
function endless(answers: Readonly<Record<number, string>>): { transport: TpmTransport; sent: () => number } {
  let sent = 0;
  const transport: TpmTransport = {
    ...{ kind: 'swtpm', address: 'swtpm:endless', emulator: true, managed: true },
    send: async (command) => {
      sent += 1;
      const body = answers[uint32At(command, 6)];
      if (body === undefined) throw new Error(`no answer to ${uint32At(command, 6)}`);
      return fromHex(`8001${(10 + body.length / 2).toString(16).padStart(8, '0')}00000000${body}`);
    },
    close: async () => {},
  };
  return { transport, sent: () => sent };
}

describe('a TPM that always has more to say', () => {
  it.each([
    ['handles', '01 00000001 00000001 81000001', (tpm: Tpm) => listHandles(tpm, TPM_HT.PERSISTENT)],
    ['sessions', '01 00000001 00000001 02000000', (tpm: Tpm) => listSessionStates(tpm, {})],
    ['properties', '01 00000006 00000001 00000100 00000001', (tpm: Tpm) => readProperties(tpm, 0x100)],
  ] as const)('is not asked for ever: %s', async (_, answer, ask) => {
    const { transport, sent } = endless({ [TPM_CC.GetCapability]: answer.replaceAll(' ', '') });
    const tpm = await Tpm.open(transport);
    await expect(ask(tpm)).rejects.toMatchObject({ code: 'codec' });
    expect(sent()).toBeLessThan(4);
  });

  it('is not asked forever for an NV index that returns no data', async () => {
    // An index of 16 bytes that is written and that its owner reads; TPM_PT_NV_BUFFER_MAX is 0.
    const nvPublic = '01c00002 000b 20020002 0000 0010'.replaceAll(' ', '');
    const name = `000b${'00'.repeat(32)}`;
    const { transport } = endless({
      [TPM_CC.NV_ReadPublic]: `000e${nvPublic}0022${name}`,
      [TPM_CC.GetCapability]: '000000000600000001 0000012c 00000000'.replaceAll(' ', ''),
    });
    const tpm = await Tpm.open(transport);
    await expect(readNv(tpm, 0x01c00002)).rejects.toMatchObject({ code: 'tpm-session' });
  });
});

describe.skipIf(missing !== undefined)('sessions of which the oldest was saved long ago', () => {
  it('are loaded and saved again when the TPM wants that', async () => {
    await using tpm = await newTpm();
    // Four sessions in three slots: the first one is saved, and stays it.
    const kept = [await startSession(tpm), await startSession(tpm), await startSession(tpm), await startSession(tpm)];
    const mover = kept[3]?.sessionHandle ?? 0;
    let gaps = 0;
    const { transport } = tpm;
    const send = transport.send.bind(transport);
    transport.send = async (command, options) => {
      const answer = await send(command, options);
      if (uint32At(answer, 6) === TPM_RC.CONTEXT_GAP) gaps += 1;
      return answer;
    };
    for (let i = 0; i < 66_000 && gaps === 0; i++) {
      const { context } = await tpm.run(ContextSave, { saveHandle: mover });
      await tpm.run(ContextLoad, { context });
    }
    expect(gaps).toBeGreaterThan(0);
    for (const session of kept) await session.close();
    expect(await leftovers(tpm)).toEqual([]);
  });
});

describe.skipIf(missing !== undefined)('more sessions than a TPM has handles for', () => {
  it('are refused with how many are open', async () => {
    await using tpm = await newTpm();
    const open: Awaited<ReturnType<typeof startSession>>[] = [];
    const starting = (async () => {
      for (;;) open.push(await startSession(tpm));
    })();
    await expect(starting).rejects.toMatchObject({
      code: 'tpm-out-of-memory',
      message: expect.stringMatching(/open sessions of this process: 64$/),
    });
    for (const session of open) await session.close();
    expect(await leftovers(tpm)).toEqual([]);
  });
});
