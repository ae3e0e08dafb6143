import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';

const commands = commandLines();
const REG = `Windows Registry Editor Version 5.00

[HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\PassportForWork\\PINComplexity]
"MinimumPINLength"=dword:00000008
`;
const SYNCML = `<SyncML><SyncBody><Replace><CmdID>1</CmdID><Item>
<Target><LocURI>./Device/Vendor/MSFT/PassportForWork/6f5902ac-237f-424a-a1cd-8d2b6d2bbd01/Policies/PINComplexity/MinimumPINLength</LocURI></Target>
<Meta><Format xmlns="syncml:metinf">int</Format></Meta><Data>10</Data></Item></Replace></SyncBody></SyncML>`;

describe('a policy from a pipe', () => {
  it('is read, as a shell makes one for the output of a command', async () => {
    using directory = temporaryDirectory();
    const pipe = join(directory.path, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const [{ status, json }] = await Promise.all([
      commands.onlyJson(['policy', 'explain', pipe]),
      writeFile(pipe, '{"pin": {"minLength": 8}}'),
    ]);
    expect({ status, json }).toMatchObject({ status: 0, json: { policy: { pin: { minLength: 8 } } } });
  });
});

describe('a policy file without a setting that keyprov knows', () => {
  it.each([
    [
      'other.reg',
      REG.replace('Policies', 'WOW6432Node\\Policies'),
      /HKEY_LOCAL_MACHINE.SOFTWARE.Policies.Microsoft.Pass/,
    ],
    ['other.xml', SYNCML.replace('PassportForWork', 'BitLocker'), /\.\/Device\/Vendor\/MSFT\/PassportForWork\//],
  ])('is refused: %s', async (name, text, place) => {
    using directory = temporaryDirectory();
    const file = join(directory.path, name);
    writeFileSync(file, text);
    const out = join(directory.path, 'out');
    for (const args of [
      ['create', '--tpm', 'none', '--out', out, '--policy'],
      ['policy', 'explain'],
    ]) {
      const { status, stderr } = await commands.run([...args, file]);
      expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringMatching(place) });
      expect(stderr).toContain(`${file}: contains no setting that keyprov knows (expected: `);
    }
    expect(existsSync(out)).toBe(false);
  });

  it("gets a warning if it is keyprov's own JSON", async () => {
    using directory = temporaryDirectory();
    const file = join(directory.path, 'policy.json');
    writeFileSync(file, '{}');
    expect(await commands.onlyJson(['policy', 'explain', file])).toMatchObject({
      status: 0,
      json: { warnings: [expect.stringContaining(`${file}: contains no setting that keyprov knows`)] },
    });
  });
});

describe('the variables KEYPROV_POLICY_…', () => {
  const create = ['create', '--tpm', 'none', '--out'];

  it('apply to a new key, and stop contradicting options', async () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'out');
    const env = { KEYPROV_POLICY_HARDWARE: 'required' };
    expect(await commands.onlyJson([...create, out], { env })).toMatchObject({
      status: 3,
      json: { error: { code: 'hardware-required' } },
    });
    const loosened = await commands.onlyJson([...create, out, '--hardware', 'preferred'], { env });
    expect(loosened).toMatchObject({
      status: 3,
      json: { warnings: ['--hardware preferred has no effect: hardware is set by environment'] },
    });
    const strict = { env: { KEYPROV_POLICY_PIN_MIN_LENGTH: '8' }, input: '735191\n' };
    expect(await commands.onlyJson([...create, out, '--pin-file', '-'], strict)).toMatchObject({
      status: 5,
      json: { error: { code: 'pin-refused', message: expect.stringContaining('at least 8 characters') } },
    });
    expect(existsSync(out)).toBe(false);
  });

  it.each([
    [...create, 'out'],
    ['change-pin', '--store', '.', '--user', 'a@b.test'],
    ['reset', '--store', '.', '--user', 'a@b.test'],
    ['status', '--store', '.'],
    ['policy', 'explain'],
  ])('stop %s if one is misspelled', async (...args) => {
    using directory = temporaryDirectory();
    const env = { KEYPROV_POLICY_HARDWEAR: 'required' };
    const { status, stderr } = await commands.run(args, { env, cwd: directory.path });
    expect(status).toBe(2);
    expect(stderr).toContain("KEYPROV_POLICY_HARDWEAR: unknown setting, did you mean 'KEYPROV_POLICY_HARDWARE'?");
    expect(stderr).toContain('docs/policy-sources.md');
  });
});

