import { readFile, writeFile } from 'node:fs/promises';
import { fromHex } from '../../bytes.ts';
import { KeyprovError } from '../../errors.ts';
import { HEADER_SIZE, uint32At } from '../frame.ts';
import { decodeResponseCode, describeResponseCode } from '../response-code.ts';
import type { TransportKind } from '../transport.ts';

const FORMAT = 'keyprov-tpm-recording';
const VERSION = 1;
const KINDS: readonly string[] = ['libtpms', 'swtpm', 'mssim', 'device', 'tcti', 'tbs'] satisfies TransportKind[];

/** One command and what came of it. */
export interface RecordingEntry {
  /** Lower-case hexadecimal, secrets replaced by zeros. */
  readonly command: string;
  /** The same of the answer; absent where none came. */
  readonly answer?: string;
  /** From sending the command to having its answer, in milliseconds. */
  readonly milliseconds: number;
}

/** The traffic of a transport as plain JSON. It holds no path or host name of the machine where it was made. */
export interface Recording {
  readonly format: typeof FORMAT;
  readonly version: typeof VERSION;
  readonly kind: TransportKind;
  readonly emulator: boolean;
  readonly managed: boolean;
  readonly entries: readonly RecordingEntry[];
}

/** A recording with these entries. */
export function makeRecording(
  of: { readonly kind: TransportKind; readonly emulator: boolean; readonly managed: boolean },
  entries: readonly RecordingEntry[],
): Recording {
  return { format: FORMAT, version: VERSION, kind: of.kind, emulator: of.emulator, managed: of.managed, entries };
}

/**
 * The traffic for people, one line for each command: number, name, sizes in bytes, response code, time.
 * @param nameOf the name of a command code, e.g. `TPM2_GetRandom`.
 */
export function formatRecording(recording: Recording, nameOf: (commandCode: number) => string | undefined): string {
  return recording.entries.map((entry, index) => formatEntry(entry, index, nameOf)).join('');
}

function formatEntry(entry: RecordingEntry, index: number, nameOf: (code: number) => string | undefined): string {
  const command = fromHex(entry.command);
  const code = uint32At(command, 6);
  const name = nameOf(code) ?? `command 0x${code.toString(16).padStart(8, '0')}`;
  const head = `${String(index + 1).padStart(4)}  ${name.padEnd(28)} ${String(command.length).padStart(4)} -> `;
  const time = `${entry.milliseconds.toFixed(1)} ms`;
  if (entry.answer === undefined) return `${head}no answer  ${time}\n`;
  const answer = fromHex(entry.answer);
  const responseCode = uint32At(answer, 6);
  const text = responseCode === 0 ? 'ok' : describeResponseCode(decodeResponseCode(responseCode));
  return `${head}${String(answer.length).padStart(4)} bytes  ${text}  ${time}\n`;
}

/** Writes a recording as JSON, readable for the user alone. */
export async function saveRecording(path: string, recording: Recording): Promise<void> {
  await writeFile(path, `${JSON.stringify(recording, undefined, 1)}\n`, { mode: 0o600 });
}

/** Reads what {@link saveRecording} wrote. @throws KeyprovError `recording-invalid` for anything else. */
export async function loadRecording(path: string): Promise<Recording> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new KeyprovError('recording-invalid', `${path}: cannot be read as JSON`, { cause: error });
  }
  return decodeRecording(value, path);
}

/**
 * The recording that JSON, parsed already, holds. `path` is for messages.
 * @throws KeyprovError `recording-invalid` for anything else.
 */
export function decodeRecording(value: unknown, path = 'recording'): Recording {
  const problem = findProblem(value);
  if (problem !== undefined) throw new KeyprovError('recording-invalid', `${path}: ${problem}`);
  return value as Recording;
}

/** What is wrong with `value` as a recording; undefined if it is one. */
function findProblem(value: unknown): string | undefined {
  if (!isObject(value) || value.format !== FORMAT) return 'not a recording of TPM traffic';
  if (value.version !== VERSION) return `version ${String(value.version)} is not known, only ${VERSION}`;
  if (typeof value.kind !== 'string' || !KINDS.includes(value.kind)) return 'kind is not that of a transport';
  if (typeof value.emulator !== 'boolean' || typeof value.managed !== 'boolean')
    return 'emulator or managed is missing';
  if (!Array.isArray(value.entries)) return 'entries is not a list';
  const wrong = value.entries.findIndex((entry) => !isEntry(entry));
  return wrong < 0 ? undefined : `entry ${wrong} is not a command with its answer`;
}

function isEntry(entry: unknown): boolean {
  return (
    isObject(entry) &&
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

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
