import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  lchownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { openPinTryLog } from '../../src/keys/pin-try-log.ts';
import { readWrappingSecret } from '../../src/keys/wrapping-secret.ts';
import { withStoreLock } from '../../src/storage/hold-lock.ts';
import { openPrivateDirectory, readPrivateFile } from '../../src/storage/private-files.ts';
import { startDirectory, startIdentityService } from '../../src/testing/index.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { isRoot } from '../ordinary-user.ts';
import { missingPrograms } from '../programs.ts';
import { asyncRefusal, refusal } from '../refusal.ts';
import { codeOf, filesIn } from '../unit/source-files.ts';

let root: string;
let directory: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'keyprov-test-'));
  directory = join(root, 'private');
  mkdirSync(directory, { mode: 0o700 });
});
afterEach(() => rmSync(root, { recursive: true }));

const missing = missingPrograms('slapd', 'swtpm');
const OTHER = 4711;

/** Everything that keeps secrets in a directory, by the function that opens it. */
const openers: Readonly<
  Record<string, (path: string) => Promise<{ close?(): Promise<void>; stop?(): Promise<void> }>>
> = {
  openKeyStore: (path) => openKeyStore(path).then(() => ({})),
  openPinTryLog: (path) => openPinTryLog(path).then(() => ({})),
  'openTpm(libtpms)': (path) => openTpm(`libtpms:${path}`),
  startSwtpm: (path) => startSwtpm({ stateDirectory: path }),
  startIdentityService: (path) => startIdentityService({ directory: path, users: [] }),
  startDirectory: (path) => startDirectory({ directory: path }),
};

describe.skipIf(missing)('a directory with secrets', () => {
  const refusedBy = async (open: (typeof openers)[string], path: string): Promise<string> => {
    return await asyncRefusal(async () => {
      const opened = await open(path);
      await (opened.close ?? opened.stop)?.call(opened);
    });
  };

  it.each(Object.entries(openers))('is refused by %s if others may write in it', async (name, open) => {
    const path = name === 'openPinTryLog' ? join(directory, 'pin-attempts') : directory;
    mkdirSync(path, { recursive: true });
    chmodSync(path, 0o770);
    expect(await refusedBy(open, directory)).toBe(
      `not-private: ${path} is writable by other users (mode 0770); choose another directory, or, if only keyprov uses this one, chmod go-w ${path}`,
    );
    expect(readdirSync(path)).toEqual([]);
  });

  it('is refused without advice to close it to others if it is shared, such as /tmp', async () => {
    chmodSync(directory, 0o1777);
    expect(await asyncRefusal(() => openKeyStore(directory))).toBe(
      `not-private: ${directory} is writable by other users (mode 1777); choose another directory`,
    );
  });

  it.skipIf(!isRoot).each(Object.entries(openers))(
    'is refused by %s if it belongs to another user',
    async (name, open) => {
      const path = name === 'openPinTryLog' ? join(directory, 'pin-attempts') : directory;
      mkdirSync(path, { recursive: true });
      chownSync(path, OTHER, OTHER);
      expect(await refusedBy(open, directory)).toBe(
        `not-private: ${path} belongs to user ${OTHER}, and this process runs as user 0; run as that user, choose another directory, or, if only keyprov uses this one, chown 0 ${path}`,
      );
      expect(readdirSync(path)).toEqual([]);
    },
  );

  it.skipIf(!isRoot)("is refused if another user's link leads to it", async () => {
    const link = join(root, 'link');
    symlinkSync('private', link);
    expect(openPrivateDirectory(join(link, 'a'))).toBe(join(link, 'a'));
    lchownSync(link, OTHER, OTHER);
    symlinkSync('./link/../link', join(root, 'mine'));
    for (const path of [link, join(link, 'b', 'c'), join(root, 'mine'), join(root, 'mine', 'd')]) {
      expect(await asyncRefusal(() => openKeyStore(path))).toBe(
        `not-private: ${link} is a symbolic link owned by user ${OTHER}; find out who put it there, then remove it`,
      );
    }
    expect(readdirSync(directory)).toEqual(['a']);
  });

  it('is refused if others can replace it', async () => {
    const shared = join(root, 'shared');
    mkdirSync(join(shared, 'of'), { recursive: true });
    symlinkSync(join(shared, 'of'), join(root, 'way'));
    chmodSync(shared, 0o777);
    for (const path of [join(shared, 'store'), join(shared, 'of', 'store'), join(root, 'way', 'store')]) {
      expect(await asyncRefusal(() => openKeyStore(path))).toBe(
        `not-private: ${shared} is writable by other users (mode 0777); choose a directory that is not below it`,
      );
    }
    expect(readdirSync(shared)).toEqual(['of']);
    chmodSync(shared, 0o1777);
    expect(openPrivateDirectory(join(shared, 'store'))).toBe(join(shared, 'store'));
    chmodSync(shared, 0o775); // groups of one user are common
    expect(openPrivateDirectory(join(root, 'way', 'store'))).toBe(join(root, 'way', 'store'));
  });

  it('is not looked for in links without an end', () => {
    symlinkSync('round', join(root, 'round'));
    expect(() => openPrivateDirectory(join(root, 'round'))).toThrow(/EEXIST|ELOOP/);
  });

  it('is made for its owner only, and taken from root', () => {
    expect(openPrivateDirectory(join(directory, 'a', 'b'))).toBe(join(directory, 'a', 'b'));
    expect(openPrivateDirectory('/usr')).toBe('/usr');
  });
});

