import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/bytes.ts';
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
