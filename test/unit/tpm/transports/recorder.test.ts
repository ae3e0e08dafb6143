import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../../../src/bytes.ts';
import { KeyprovError } from '../../../../src/errors.ts';
import type { TpmTransport } from '../../../../src/tpm/transport.ts';
import { recordTransport, replayTransport } from '../../../../src/tpm/transports/recorder.ts';
import {
  formatRecording,
  loadRecording,
  type Recording,
  saveRecording,
} from '../../../../src/tpm/transports/recording.ts';

const GET_RANDOM = '80010000000c0000017b0008';
const RANDOM = '8001000000140000000000080102030405060708';
const OK = '80010000000a00000000';
/** TPM2_Clear with the password `secret`. */
const CLEAR = `8002${'00000021'}00000126${'4000000c'}0000000f${'40000009'}000000${'0006'}736563726574`;
const CLEAR_MASKED = CLEAR.replace('736563726574', '000000000000');

/** A transport that returns these answers; `undefined` means a lost connection. */
function fake(...answers: (string | undefined)[]): TpmTransport {
  return {
    kind: 'swtpm',
    address: 'swtpm:unix:/home/somebody/secret-place',
    emulator: true,
    managed: false,
    send: async () => {
      const answer = answers.shift();
      if (answer === undefined) throw new KeyprovError('transport-lost', 'gone');
      return fromHex(answer);
    },
    close: async () => undefined,
  };
}

/** The recording of one command. */
async function kept(command: string): Promise<string | undefined> {
  const recorder = recordTransport(fake(OK));
  await recorder.send(fromHex(command));
  return recorder.recording.entries[0]?.command;
}

describe('recordTransport', () => {
  it('passes everything on and keeps commands, answers and times', async () => {
    const recorder = recordTransport(fake(RANDOM, OK));
    expect(recorder).toMatchObject({ kind: 'swtpm', emulator: true, managed: false });
    expect(toHex(await recorder.send(fromHex(GET_RANDOM)))).toBe(RANDOM);
    const first = recorder.recording;
    expect(toHex(await recorder.send(fromHex(CLEAR)))).toBe(OK);
    expect(recorder.recording).toEqual({
      format: 'keyprov-tpm-recording',
      version: 1,
      kind: 'swtpm',
      emulator: true,
      managed: false,
      entries: [
        { command: GET_RANDOM, answer: RANDOM, milliseconds: expect.any(Number) },
        { command: CLEAR_MASKED, answer: OK, milliseconds: expect.any(Number) },
      ],
    });
    expect(first.entries.length).toBe(1);
    expect(JSON.stringify(recorder.recording)).not.toContain('somebody');
  });

  it('keeps a command without answer and passes the error on', async () => {
    const recorder = recordTransport(fake(undefined));
    await expect(recorder.send(fromHex(GET_RANDOM))).rejects.toMatchObject({ code: 'transport-lost' });
    expect(recorder.recording.entries).toEqual([{ command: GET_RANDOM, milliseconds: expect.any(Number) }]);
  });

  it('does not change the command that it sends', async () => {
    const command = fromHex(CLEAR);
    let sent = '';
    const inner: TpmTransport = {
      ...fake(),
      send: async (bytes) => {
        sent = toHex(bytes);
        return fromHex(OK);
      },
    };
    await recordTransport(inner).send(command);
    expect(sent).toBe(CLEAR);
    expect(toHex(command)).toBe(CLEAR);
  });

  it("keeps no session's password, but everything else", async () => {
    expect(await kept(CLEAR)).toBe(CLEAR_MASKED);
    const hmac = `02000000${'0004'}aabbccdd01${'0003'}112233`;
    const password = `40000009${'0000'}00${'0002'}`;
    const two = (secret: string) => `8002${'00000036'}00000148${'8000000180000002'}0000001b${hmac}${password}${secret}`;
    const command = `${two('abcd')}${'0003aabbcc'}${'0010'}`;
    const sized = command.replace('00000036', (command.length / 2).toString(16).padStart(8, '0'));
    expect(await kept(sized)).toBe(sized.replace('abcd', '0000'));
  });

  it('keeps only the header of a command that it does not know, and of its answer', async () => {
    const recorder = recordTransport(fake(RANDOM));
    const unknown = CLEAR.replace('00000126', '20000126');
    await recorder.send(fromHex(unknown));
    expect(recorder.recording.entries[0]).toMatchObject({
      command: unknown.slice(0, 20).padEnd(66, '0'),
      answer: RANDOM.slice(0, 20).padEnd(40, '0'),
    });
  });

  it.each([
    ['an area that is longer than the command', CLEAR.replace('0000000f', '00000010')],
    ['an area that ends within an authorization', CLEAR.replace('0000000f', '0000000e')],
    ['a password that is longer than the area', CLEAR.replace('0006', '0007')],
    ['a nonce that is longer than the area', CLEAR.replace('400000090000', '40000009ffff')],
    ['an area of gigabytes', CLEAR.replace('0000000f', 'ffffffff')],
  ])('keeps only the header if it cannot read the authorization area: %s', async (_, command) => {
    expect(await kept(command)).toBe(command.slice(0, 20).padEnd(66, '0'));
  });

  it('refuses what is not a command, and keeps nothing of it', async () => {
    const recorder = recordTransport(fake(OK));
    await expect(recorder.send(fromHex(GET_RANDOM).subarray(1))).rejects.toThrow(RangeError);
    expect(recorder.recording.entries).toEqual([]);
  });
});

