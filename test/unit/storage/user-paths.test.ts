import { rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../../src/storage/temporary-directory.ts';
import { absolutePath } from '../../../src/storage/user-paths.ts';
import { refusal } from '../../refusal.ts';

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  vi.doUnmock('node:os');
  vi.resetModules();
});

const gone = (): never => {
  throw Object.assign(new Error('ENOENT: no such file or directory'), { code: 'ENOENT' });
};

/** The functions of a process with this home directory in its environment and user database. */
async function atHome(inEnvironment: () => string, inList: () => string) {
  vi.resetModules();
  vi.doMock('node:os', async (original) => ({
    ...(await original<typeof import('node:os')>()),
    homedir: inEnvironment,
    userInfo: () => ({ homedir: inList() }),
  }));
  const { userDirectory } = await import('../../../src/storage/user-paths.ts');
  const { defaultMarksDirectory, Marks } = await import('../../../src/tpm/marks.ts');
  return { userDirectory, defaultMarksDirectory, Marks };
}

it.each([undefined, null, 5])('does not take %s for a path', (path) => {
  expect(() => absolutePath(path as never)).toThrow(
    new TypeError(`a path must be a string, not ${path === 5 ? 'number' : path}`),
  );
});

it('reports a missing working directory, and needs none for an absolute path', () => {
  vi.spyOn(process, 'cwd').mockImplementation(gone);
  expect(absolutePath('/a/../b')).toBe('/b');
  expect(refusal(() => absolutePath('keys'))).toBe(
    'store-io: cannot resolve keys: the working directory no longer exists; ' +
      'change to another directory, or give an absolute path',
  );
});

it("uses the environment's values, and directories below the home directory", async () => {
  const { userDirectory } = await atHome(() => '/home/ada', gone);
  expect(userDirectory('/cache', ['.cache'])).toBe('/cache');
  for (const unset of [undefined, '', 'here', './here']) {
    expect(userDirectory(unset, ['.cache'])).toBe('/home/ada/.cache');
  }
});

it.each(['', '.', 'ada'])('asks the user database if HOME is %j, which is not an absolute path', async (home) => {
  const { userDirectory } = await atHome(
    () => home,
    () => '/home/ada',
  );
  expect(userDirectory(undefined, ['a', 'b'])).toBe('/home/ada/a/b');
});

it('knows no directory of a user who has no home, and then keeps no marks', async () => {
  const { userDirectory, defaultMarksDirectory, Marks } = await atHome(gone, gone);
  expect(userDirectory('', ['.cache'])).toBeUndefined();
  expect(defaultMarksDirectory({})).toBeUndefined();
  vi.stubEnv('XDG_CACHE_HOME', '');
  const marks = new Marks('swtpm:127.0.0.1:2321');
  marks.settle(marks.want({ kind: 'name', bytes: Uint8Array.of(1) }), 0x80000000);
  expect(marks.readDead()).toEqual([]);
  expect(marks.problem).toMatchObject({ code: 'store-io' });
  marks.close();
});

it('makes temporary directories with an absolute path, for any TMPDIR', async () => {
  vi.stubEnv('TMPDIR', 'node_modules');
  const path = await temporaryDirectory('keyprov-test-');
  rmdirSync(path);
  expect(path.startsWith(join(process.cwd(), 'node_modules', 'keyprov-test-'))).toBe(true);
});