describe('a policy that turns provisioning off', () => {
  const off = (directory: string): string => {
    const file = join(directory, 'off.reg');
    const [head] = REG.split('[');
    writeFileSync(
      file,
      `${head}[HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\PassportForWork]\n"Enabled"=dword:00000000\n`,
    );
    return file;
  };

  it('makes create refuse in the words of the prerequisite', async () => {
    using directory = temporaryDirectory();
    const args = ['create', '--tpm', 'none', '--out', join(directory.path, 'out'), '--policy', off(directory.path)];
    const { status, json } = await commands.onlyJson(args);
    expect({ status, json }).toMatchObject({
      status: 11,
      json: {
        ok: false,
        error: { code: 'blocked', message: 'a prerequisite is not met; nothing was done' },
        prerequisites: {
          result: 'WillNotProvision',
          errorStates: 0x10,
          findings: [{ id: 'policy-enabled', status: 'fail', remedy: 'set UsePassportForWork in the policy' }],
        },
      },
    });
    expect((await commands.run(args)).stdout).toContain('policy does not enable Windows Hello for Business');
    expect(existsSync(join(directory.path, 'out'))).toBe(false);
  });

  it('leaves an existing key usable, and status says so', async () => {
    using directory = temporaryDirectory();
    const key = join(directory.path, 'key');
    expect((await commands.run(['create', '--tpm', 'none', '--algorithm', 'p-256', '--out', key])).status).toBe(0);
    const policy = ['--store', key, '--policy', off(directory.path)];
    expect((await commands.run(['sign', '--in', off(directory.path), ...policy])).status).toBe(0);
    expect(await commands.onlyJson(['status', ...policy])).toMatchObject({
      status: 0,
      json: {
        warnings: ['the policy turns provisioning off (UsePassportForWork is false); existing keys can still be used'],
      },
    });
  });
});

