import childProcess from 'node:child_process';
import { existsSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { readWindowsRegistry } from '../../../src/policy/read-windows-registry.ts';
import { patchBuiltin } from '../../patch-builtin.ts';

/** The registry of the stand-ins for Windows' programs: keys with the lines of their values. */
let keys: Map<string, string[]>;
/** Keys that this user may not read. */
let closed: string[];
let whoami: string | Error;
let ran: string[];
let exported: string[];
/** The result in place of an export, and how much data follows in its file. */
let fault: Error | undefined;
let padding: number;

const HKLM = 'HKEY_LOCAL_MACHINE\\SOFTWARE';
const GPO = 'Policies\\Microsoft\\PassportForWork';
const SID = 'S-1-5-21-1-2-3-1001';
const failed = (code: number | string) => Object.assign(new Error('it failed'), { code });

function reg([verb, key = '', file = '']: readonly string[]): string {
  const all = [...keys.keys()];
  if (fault !== undefined && verb === 'export') throw fault;
  const below = all.filter((name) => `${name}\\`.startsWith(`${key}\\`));
  if (below.length === 0 || closed.includes(key)) throw failed(1);
  if (verb === 'query') {
    const children = below.map((name) => name.split('\\', key.split('\\').length + 1).join('\\'));
    return `\r\n${[...new Set(children)].filter((name) => name !== key).join('\r\n')}\r\n`;
  }
  const sections = below.map((name) => `[${name}]\r\n${keys.get(name)?.join('\r\n')}\r\n`);
  const text = `\uFEFFWindows Registry Editor Version 5.00\r\n\r\n${sections.join('\r\n')}`;
  writeFileSync(file, Buffer.from(text, 'utf16le'));
  truncateSync(file, statSync(file).size + padding);
  exported.push(file);
  return '';
}

const program = async (path: string, args: readonly string[]) => {
  ran.push(path);
  if (!path.startsWith('C:\\Windows\\System32\\')) throw failed('ENOENT');
  if (path.endsWith('\\reg.exe')) return { stdout: reg(args), stderr: '' };
  if (whoami instanceof Error) throw whoami;
  return { stdout: whoami, stderr: '' };
};
patchBuiltin(childProcess, {
  execFile: Object.assign((): never => expect.unreachable(), {
    [promisify.custom]: (...[path, args]: Parameters<typeof program>) =>
      Object.assign(program(path, args), { child: { kill: () => true } }),
  }) as never,
});

beforeEach(() => {
  process.env.SystemRoot = 'C:\\Windows';
  keys = new Map([
    [`${HKLM}\\Microsoft\\Windows`, []],
    [`HKEY_USERS\\${SID}\\SOFTWARE\\Microsoft`, []],
  ]);
  closed = [];
  whoami = `"PC\\ada","${SID}"\r\n`;
  ran = [];
  exported = [];
  fault = undefined;
  padding = 0;
});

describe('readWindowsRegistry', () => {
  it('reads Group Policy of machine and user, and both CSPs, and removes its files', async () => {
    keys.set(`${HKLM}\\${GPO}\\PINComplexity`, ['"MinimumPINLength"=dword:00000009']);
    keys.set(`HKEY_USERS\\${SID}\\SOFTWARE\\${GPO}`, ['"Enabled"=dword:00000001']);
    const tenant = '00000000-1111-2222-3333-444444444444';
    const csp = `${HKLM}\\Microsoft\\Policies\\PassportForWork\\${tenant}`;
    keys.set(`${csp}\\${SID}\\Policies`, ['"UsePassportForWork"=dword:00000001']);
    keys.set(`${csp}\\S-1-5-21-1-2-3-1002\\Policies`, ['"UsePassportForWork"=dword:00000000']); // of another user
    const lock = `${HKLM}\\Microsoft\\PolicyManager\\current\\device\\DeviceLock`;
    keys.set(lock, ['"MinDevicePasswordLength"=dword:00000008']);

    const { layers, ignored } = await readWindowsRegistry();
    expect(ignored).toEqual([]);
    expect(layers.map(({ source, scope, values }) => [source, scope, values])).toEqual([
      ['gpo', 'machine', { 'PINComplexity/MinimumPINLength': 9 }],
      ['csp', 'user', { UsePassportForWork: true }],
      ['eas', 'machine', { 'PINComplexity/MinimumPINLength': 8 }],
      ['gpo', 'user', { UsePassportForWork: true }],
    ]);
    expect(exported.map((file) => basename(file))).toHaveLength(4);
    expect(exported.filter((file) => existsSync(dirname(file)))).toEqual([]);
    expect(new Set(ran)).toEqual(new Set(['C:\\Windows\\System32\\whoami.exe', 'C:\\Windows\\System32\\reg.exe']));
  });

  it('reads the settings of another user, never those of the user of this process', async () => {
    const userSid = 'S-1-5-21-1-2-3-1002';
    keys.set(`HKEY_CURRENT_USER\\SOFTWARE\\${GPO}`, ['"Enabled"=dword:00000001']);
    keys.set(`HKEY_USERS\\${SID}\\SOFTWARE\\${GPO}`, ['"Enabled"=dword:00000001']);
    expect(await readWindowsRegistry({ userSid })).toEqual({
      layers: [],
      ignored: [
        {
          setting: 'userSid',
          problem: `${userSid} is not signed in, so Windows has not loaded that user's settings`,
          expected: 'a user who is signed in',
        },
      ],
    });
    keys.set(`HKEY_USERS\\${userSid}\\SOFTWARE\\Microsoft`, []);
    expect(await readWindowsRegistry({ userSid })).toEqual({ layers: [], ignored: [] });
    keys.set(`HKEY_USERS\\${userSid}\\SOFTWARE\\${GPO}`, ['"Enabled"=dword:00000000']);
    const { layers } = await readWindowsRegistry({ userSid });
    expect(layers.map(({ scope, values }) => [scope, values])).toEqual([['user', { UsePassportForWork: false }]]);
  });

  it('finds nothing if nothing is set', async () => {
    expect(await readWindowsRegistry()).toEqual({ layers: [], ignored: [] });
  });

  it('does not take a key that it cannot read for one that is not there', async () => {
    const key = `${HKLM}\\${GPO}`;
    keys.set(key, ['"RequireSecurityDevice"=dword:00000001']);
    closed = [key];
    await expect(readWindowsRegistry()).rejects.toMatchObject({
      code: 'policy-invalid',
      problems: [{ setting: key, problem: 'cannot be read with reg.exe' }],
      remedy: 'run this as a user who can read that registry key',
    });
  });

  it('needs a temporary directory', async () => {
    vi.stubEnv('TMPDIR', '/nowhere');
    try {
      const error = await readWindowsRegistry().catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({
        code: 'store-io',
        message: expect.stringMatching(/^the temporary directory \/nowhere /),
        remedy: expect.stringMatching(/^set TMPDIR /),
      });
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it('ends with its signal', async () => {
    const signal = AbortSignal.abort(new Error('no longer wanted'));
    await expect(readWindowsRegistry({ signal })).rejects.toThrow('no longer wanted');
    expect(ran).toEqual([]);
  });

  it.each(['', 'garbage', '"PC\\ada","x"', '"a"b"S-1-5-21-1"'])(
    'refuses %j for the SID of this user',
    async (printed) => {
      whoami = printed;
      await expect(readWindowsRegistry()).rejects.toMatchObject({
        code: 'library-unsuitable',
        message: "whoami.exe does not report this user's SID",
        remedy: 'pass the SID as userSid',
      });
    },
  );

  it('says what to do if whoami.exe fails', async () => {
    whoami = failed(1);
    await expect(readWindowsRegistry()).rejects.toMatchObject({
      code: 'library-unsuitable',
      message: 'whoami.exe ended with exit code 1',
      remedy: 'pass the SID as userSid',
    });
    expect(await readWindowsRegistry({ userSid: SID })).toEqual({ layers: [], ignored: [] });
  });

  it.each(['HKEY_LOCAL_MACHINE', 'HKEY_USERS'])(
    'does not take a reg.exe that cannot even list %s for an empty registry',
    async (root) => {
      keys.set(`HKEY_USERS\\${SID}\\SOFTWARE\\${GPO}`, ['"Enabled"=dword:00000001']);
      closed = [...keys.keys()].flatMap((key) => {
        const parts = key.split('\\');
        return key.startsWith(root) ? parts.map((_, index) => parts.slice(0, index + 1).join('\\')) : [];
      });
      await expect(readWindowsRegistry()).rejects.toMatchObject({
        code: 'library-unsuitable',
        message: 'reg.exe ended with exit code 1',
        remedy: `run reg.exe query ${root} to see why`,
      });
    },
  );

  it('says which program of Windows is not there', async () => {
    process.env.SystemRoot = 'D:\\Elsewhere';
    await expect(readWindowsRegistry()).rejects.toMatchObject({
      code: 'library-missing',
      message: 'there is no D:\\Elsewhere\\System32\\whoami.exe',
    });
  });

  it.each([
    ['was ended', { code: null, killed: false, signal: 'SIGKILL' }, 'reg.exe was killed by SIGKILL'],
    ['crashed', { code: 0xc0000005 }, 'reg.exe ended with exit code 3221225477'],
    ['printed too much', { code: 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER' }, 'reg.exe printed more than 1048576 bytes'],
    ['took too long', { code: null, killed: true, signal: 'SIGKILL' }, 'reg.exe did not end within 60000 ms'],
    ['could not be started', { code: 'EMFILE' }, 'reg.exe cannot be run: EMFILE'],
  ])('does not take a reg.exe that %s for a missing one, or for a missing key', async (_, members, message) => {
    fault = Object.assign(new Error('it failed'), members);
    await expect(readWindowsRegistry()).rejects.toMatchObject({ code: 'library-unsuitable', message });
  });

  it('reads at most 16 MiB of an export', async () => {
    keys.set(`${HKLM}\\${GPO}`, ['"Enabled"=dword:00000001']);
    padding = 16_777_216;
    await expect(readWindowsRegistry()).rejects.toMatchObject({
      code: 'store-io',
      message: expect.stringContaining('16777216 bytes'),
    });
    expect(exported.filter((file) => existsSync(dirname(file)))).toEqual([]);
  });
});
