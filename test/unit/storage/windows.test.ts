import fs, { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import promises from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { findLibrary } from '../../../native/find-library.ts';
import { tbsPath } from '../../../native/tbs.ts';
import { replaceBy, writeWhole, writeWholeSync } from '../../../src/storage/atomic-file.ts';
import { refuseOnWindows, windowsProgram } from '../../../src/storage/windows.ts';
import { startDirectory } from '../../../src/testing/index.ts';
import { openLibtpms } from '../../../src/tpm/transports/libtpms.ts';
import { startSwtpm } from '../../../src/tpm/transports/swtpm-process.ts';
import { openTcti } from '../../../src/tpm/transports/tcti.ts';
import { patchBuiltin } from '../../patch-builtin.ts';

/** How often renaming is refused, and how. */
const refusals = { left: 0, code: 'EPERM' };
const refuse = (): void => {
  if (refusals.left-- > 0) throw Object.assign(new Error(`${refusals.code}: rename`), { code: refusals.code });
};
const { renameSync } = fs;
const { rename } = promises;
patchBuiltin(fs, {
  renameSync: (from, to) => {
    refuse();
    renameSync(from, to);
  },
});
patchBuiltin(promises, {
  rename: async (from, to) => {
    refuse();
    await rename(from, to);
  },
});

const { platform } = process;
const pretend = (value: NodeJS.Platform): void => {
  Object.defineProperty(process, 'platform', { value });
};
let directory: string;
const content = (): string => readFileSync(join(directory, 'file'), 'utf8');

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyprov-windows-'));
  writeFileSync(join(directory, 'file'), 'old');
});
afterEach(() => {
  vi.restoreAllMocks();
  pretend(platform);
  Object.assign(refusals, { left: 0, code: 'EPERM' });
  rmSync(directory, { recursive: true });
});

describe('on Windows', () => {
  it.each(['EPERM', 'EACCES', 'EBUSY'])('a file is replaced once nobody reads it (%s)', async (code) => {
    pretend('win32');
    Object.assign(refusals, { left: 3, code });
    await writeWhole(directory, 'file', 'new');
    expect(content()).toBe('new');
    refusals.left = 3;
    writeWholeSync(directory, 'file', Buffer.from('newer'));
    expect([content(), readdirSync(directory)]).toEqual(['newer', ['file']]);
  });

  it('a file that is read for ever stays as it was', async () => {
    pretend('win32');
    refusals.left = Number.POSITIVE_INFINITY;
    let seconds = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => ++seconds * 1000);
    await expect(writeWhole(directory, 'file', 'new')).rejects.toMatchObject({ code: 'EPERM' });
    expect([content(), readdirSync(directory)]).toEqual(['old', ['file']]);
  });

  it('another failure is not waited for', async () => {
    pretend('win32');
    Object.assign(refusals, { left: 1, code: 'ENOSPC' });
    await expect(replaceBy(join(directory, 'file'), join(directory, 'other'))).rejects.toMatchObject({
      code: 'ENOSPC',
    });
    expect(refusals.left).toBe(0);
  });

  it('no library is looked for on the current drive', async () => {
    await import('../../../native/tctildr.ts'); // koffi looks for its build of this system
    pretend('win32');
    expect(findLibrary('libtpms.so.0', undefined)).toEqual({ path: undefined, tried: [] });
    expect(findLibrary('x', join(directory, 'file')).path).toBe(join(directory, 'file'));
    await expect(openTcti({ conf: 'device' })).rejects.toMatchObject({
      code: 'library-missing',
      remedy: "use the address 'tbs', or set KEYPROV_TCTILDR to the path of the library",
    });
  });

  it('features that Windows lacks are refused before a program is looked for', async () => {
    pretend('win32');
    for (const start of [openLibtpms, startSwtpm, startDirectory]) {
      await expect(start()).rejects.toMatchObject({ code: 'library-missing', message: /is not available on Windows/ });
    }
    expect(windowsProgram('reg.exe')).toMatch(/^.+\\System32\\reg\.exe$/);
    vi.stubEnv('SystemRoot', '');
    expect([windowsProgram('reg.exe'), tbsPath()]).toEqual([
      'C:\\Windows\\System32\\reg.exe',
      'C:\\Windows\\System32\\tbs.dll',
    ]);
    vi.unstubAllEnvs();
  });
});

describe('elsewhere', () => {
  it('nothing of that holds', async () => {
    pretend('linux');
    expect(() => refuseOnWindows('a thing')).not.toThrow();
    refusals.left = 1;
    await expect(writeWhole(directory, 'file', 'new')).rejects.toMatchObject({ code: 'EPERM' });
    expect(content()).toBe('old');
  });
});