async function recordingOf(...traffic: (readonly [command: string, answer: string | undefined])[]): Promise<Recording> {
  const recorder = recordTransport(fake(...traffic.map(([, answer]) => answer)));
  for (const [command] of traffic) await recorder.send(fromHex(command)).catch(() => undefined);
  return recorder.recording;
}

describe('replayTransport', () => {
  it('answers the same commands in the same order, with any password', async () => {
    const replay = replayTransport(await recordingOf([GET_RANDOM, RANDOM], [CLEAR, OK]));
    expect(replay).toMatchObject({ kind: 'swtpm', address: 'replay:swtpm', emulator: true, managed: false });
    expect(toHex(await replay.send(fromHex(GET_RANDOM)))).toBe(RANDOM);
    expect(toHex(await replay.send(fromHex(CLEAR.replace('736563726574', '313233343536'))))).toBe(OK);
    await replay.close();
    await expect(replay.send(fromHex(GET_RANDOM))).rejects.toMatchObject({ code: 'transport-closed' });
  });

  it('reports where a different command differs, and continues with the right one', async () => {
    const replay = replayTransport(await recordingOf([GET_RANDOM, RANDOM]));
    const other = GET_RANDOM.replace(/0008$/, '0010');
    const error = await replay.send(fromHex(other)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'replay-mismatch' });
    expect(String(error)).toContain(`replay:swtpm: command 1 differs at byte 11: expected ${GET_RANDOM}, got ${other}`);
    expect(toHex(await replay.send(fromHex(GET_RANDOM)))).toBe(RANDOM);
  });

  it('says that there are no more commands', async () => {
    const replay = replayTransport(await recordingOf());
    const error = await replay.send(fromHex(GET_RANDOM)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'replay-mismatch' });
    expect(String(error)).toContain(
      `replay:swtpm: command 1 was not recorded: expected no more commands, got ${GET_RANDOM}`,
    );
  });

  it('is lost if the recorded transport was', async () => {
    const replay = replayTransport(await recordingOf([GET_RANDOM, undefined]));
    await expect(replay.send(fromHex(GET_RANDOM))).rejects.toMatchObject({
      ...{ code: 'transport-lost', message: 'replay:swtpm: command 1 was recorded without a response' },
    });
    await expect(replay.send(fromHex(GET_RANDOM))).rejects.toMatchObject({ code: 'transport-lost' });
  });
});

