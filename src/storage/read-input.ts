import { createReadStream } from 'node:fs';
import { type Bytes, concat } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { checkSize, LIMIT } from '../limits.ts';
import { type SignalOptions, unlessAborted } from '../signal.ts';

/**
 * The bytes of a file that somebody else may have written, and that may never end, or never begin, as a pipe: 16 MiB are
 * read at most. @throws KeyprovError `store-io` for a longer one; what the file system says; the reason of `signal`.
 */
export async function readInput(path: string, { signal }: SignalOptions = {}): Promise<Bytes> {
  const chunks: Uint8Array[] = [];
  await unlessAborted(async () => {
    for await (const chunk of createReadStream(path, { end: LIMIT.export })) chunks.push(chunk);
  }, signal);
  const bytes = concat(...chunks);
  checkSize(bytes, LIMIT.export, () => {
    return new KeyprovError('store-io', `${path}: more than ${LIMIT.export} bytes, which are the most that is read`);
  });
  return bytes;
}
