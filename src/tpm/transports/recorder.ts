import { type Bytes, checkObject, copy, fromHex, toHex, uint32At } from '../../bytes.ts';
import { KeyprovError } from '../../errors.ts';
import { CodecError } from '../codec/index.ts';
import { checkCommandFrame, HEADER_SIZE } from '../frame.ts';
import { redact } from '../redact.ts';
import type { TpmTransport } from '../transport.ts';
import { TransportLife } from './life.ts';
import { makeRecording, type Recording, type RecordingEntry } from './recording.ts';

/** A transport that records its traffic. */
export interface RecordingTransport extends TpmTransport {
  /** The traffic so far. */
  readonly recording: Recording;
}

/**
 * Passes everything on to `inner` and keeps a copy of what `send` moves, without secrets (see `redact`). Closing it also
 * closes `inner`.
 * @throws TypeError for an argument of another kind.
 *
 * @example
 * ```ts
 * import { commandName, openTpm, readVendor } from 'keyprov/tpm';
 * import { formatRecording, type RecordingTransport, recordTransport } from 'keyprov/tpm/transports';
 *
 * const recorders: RecordingTransport[] = [];
 * await using tpm = await openTpm('libtpms', {
 *   wrap(transport) {
 *     const recorder = recordTransport(transport);
 *     recorders.push(recorder);
 *     return recorder;
 *   },
 * });
 * console.log(await readVendor(tpm));
 * for (const { recording } of recorders) console.log(formatRecording(recording, commandName));
 * ```
 */
export function recordTransport(inner: TpmTransport): RecordingTransport {
  checkObject(inner, 'the transport', 'kind', 'address', 'send:function');
  const entries: RecordingEntry[] = [];
  return {
    kind: inner.kind,
    address: inner.address,
    emulator: inner.emulator,
    managed: inner.managed,
    async send(command, sendOptions) {
      checkCommandFrame(command);
      const kept = toHex(redacted(command, 'command', uint32At(command, 6)));
      const start = performance.now();
      const elapsed = () => Math.round((performance.now() - start) * 1000) / 1000;
      try {
        const answer = await inner.send(command, sendOptions);
        const keptAnswer = toHex(redacted(answer, 'answer', uint32At(command, 6)));
        entries.push({ command: kept, answer: keptAnswer, milliseconds: elapsed() });
        return answer;
      } catch (error) {
        entries.push({ command: kept, milliseconds: elapsed() });
        throw error;
      }
    },
    ...(inner.sendSync && { sendSync: (command) => inner.sendSync?.(command) }),
    close: () => inner.close(),
    get recording() {
      return makeRecording(inner, [...entries]);
    },
  };
}

/**
 * A transport that answers the commands of a recording in order. Compares commands as recorded, that is without their
 * secrets. Cannot replay commands with HMAC or policy sessions: their nonces differ each time.
 * @throws TypeError for an argument of another kind.
 */
export function replayTransport(recording: Recording): TpmTransport {
  const { kind, emulator, managed, entries } = checkObject(recording, 'the recording', 'kind', 'entries:list');
  const address = `replay:${kind}`;
  const life = new TransportLife(address);
  let next = 0;
  /**
   * @throws KeyprovError `replay-mismatch` if the recording has another command at this place, or none;
   * `transport-lost` if no response was recorded.
   */
  const answerTo = async (command: Uint8Array): Promise<Bytes> => {
    const entry = entries[next];
    const got = toHex(redacted(command, 'command', uint32At(command, 6)));
    const mismatch = (problem: string) =>
      new KeyprovError('replay-mismatch', `${address}: command ${next + 1} ${problem}, got ${got}`);
    if (entry === undefined) throw mismatch('was not recorded: expected no more commands');
    const expected = entry.command;
    if (got !== expected) throw mismatch(`differs at byte ${firstDifference(expected, got)}: expected ${expected}`);
    next++;
    if (entry.answer === undefined) {
      throw new KeyprovError('transport-lost', `${address}: command ${next} was recorded without a response`);
    }
    return fromHex(entry.answer);
  };
  return {
    ...{ kind, address, emulator, managed },
    send: (command, options = {}) => life.send(command, options, () => answerTo(command)),
    close: () => life.close(async () => undefined),
  };
}

/** Index of the first byte in which two hexadecimal texts differ. */
function firstDifference(a: string, b: string): number {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return at >> 1;
}

/** A copy without secrets; only the header if the bytes are not a readable command or answer. */
function redacted(bytes: Uint8Array, direction: 'command' | 'answer', commandCode: number): Bytes {
  const kept = copy(bytes);
  try {
    redact(kept, direction, commandCode);
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    kept.fill(0, HEADER_SIZE);
  }
  return kept;
}
