import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const EXAMPLES = ['examples/provision.mjs', 'examples/sign.mjs'];

/** How an example ended, and what it printed. */
async function example(...args: string[]): Promise<{ readonly code: number; readonly stdout: string }> {
  return await run(process.execPath, args).then(
    ({ stdout }) => ({ code: 0, stdout }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({ code, stdout: stdout + stderr }),
  );
}

describe('the examples', () => {
  let directory: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'keyprov-examples-'));
  });

  afterAll(() => rm(directory, { recursive: true, force: true }));

  it('are programs of some twenty lines, with no cast and no declaration', async () => {
    for (const path of EXAMPLES) {
      const text = await readFile(path, 'utf8');
      expect(text.trimEnd().split('\n').length, path).toBeLessThanOrEqual(32);
      expect(text, path).toMatch(/^\/\/ @ts-check\n/);
      expect(text, path).not.toMatch(/@type|@ts-(?!check)|\bas\b(?! keyprov)/);
    }
  });

  it('compile against the declarations that are shipped', async () => {
    const options =
      '--allowJs --checkJs --strict --noEmit --skipLibCheck --target es2023 --module nodenext --types node';
    const tsc = join('node_modules', 'typescript', 'bin', 'tsc');
    expect(await example(tsc, '--ignoreConfig', ...options.split(' '), ...EXAMPLES)).toEqual({ code: 0, stdout: '' });
  });

  it('give a user a key, and sign with it in another process', async () => {
    const made = await example('examples/provision.mjs', directory);
    expect(made.stdout).toMatch(/\nregistered ngc-[0-9a-f]{32} virtual\n$/);
    expect(made.code).toBe(0);
    expect(await example('examples/sign.mjs', directory)).toEqual({ code: 0, stdout: 'tpm virtual true\n' });
  });

  it('say what is wrong, by code', async () => {
    const sign = (...args: string[]) => example('examples/sign.mjs', directory, ...args);
    const wrong = [await sign('999999'), await sign('999999'), await sign('999999')];
    expect(wrong).toEqual([
      { code: 1, stdout: 'The PIN is wrong, 2 tries are left.\n' },
      { code: 1, stdout: 'The PIN is wrong, 1 tries are left.\n' },
      { code: 1, stdout: '1 try is left before the TPM locks.\n' },
    ]);
    expect(await sign('271828', 'bob@contoso.test')).toEqual({
      code: 1,
      stdout: 'No key: list the store to see what it has, or make a key.\n',
    });
  });
});