describe('formatRecording', () => {
  it('prints one line for each command', async () => {
    const recording = await recordingOf(
      [GET_RANDOM, RANDOM],
      [CLEAR, '80010000000a0000098e'],
      ['80010000000a00000fff', '80010000000a00000143'],
      [GET_RANDOM, undefined],
    );
    const names = new Map([
      [0x17b, 'TPM2_GetRandom'],
      [0x126, 'TPM2_Clear'],
    ]);
    const text = formatRecording(recording, (code) => names.get(code)).replace(/\d+\.\d ms/g, 'T ms');
    expect(text).toBe(
      [
        '   1  TPM2_GetRandom                 12 ->   20 bytes  ok  T ms\n',
        '   2  TPM2_Clear                     33 ->   10 bytes  TPM_RC_AUTH_FAIL (session 1): ',
        'the authorization failed and counts toward the lockout  T ms\n',
        '   3  command 0x00000fff             10 ->   10 bytes  TPM_RC_COMMAND_CODE: ',
        'the TPM does not have this command  T ms\n',
        '   4  TPM2_GetRandom                 12 -> no response  T ms\n',
      ].join(''),
    );
  });
});

describe('files of recordings', () => {
  it('are read back as saved, and only the user can read the file', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'keyprov-recording-'));
    try {
      const path = join(directory, 'traffic.json');
      const recording = await recordingOf([GET_RANDOM, RANDOM], [CLEAR, undefined]);
      await saveRecording(path, recording);
      expect(await loadRecording(path)).toEqual(recording);
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      expect(await readFile(path, 'utf8')).not.toContain('736563726574');
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it('are refused if they are something else', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'keyprov-recording-'));
    const path = join(directory, 'traffic.json');
    const good = await recordingOf([GET_RANDOM, RANDOM]);
    const refusal = async (content: unknown) => {
      await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
      const error = await loadRecording(path).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'recording-invalid' });
      return String(error).replace(path, 'FILE');
    };
    const withEntry = (entry: unknown) => ({ ...good, entries: [...good.entries, entry] });
    const entryText = 'KeyprovError: FILE: entries[1] is not a command with its response';
    try {
      expect(await refusal('{')).toMatch(/^KeyprovError: FILE: not JSON: /);
      expect(await refusal([])).toBe('KeyprovError: FILE: not a JSON object');
      expect(await refusal({})).toBe('KeyprovError: FILE: not a recording of TPM traffic');
      expect(await refusal({ ...good, version: 2 })).toBe('KeyprovError: FILE: version 2 is unknown; expected 1');
      expect(await refusal({ ...good, kind: 'x' })).toBe(
        'KeyprovError: FILE: kind: not one of libtpms, swtpm, mssim, device, tcti, tbs',
      );
      expect(await refusal({ ...good, managed: 1 })).toBe('KeyprovError: FILE: managed: not true or false');
      expect(await refusal({ ...good, entries: {} })).toBe('KeyprovError: FILE: entries: not an array');
      expect(await refusal(withEntry(null))).toBe(entryText);
      expect(await refusal(withEntry({ command: GET_RANDOM, answer: OK }))).toBe(entryText);
      expect(await refusal(withEntry({ command: OK.slice(2), milliseconds: 1 }))).toBe(entryText);
      expect(await refusal(withEntry({ command: GET_RANDOM, answer: `${OK}00`, milliseconds: 1 }))).toBe(entryText);
      expect(await refusal(withEntry({ command: GET_RANDOM.toUpperCase(), milliseconds: 1 }))).toBe(entryText);
      const missing = join(directory, 'none');
      await expect(loadRecording(missing)).rejects.toMatchObject({
        ...{ code: 'recording-invalid', message: `${missing} does not exist`, remedy: 'check the path' },
      });
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
