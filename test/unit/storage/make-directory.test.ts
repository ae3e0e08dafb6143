import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openKeyStore } from '../../../src/keys/key-store.ts';
import { makeDirectory } from '../../../src/storage/make-directory.ts';
import { openTpm } from '../../../src/tpm/open-tpm.ts';
import { asyncRefusal } from '../../refusal.ts';
import { codeOf, filesIn } from '../source-files.ts';

describe('makeDirectory', () => {
  it('makes missing directories private to the owner, and leaves existing ones', () => {
    const root = mkdtempSync(join(tmpdir(), 'keyprov-directory-'));
    try {
      const path = join(root, 'a', 'b', 'c');
      makeDirectory(path);
      makeDirectory(path);
      for (const made of [path, join(root, 'a')]) expect(statSync(made).mode & 0o777).toBe(0o700);
      writeFileSync(join(root, 'file'), '');
      expect(() => makeDirectory(join(root, 'file'))).toThrow('EEXIST');
      expect(() => makeDirectory(join(root, 'file', 'below'))).toThrow('ENOTDIR');
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  // With Node's own recursive mkdir these never returned.
  it.runIf(process.platform === 'linux')('stops if the file system cannot make directories', async () => {
    expect(() => makeDirectory('/proc/keyprov/state')).toThrow('ENOENT');
    expect(await asyncRefusal(() => openKeyStore('/proc/keyprov/store'))).toMatch(/^store-io: /);
    expect(await asyncRefusal(() => openTpm('libtpms:/proc/keyprov/state'))).toMatch(/^(state-io|library-missing): /);
  });

  it("replaces Node's recursive mkdir everywhere", () => {
    const others = filesIn(['src'], '.ts').filter((path) => /mkdir(?:Sync)?\([^)]*recursive/.test(codeOf(path)));
    expect(others).toEqual([]);
  });
});
