import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { UsageError } from '../../../../src/cli/options/arguments.ts';
import { readPassword, readPin } from '../../../../src/cli/terminal/pin-file.ts';
import { Report } from '../../../../src/cli/terminal/report.ts';
import { isRoot, ORDINARY_USER } from '../../../ordinary-user.ts';

let path: string;
beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), 'keyprov-test-')), 'pin');
  writeFileSync(path, '730519\n');
});
afterEach(() => rmSync(join(path, '..'), { recursive: true }));

/** The warnings for such a file. */
async function warnings(mode: number, uid?: number): Promise<readonly string[]> {
  if (uid !== undefined) chownSync(path, uid, uid);
  chmodSync(path, mode);
  const report = new Report({ json: true, verbose: false });
  const warn = vi.spyOn(report, 'warn').mockImplementation(() => {});
  expect(Buffer.from(await readPin(path, report, new AbortController().signal)).toString()).toBe('730519');
  return warn.mock.calls.map(([text]) => text);
}

describe.skipIf(process.platform === 'win32')('a PIN file', () => {
  it('gives a warning if others can read or change it', async () => {
    expect(await warnings(0o600)).toEqual([]);
    expect(await warnings(0o640)).toEqual([`others can read the PIN file ${path}; chmod 600 it`]);
    expect(await warnings(0o602)).toEqual([`others can write the PIN file ${path}; chmod 600 it`]);
    expect(await warnings(0o666)).toEqual([`others can read and write the PIN file ${path}; chmod 600 it`]);
  });

  it('gives no advice to change the mode of a device', async () => {
    const report = new Report({ json: true, verbose: false });
    const warn = vi.spyOn(report, 'warn').mockImplementation(() => {});
    await expect(readPin('/dev/null', report, new AbortController().signal)).rejects.toThrow('no PIN in /dev/null');
    expect(warn).not.toHaveBeenCalled();
  });

  it.skipIf(!isRoot)('gives a warning if it belongs to another user', async () => {
    expect(await warnings(0o600, ORDINARY_USER.uid)).toEqual([
      `the PIN file ${path} belongs to user ${ORDINARY_USER.uid}, who can read and change the PIN; chown ${process.geteuid?.()} it`,
    ]);
  });
});

describe('a password file', () => {
  const read = (content: string | Uint8Array) => {
    writeFileSync(path, content, { mode: 0o600 });
    const report = new Report({ json: true, verbose: false });
    return readPassword(path, '--option', report, new AbortController().signal);
  };

  it.each([
    [' spaces and\ttab \n', ' spaces and\ttab '],
    ['\ufeffwith a mark\r\n', 'with a mark'],
    ['x'.repeat(1024), 'x'.repeat(1024)],
  ])('gives %j without the newline', async (content, password) => {
    expect(await read(content)).toBe(password);
  });

  it.each([
    ['nothing', '\n', 'is empty'],
    ['too much', 'x'.repeat(1025), 'has more than 1024 bytes'],
    ['another encoding', Uint8Array.of(0xff, 0xfe, 0x41, 0), 'is not UTF-8'],
  ])('is refused with %s', async (_, content, problem) => {
    await expect(read(content)).rejects.toThrow(new UsageError([`--option: the password ${problem}`]));
  });

  it('that is missing is called so', async () => {
    rmSync(path);
    const report = new Report({ json: true, verbose: false });
    await expect(readPassword(path, '--option', report, new AbortController().signal)).rejects.toMatchObject({
      ...{ code: 'store-io', remedy: 'pass a file that contains the password, or - for standard input' },
    });
  });
});
