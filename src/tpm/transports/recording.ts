import { writeFile } from 'node:fs/promises';
import { checkObject, checkText, fromHex, uint32At } from '../../bytes.ts';
import { causedBy, isKeyprovError, KeyprovError } from '../../errors.ts';
import { isJsonObject, JsonMembers, type JsonRefusal, parseJson, showJson } from '../../json.ts';
import { LIMIT } from '../../limits.ts';
import { readInput } from '../../storage/read-input.ts';
import { decodeFileText } from '../../text.ts';
import { HEADER_SIZE } from '../frame.ts';
import { decodeResponseCode, describeResponseCode } from '../response-code.ts';
import type { TransportKind } from '../transport.ts';

const FORMAT = 'keyprov-tpm-recording';
const VERSION = 1;
const KINDS: readonly string[] = ['libtpms', 'swtpm', 'mssim', 'device', 'tcti', 'tbs'] satisfies TransportKind[];

/** One command and its outcome. */
export interface RecordingEntry {
  /** Lower-case hexadecimal, secrets replaced by zeros. */
  readonly command: string;
  /** The response in the same form; absent if there was none. */
  readonly answer?: string;
  /** Time from sending the command to receiving its response, in milliseconds. */
  readonly milliseconds: number;
}

/** The traffic of a transport as plain JSON. It contains no path or host name of the machine where it was made. */
export interface Recording {
  readonly format: typeof FORMAT;
  readonly version: typeof VERSION;
  readonly kind: TransportKind;
  readonly emulator: boolean;
  readonly managed: boolean;
  readonly entries: readonly RecordingEntry[];
}

export function makeRecording(
  of: { readonly kind: TransportKind; readonly emulator: boolean; readonly managed: boolean },
  entries: readonly RecordingEntry[],
): Recording {
  return { format: FORMAT, version: VERSION, kind: of.kind, emulator: of.emulator, managed: of.managed, entries };
}

/**
 * Formats the traffic for people, one line per command: number, name, sizes in bytes, response code, time.
 * @param nameOf returns the name of a command code, for example `commandName`.
 * @throws TypeError if a command or a response is not hexadecimal.
 */
export function formatRecording(recording: Recording, nameOf: (commandCode: number) => string | undefined): string {
  checkObject(recording, 'the recording', 'entries:list');
  return recording.entries.map((entry, index) => formatEntry(entry, index, nameOf)).join('');
}

function formatEntry(entry: RecordingEntry, index: number, nameOf: (code: number) => string | undefined): string {
  const command = fromHex(entry.command);
  const code = uint32At(command, 6);
  const name = nameOf(code) ?? `command 0x${code.toString(16).padStart(8, '0')}`;
  const head = `${String(index + 1).padStart(4)}  ${name.padEnd(28)} ${String(command.length).padStart(4)} -> `;
  const time = `${entry.milliseconds.toFixed(1)} ms`;
  if (entry.answer === undefined) return `${head}no response  ${time}\n`;
  const answer = fromHex(entry.answer);
  const responseCode = uint32At(answer, 6);
  const text = responseCode === 0 ? 'ok' : describeResponseCode(decodeResponseCode(responseCode));
  return `${head}${String(answer.length).padStart(4)} bytes  ${text}  ${time}\n`;
}

/**
 * Writes a recording as JSON. If the file is new, only the user can read it.
 * @throws TypeError for an argument of another kind.
 */
export async function saveRecording(path: string, recording: Recording): Promise<void> {
  checkText(path, 'the path');
  checkObject(recording, 'the recording', 'entries:list');
  await writeFile(path, `${JSON.stringify(recording, undefined, 1)}\n`, { mode: 0o600 });
}

/** Reads a file of {@link saveRecording}. @throws KeyprovError `recording-invalid` for anything else. */
export async function loadRecording(path: string): Promise<Recording> {
  checkText(path, 'the path');
  let text: string;
  try {
    text = decodeFileText(await readInput(path)) ?? '';
  } catch (cause) {
    if (!isKeyprovError(cause)) throw cause;
    throw new KeyprovError('recording-invalid', cause.message, causedBy(cause));
  }
  return decodeRecording(parseJson(path, text, invalid, LIMIT.export), path);
}

/**
 * Checks a recording in parsed JSON and returns it. `path` is for messages.
 * @throws KeyprovError `recording-invalid` for anything else.
 */
export function decodeRecording(value: unknown, path = 'recording'): Recording {
  const members = new JsonMembers(path, value, invalid);
  if (members.value('format') !== FORMAT) throw invalid(path, 'not a recording of TPM traffic');
  const version = members.value('version');
  if (version !== VERSION) throw invalid(path, `version ${showJson(version)} is unknown; expected ${VERSION}`);
  members.oneOf('kind', KINDS);
  members.boolean('emulator');
  members.boolean('managed');
  const wrong = members.list('entries').findIndex((entry) => !isEntry(entry));
  if (wrong >= 0) throw invalid(path, `entries[${wrong}] is not a command with its response`);
  return value as Recording;
}

const invalid: JsonRefusal = (where, problem, cause) =>
  new KeyprovError('recording-invalid', `${where}: ${problem}`, { cause });

function isEntry(entry: unknown): boolean {
  return (
    isJsonObject(entry) &&
    isFrame(entry.command) &&
    (entry.answer === undefined || isFrame(entry.answer)) &&
    typeof entry.milliseconds === 'number'
  );
}

function isFrame(hex: unknown): boolean {
  if (typeof hex !== 'string' || !/^(?:[0-9a-f]{2})+$/.test(hex)) return false;
  const bytes = fromHex(hex);
  return bytes.length >= HEADER_SIZE && uint32At(bytes, 2) === bytes.length;
}