describe('a file in such a directory', () => {
  const path = () => join(directory, 'file');

  it('is not read through a link, from a pipe, or from a directory', () => {
    writeFileSync(join(root, 'target'), 'secret');
    symlinkSync(join(root, 'target'), path());
    expect(refusal(() => readPrivateFile(path()))).toMatch(/^not-private: .*file is a symbolic link; find out who put/);
    rmSync(path());
    execFileSync('mkfifo', ['-m', '600', path()]);
    expect(refusal(() => readPrivateFile(path()))).toMatch(/^not-private: .*file is not a regular file/);
    rmSync(path());
    mkdirSync(path());
    expect(refusal(() => readPrivateFile(path()))).toMatch(/^not-private: .*file is not a regular file/);
  });

  it('is not read if others could have written it, and a secret one not if they can read it', () => {
    writeFileSync(path(), 'text');
    chmodSync(path(), 0o644);
    expect(readPrivateFile(path())?.bytes.toString()).toBe('text');
    expect(refusal(() => readPrivateFile(path(), { secret: true }))).toBe(
      `not-private: ${path()} is readable or writable by other users (mode 0644); chmod go-rwx ${path()}`,
    );
    chmodSync(path(), 0o620);
    expect(refusal(() => readPrivateFile(path()))).toMatch(/^not-private: .* is writable by other users \(mode 0620\)/);
  });

  it('is not read if it is longer than any that is written there', () => {
    writeFileSync(path(), new Uint8Array(1024 * 1024 + 1), { mode: 0o600 });
    expect(() => readPrivateFile(path())).toThrow('the limit is 1048576');
  });

  it.skipIf(!isRoot)('is not read if it belongs to another user', () => {
    writeFileSync(path(), 'text', { mode: 0o600 });
    chownSync(path(), OTHER, OTHER);
    expect(refusal(() => readPrivateFile(path()))).toMatch(/^not-private: .* belongs to user 4711/);
  });

  it('is the lock of a store only if it is a file of this user: nothing is made or changed through a link', async () => {
    const victim = join(root, 'victim');
    symlinkSync(victim, join(directory, '.keyprov.lock'));
    const lock = () => withStoreLock(directory, async () => 'done');
    expect(await asyncRefusal(lock)).toMatch(/^not-private: .*\.keyprov\.lock is a symbolic link/);
    expect(readdirSync(root)).toEqual(['private']);
    rmSync(join(directory, '.keyprov.lock'));
    symlinkSync(victim, join(directory, '.lock'));
    expect(await asyncRefusal(() => openTpm(`libtpms:${directory}`))).toMatch(
      /^not-private: .*\.lock is a symbolic link/,
    );
    expect(readdirSync(root)).toEqual(['private']);
  });

  it('is used as the wrapping secret only if nobody else can read it', async () => {
    const store = await openKeyStore(directory);
    await readWrappingSecret(store);
    chmodSync(join(directory, 'wrapping.secret'), 0o666);
    expect(await asyncRefusal(() => readWrappingSecret(store))).toMatch(/^not-private: .*wrapping\.secret is readable/);
  });

  it('is the state of a TPM only if it is the file, and not a link to it', async () => {
    await (await openTpm(`libtpms:${directory}`)).close();
    linkSync(join(directory, 'tpm2.state'), join(root, 'elsewhere'));
    rmSync(join(directory, 'tpm2.state'));
    symlinkSync(join(root, 'elsewhere'), join(directory, 'tpm2.state'));
    expect(await asyncRefusal(() => openTpm(`libtpms:${directory}`))).toMatch(
      /^not-private: .*tpm2\.state is a symbolic/,
    );
  });
});

describe('the sources', () => {
  it('read and make files where others must not in one place', () => {
    const inPrivatePlaces = filesIn(['src/keys', 'src/provisioning', 'src/storage', 'src/tpm', 'src/testing'], '.ts');
    const opens = inPrivatePlaces.filter((path) =>
      /\b(readFile|readFileSync|openSync|open|mkdir|mkdirSync|createReadStream)\b[^;]*from 'node:fs/s.test(
        codeOf(path),
      ),
    );
    expect(opens).toEqual([
      'src/storage/atomic-file.ts', // makes files with O_EXCL, and opens directories
      'src/storage/kernel-lock.ts', // reads files opened with openPrivateFile
      'src/storage/load-failure.ts', // a library of the system, only to see whether it can be
      'src/storage/make-directory.ts',
      'src/storage/private-files.ts',
      'src/storage/read-input.ts', // files that the user names
      'src/tpm/marks.ts', // only files in /proc
      'src/tpm/transports/device.ts', // a device, which belongs to root
      'src/tpm/transports/swtpm-child.ts', // in a directory of mkdtemp
    ]);
  });
});