describe('keyprov policy explain', () => {
  it('shows the settings in force and the reasons, from files of all formats and the environment', async () => {
    using directory = temporaryDirectory();
    const file = (name: string, text: string): string => {
      writeFileSync(join(directory.path, name), text);
      return join(directory.path, name);
    };
    const files = [file('csp.xml', SYNCML), file('gpo.reg', REG), file('own.json', '{"hardware": "required"}')];
    const env = { KEYPROV_POLICY_PIN_HISTORY: '3' };
    const { status, stdout, stderr } = await commands.run(['policy', 'explain', ...files], { env });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toEqual([
      expect.stringMatching(/^RequireSecurityDevice = true: set by file \(/),
      expect.stringMatching(/^PINComplexity\/MinimumPINLength \(pin\.minLength\) = 8: set by computer GPO \(/),
      expect.stringMatching(/^ {2}not 10 from device CSP \(.*csp\.xml\): Group Policy takes precedence over the CSP/),
      'PINComplexity/History (pin.history) = 3: set by environment',
      expect.stringMatching(/^hardware = required: set by file \(/),
      expect.stringMatching(/^\d+ settings have their defaults; --all shows them$/),
    ]);
    const odd = await commands.run(['policy', 'explain', file('odd.json', '{"pin":{"minLength":8,"maxLength":5}}')]);
    expect(odd.status).toBe(0);
    expect(odd.stderr).toMatch(
      /odd\.json: PINComplexity\/MinimumPINLength 8 has no effect: minimum 8 is not below maximum 5/,
    );
    const all = (await commands.run(['policy', 'explain', '--all', ...files], { env })).stdout;
    for (const line of lines.slice(0, -1)) expect(all).toContain(`${line}\n`);
    expect(all).toMatch(/^virtualTpm = allow: /m);
    expect(all).not.toContain('--all');
    const { json } = await commands.onlyJson(['policy', 'explain', '--all', ...files], { env });
    expect(json).toMatchObject({
      ok: true,
      policy: { hardware: 'required', pin: { minLength: 8, history: 3 } },
      windows: { RequireSecurityDevice: true, 'PINComplexity/MinimumPINLength': 8 },
      warnings: [],
    });
    expect(Object(json).explanation.length).toBeGreaterThan(30);
  });

  it('has the defaults of both generations of Microsoft texts', async () => {
    const shortest = async (documents: string): Promise<unknown> =>
      Object((await commands.onlyJson(['policy', 'explain', '--documents', documents])).json).policy.pin.minLength;
    expect([await shortest('2016'), await shortest('current')]).toEqual([4, 6]);
    expect(await commands.run(['policy', 'explain'])).toEqual({
      status: 0,
      stdout: expect.stringMatching(/^nothing is set\n\d+ settings have their defaults; --all shows them\n$/),
      stderr: '',
    });
  });

  it('accepts files with --policy, as the other commands do', async () => {
    using directory = temporaryDirectory();
    writeFileSync(join(directory.path, 'own.json'), '{"hardware": "required"}');
    const { status, json } = await commands.onlyJson(['policy', 'explain', '--policy', 'own.json'], {
      cwd: directory.path,
    });
    expect({ status, json }).toMatchObject({ status: 0, json: { policy: { hardware: 'required' } } });
  });

  it('warns if --policy-for is none of the users of a file', async () => {
    using directory = temporaryDirectory();
    const file = (...keys: readonly string[]) => {
      const lines = keys.flatMap((key) => [
        `[${key}\\SOFTWARE\\Policies\\Microsoft\\PassportForWork]`,
        '"Enabled"=dword:00000001',
      ]);
      writeFileSync(
        join(directory.path, 'one.reg'),
        ['Windows Registry Editor Version 5.00', '', ...lines, ''].join('\r\n'),
      );
    };
    const warnings = async (sid: string) =>
      (
        await commands.onlyJson(['policy', 'explain', '--policy', 'one.reg', '--policy-for', sid], {
          cwd: directory.path,
        })
      ).json.warnings;
    file('HKEY_USERS\\S-1-5-21-1-2-3-1001', 'HKEY_LOCAL_MACHINE');
    expect(await warnings('S-1-5-21-1-2-3-1002')).toEqual([
      'one.reg: --policy-for S-1-5-21-1-2-3-1002 is not one of the users with settings here (S-1-5-21-1-2-3-1001), and is ignored',
    ]);
    expect(await warnings('S-1-5-21-1-2-3-1001')).toEqual([]);
    file('HKEY_LOCAL_MACHINE');
    expect(await warnings('S-1-5-21-1-2-3-1002')).toEqual([]);
  });

  it('names --policy-for if a file has settings of several users', async () => {
    using directory = temporaryDirectory();
    const [head] = REG.split('[');
    const users = ['S-1-5-21-1-2-3-1001', 'S-1-5-21-1-2-3-1002'];
    const path = '\\Software\\Policies\\Microsoft\\PassportForWork';
    const keys = users.map((user) => `[HKEY_USERS\\${user}${path}]\n"Enabled"=dword:00000001\n`);
    writeFileSync(join(directory.path, 'users.reg'), `${head}${keys.join('\n')}`);
    const { status, json } = await commands.onlyJson(['policy', 'explain', 'users.reg'], { cwd: directory.path });
    expect({ status, problems: Object(json).error.problems }).toEqual({
      status: 2,
      problems: [
        `users.reg: --policy-for: there are settings for 2 users: ${users.join(', ')} (expected: one of them)`,
      ],
    });
  });

  it('reports all problems with their positions', async () => {
    using directory = temporaryDirectory();
    writeFileSync(join(directory.path, 'own.json'), '{"hardwear": "required"}');
    const env = { KEYPROV_POLICY_HARDWARE: 'maybe' };
    const { status, json } = await commands.onlyJson(['policy', 'explain', 'own.json', 'nowhere.reg'], {
      cwd: directory.path,
      env,
    });
    expect({ status, problems: Object(json).error.problems }).toEqual({
      status: 2,
      problems: [
        expect.stringMatching(/^own\.json: hardwear: unknown setting, did you mean 'hardware'\?/),
        expect.stringMatching(/^nowhere\.reg: does not exist/),
        expect.stringMatching(/^KEYPROV_POLICY_HARDWARE: is 'maybe'/),
      ],
    });
  });
});
