import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

/** Hides the secret to search for, so that the search does not find the secret's own copy. */
const MASK = 0x5a;
const CHUNK = 2 ** 22;

export const disguised = (secret: Uint8Array): readonly number[] => Array.from(secret, (byte) => byte ^ MASK);

/** How often the secret occurs in the writable memory of this process or a child. Linux only. */
export function countInMemory(pid: number | 'self', secret: readonly number[]): number {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const chunk = Buffer.alloc(CHUNK + secret.length - 1);
  const [first = 0] = secret;
  let found = 0;
  try {
    for (const [, from = '', to = ''] of readFileSync(`/proc/${pid}/maps`, 'utf8').matchAll(/^(\w+)-(\w+) rw/gm)) {
      const end = Number.parseInt(to, 16);
      for (let at = Number.parseInt(from, 16); at < end; at += CHUNK) {
        const size = read(memory, chunk, Math.min(chunk.length, end - at), at);
        for (
          let i = chunk.indexOf(first ^ MASK);
          i >= 0 && i + secret.length <= size;
          i = chunk.indexOf(first ^ MASK, i + 1)
        ) {
          if (secret.every((byte, k) => ((chunk[i + k] ?? 0) ^ MASK) === byte)) found++;
        }
        chunk.fill(0);
      }
    }
  } finally {
    closeSync(memory);
  }
  return found;
}

/** Reads memory at `at`. A region that has been unmapped since the list was read is empty. */
function read(memory: number, into: Uint8Array, length: number, at: number): number {
  try {
    return readSync(memory, into, 0, length, at);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EIO') return 0;
    throw error;
  }
}
