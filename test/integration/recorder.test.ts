import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { toHex } from '../../src/bytes.ts';
import { faultyTransport } from '../../src/testing/faulty-transport.ts';
import { SHUTDOWN_CLEAR } from '../../src/tpm/frame.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import type { TpmTransport } from '../../src/tpm/transport.ts';
import { recordTransport, replayTransport } from '../../src/tpm/transports/recorder.ts';
import { formatRecording, loadRecording, saveRecording } from '../../src/tpm/transports/recording.ts';
import { newTransport, tpmMissing } from './support/new-tpm.ts';
import { CREATE_ECC, FLUSH, GET_RANDOM, STARTUP_CLEAR } from './support/raw-commands.ts';

const missing = await tpmMissing();
const NAMES = new Map([
  [0x144, 'TPM2_Startup'],
  [0x17b, 'TPM2_GetRandom'],
  [0x131, 'TPM2_CreatePrimary'],
  [0x165, 'TPM2_FlushContext'],
]);

describe.skipIf(missing)('a recording of a real TPM', () => {
  it('replays from its file without the TPM', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'keyprov-recording-'));
    try {
      const recorder = recordTransport(await newTransport());
      const commands = [STARTUP_CLEAR, GET_RANDOM, CREATE_ECC, FLUSH, FLUSH];
      const answers: string[] = [];
      for (const command of commands) answers.push(toHex(await recorder.send(command)));
      await recorder.close();
      const path = join(directory, 'traffic.json');
      await saveRecording(path, recorder.recording);

      const recording = await loadRecording(path);
      const replay = replayTransport(recording);
      const replayed: string[] = [];
      for (const command of commands) replayed.push(toHex(await replay.send(command)));
      expect(replayed).toEqual(answers);
      await expect(replay.send(FLUSH)).rejects.toMatchObject({ code: 'replay-mismatch' });

      const lines = formatRecording(recording, (code) => NAMES.get(code))
        .trimEnd()
        .split('\n');
      expect(lines.map((line) => line.split(/\s+/)[2])).toEqual([...NAMES.values(), 'TPM2_FlushContext']);
      expect(lines[2]).toMatch(/^ {3}3 {2}TPM2_CreatePrimary +\d+ -> +\d+ bytes {2}ok {2}\d+\.\d ms$/);
      expect(lines[4]).toContain('TPM_RC_HANDLE (parameter 1)');
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe.skipIf(missing)('a TPM in this process whose transport is wrapped', () => {
  it.each([
    ['recordTransport', recordTransport],
    ['faultyTransport', (inner: TpmTransport) => faultyTransport(inner, () => 'none')],
  ])('is still shut down when the process exits: %s', async (_, wrap) => {
    const real = await newTransport();
    const sendSync = vi.fn(() => undefined);
    const inner = { kind: 'libtpms', address: 'libtpms', emulator: true, managed: false } as const;
    const send: TpmTransport['send'] = (command, options) => real.send(command, options);
    const before = process.listeners('exit');
    await using _tpm = await Tpm.open(wrap({ ...inner, send, sendSync, close: () => real.close() }));
    for (const listener of process.listeners('exit')) if (!before.includes(listener)) listener(0);
    expect(sendSync.mock.calls).toEqual([[SHUTDOWN_CLEAR]]);
  });
});
