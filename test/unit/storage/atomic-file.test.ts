import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeLeftovers, temporaryName, writeWholeSync } from '../../../src/storage/atomic-file.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyprov-leftovers-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const old = (name: string): void => utimesSync(join(directory, name), 0, 0);

describe('removeLeftovers', () => {
  it('removes old temporary files of keyprov, and nothing else', async () => {
    const [mine, fresh, folder, link] = [temporaryName(), temporaryName(), temporaryName(), temporaryName()];
    for (const name of [mine, fresh, 'notes.tmp', '.keyprov-x.tmp', `${temporaryName()}.bak`, 'x.txt']) {
      writeFileSync(join(directory, name), 'x');
      if (name !== fresh) old(name);
    }
    mkdirSync(join(directory, 'x.tmp'));
    mkdirSync(join(directory, folder));
    old('x.tmp');
    old(folder);
    symlinkSync(join(directory, 'x.txt'), join(directory, link));
    const before = readdirSync(directory);
    await removeLeftovers(directory);
    expect(readdirSync(directory)).toEqual(before.filter((name) => name !== mine));
  });

  it.runIf(process.getuid?.() === 0)('leaves the files of other users', async () => {
    const { chownSync } = await import('node:fs');
    const name = temporaryName();
    writeFileSync(join(directory, name), 'x');
    old(name);
    chownSync(join(directory, name), 1, 1);
    await removeLeftovers(directory);
    expect(readdirSync(directory)).toEqual([name]);
  });
});

describe('writeWholeSync', () => {
  it('leaves no temporary file if it fails', () => {
    mkdirSync(join(directory, 'a'));
    expect(() => writeWholeSync(directory, 'a', Uint8Array.of(1))).toThrow(/EISDIR/);
    expect(readdirSync(directory)).toEqual(['a']);
  });
});
