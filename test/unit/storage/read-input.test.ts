import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LIMIT } from '../../../src/limits.ts';
import { readEnd, readInput } from '../../../src/storage/read-input.ts';
import { loadRecording } from '../../../src/tpm/transports/index.ts';
import { asyncRefusal } from '../../refusal.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'keyprov-test-'));
});
afterAll(() => rm(directory, { recursive: true }));

async function fileOf(size: number): Promise<string> {
  const path = join(directory, `${size}`);
  await writeFile(path, 'a');
  await truncate(path, size);
  return path;
}

describe('readInput', () => {
  it('reads a file of the largest size, and nothing larger', async () => {
    expect(await readInput(await fileOf(LIMIT.export))).toHaveLength(LIMIT.export);
    const path = await fileOf(LIMIT.export + 1);
    expect(await asyncRefusal(() => readInput(path))).toBe(`store-io: ${path} has more than 16777216 bytes, the limit`);
    expect(await asyncRefusal(() => loadRecording(path))).toMatch(/^recording-invalid: /);
  });

  it.skipIf(process.platform === 'win32')('ends with a file that does not', async () => {
    expect(await asyncRefusal(() => readInput('/dev/zero'))).toMatch(/^store-io: /);
  });
});

describe('readEnd', () => {
  it('reads the last bytes, or all of a shorter file', async () => {
    const path = join(directory, 'log');
    await writeFile(path, 'begin, end');
    const read = async (most: number) => new TextDecoder().decode(await readEnd(path, most));
    expect([await read(3), await read(10), await read(11)]).toEqual(['end', 'begin, end', 'begin, end']);
    await truncate(path, 0);
    expect(await readEnd(path, 3)).toHaveLength(0);
  });
});
