import { rmdirSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../../../src/storage/temporary-directory.ts';
import { absolutePath, userDirectory } from '../../../src/storage/user-paths.ts';
import { defaultMarksDirectory, Marks } from '../../../src/tpm/marks.ts';
import { refusal } from '../../refusal.ts';

vi.mock('node:os', async (original) => {
  const os = await original<typeof import('node:os')>();
  return { ...os, homedir: vi.fn(os.homedir), userInfo: vi.fn(os.userInfo) };
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

const gone = (): never => {
  throw Object.assign(new Error('ENOENT: no such file or directory, uv_cwd'), { code: 'ENOENT' });
};

it('says so if the working directory is gone, and needs none for an absolute path', () => {
  vi.spyOn(process, 'cwd').mockImplementation(gone);
  expect(absolutePath('/a/../b')).toBe('/b');
  expect(refusal(() => absolutePath('keys'))).toBe(
    'store-io: it cannot be said where keys is: the working directory is gone; ' +
      'change to another directory, or give an absolute path',
  );
});

it('takes what the environment gives, and what is below the home directory', () => {
  expect(userDirectory('/cache', ['.cache'])).toBe('/cache');
  vi.mocked(homedir).mockReturnValue('/home/ada');
  for (const unset of [undefined, '', 'here', './here'])
    expect(userDirectory(unset, ['.cache'])).toBe('/home/ada/.cache');
});

it('asks the list of users where HOME is not an absolute path', () => {
  for (const home of ['', '.', 'ada']) {
    vi.mocked(homedir).mockReturnValue(home);
    vi.mocked(userInfo).mockReturnValue({ username: 'ada', uid: 1, gid: 1, shell: null, homedir: '/home/ada' });
    expect(userDirectory(undefined, ['a', 'b'])).toBe('/home/ada/a/b');
  }
});

it('knows no directory of a user who has no home, and then keeps no marks', () => {
  vi.mocked(homedir).mockImplementation(gone);
  vi.mocked(userInfo).mockImplementation(gone);
  expect(userDirectory('', ['.cache'])).toBeUndefined();
  expect(defaultMarksDirectory({})).toBeUndefined();
  vi.stubEnv('XDG_CACHE_HOME', '');
  const marks = new Marks('swtpm:127.0.0.1:2321');
  marks.settle(marks.want({ kind: 'name', bytes: Uint8Array.of(1) }), 0x80000000);
  expect(marks.readDead()).toEqual([]);
  expect(marks.problem).toMatchObject({ code: 'store-io' });
  marks.close();
});

it('makes temporary directories with an absolute path, wherever TMPDIR leads', async () => {
  vi.stubEnv('TMPDIR', 'node_modules');
  const path = await temporaryDirectory('keyprov-test-');
  rmdirSync(path);
  expect(path.startsWith(join(process.cwd(), 'node_modules', 'keyprov-test-'))).toBe(true);
});
