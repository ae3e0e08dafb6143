import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { addAbortSignal } from 'node:stream';
import { type Bytes, wipe } from '../../bytes.ts';
import { MAX_PIN_BYTES, pinFromFile } from '../../policy/index.ts';
import { fileIo } from '../file-io.ts';
import { UsageError } from '../options/arguments.ts';
import type { Report } from './report.ts';

/** A newline, and one byte that shows that it is too long. */
const MAX_SIZE = MAX_PIN_BYTES + 3;

/**
 * Reads a PIN from a file, or from standard input where the path is `-`: its bytes without the newline at their end.
 * Warns where others can read the file. The caller wipes the PIN.
 * @throws PinRefusedError as {@link pinFromFile} does; UsageError for a terminal as standard input, which would show the
 * PIN; KeyprovError `store-io` for a file that cannot be read.
 */
export async function readPin(path: string, report: Report, signal: AbortSignal): Promise<Bytes> {
  const name = path === '-' ? 'standard input' : path;
  if (path === '-' && process.stdin.isTTY) {
    throw new UsageError(['--pin-file -: standard input is a terminal, which would show the PIN']);
  }
  const buffer = new Uint8Array(MAX_SIZE);
  try {
    const length = await fileIo(name, () => readInto(buffer, path, signal), signal);
    if (path !== '-' && process.platform !== 'win32' && ((await stat(path)).mode & 0o044) !== 0) {
      report.warn(`others can read the PIN file ${path}; chmod 600 it`);
    }
    return pinFromFile(buffer.subarray(0, length), { name });
  } finally {
    wipe(buffer);
  }
}

/** Fills the buffer, as far as there is something; returns the number of bytes. */
async function readInto(buffer: Uint8Array, path: string, signal: AbortSignal): Promise<number> {
  const stream = addAbortSignal(signal, path === '-' ? process.stdin : createReadStream(path, { end: MAX_SIZE }));
  let length = 0;
  for await (const chunk of stream) {
    const bytes: Uint8Array = chunk;
    const part = bytes.subarray(0, buffer.length - length);
    buffer.set(part, length);
    length += part.length;
    wipe(bytes);
    if (length === buffer.length) break;
  }
  return length;
}
