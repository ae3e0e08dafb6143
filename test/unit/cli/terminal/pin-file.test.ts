import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readPin } from '../../../../src/cli/terminal/pin-file.ts';
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

  it.skipIf(!isRoot)('gives a warning if it belongs to another user', async () => {
    expect(await warnings(0o600, ORDINARY_USER.uid)).toEqual([
      `the PIN file ${path} belongs to user ${ORDINARY_USER.uid}, who can read and change the PIN; chown ${process.geteuid?.()} it`,
    ]);
  });
});
