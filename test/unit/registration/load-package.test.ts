import { afterEach, expect, it, vi } from 'vitest';
import { loadLdapts, loadPackage } from '../../../src/registration/load-package.ts';
import { asyncRefusal } from '../../refusal.ts';

const missing = Object.assign(new Error('none'), { code: 'ERR_MODULE_NOT_FOUND' });
const FILE = '../../../src/registration/load-package.ts';

afterEach(() => vi.doUnmock(FILE));

it('loads ldapts', async () => {
  expect(typeof (await loadLdapts()).Client).toBe('function');
});

it.each([
  ['ldapts', 'ldapts@8'],
  ['jose', 'node-sqlite3-wasm jose'],
  ['node-sqlite3-wasm', 'node-sqlite3-wasm jose'],
] as const)('says how to install %s if it is missing', async (name, packages) => {
  expect(await asyncRefusal(() => loadPackage(name, () => Promise.reject(missing)))).toBe(
    `library-missing: the package ${name} cannot be loaded; run npm install ${packages}`,
  );
});

it('does not call a broken package missing', async () => {
  await expect(loadPackage('ldapts', () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
});

it('loads ldapts for a directory before anything is started', async () => {
  vi.resetModules();
  vi.doMock(FILE, () => ({ loadLdapts: () => Promise.reject(missing) }));
  const { startDirectory } = await import('../../../src/testing/directory/slapd.ts');
  await expect(startDirectory()).rejects.toBe(missing);
});
