import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { missingPrograms } from '../programs.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { environment, keyprov, keyprovJson, MAIN } from './support/keyprov.ts';

const { commands } = Object(keyprovJson(['completion']).json);

describe('the table of commands', () => {
  it('has every command with its options and values', () => {
    const names = commands.map((command: { name: string }) => command.name);
    expect(names).toEqual(expect.arrayContaining(['provision', 'policy explain', 'completion']));
    const create = commands.find((command: { name: string }) => command.name === 'create');
    expect(create.options).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          name: '--hardware',
          value: { name: 'need', completion: ['required', 'preferred', 'discouraged'] },
        }),
        expect.objectContaining({ name: '--pin-file', value: { name: 'file', completion: 'file' } }),
        { name: '--force', description: expect.any(String), repeatable: false },
      ]),
    );
  });
});

describe('keyprov completion', () => {
  it('refuses another shell', () => {
    expect(keyprov(['completion', 'tcsh'])).toMatchObject({
      status: 2,
      stderr: 'keyprov: name a shell: bash, zsh or fish\nkeyprov: see keyprov completion --help\n',
    });
  });

  it.skipIf(missingPrograms('zsh', 'fish')).each([
    ['zsh', ['-n']],
    ['fish', ['--no-execute']],
  ] as const)('prints a script that %s can read', (shell, args) => {
    const { status, stdout } = keyprov(['completion', shell]);
    expect(status).toBe(0);
    expect(stdout).toContain('rsa-3072');
    using directory = temporaryDirectory();
    const script = join(directory.path, 'script');
    writeFileSync(script, stdout);
    const { status: read, stderr } = spawnSync(shell, [...args, script], { encoding: 'utf8' });
    expect({ read, stderr }).toEqual({ read: 0, stderr: '' });
  });
});

describe.skipIf(missingPrograms('bash'))('completion in bash', () => {
  const directory = temporaryDirectory();
  const path = (name: string) => join(directory.path, name);
  const EVIL = "x'$(touch evil)`touch evil`;touch evil";
  let ids: string[];

  beforeAll(() => {
    mkdirSync(path('bin'));
    writeFileSync(path('bin/keyprov'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
    chmodSync(path('bin/keyprov'), 0o755);
    writeFileSync(path('script'), keyprov(['completion', 'bash']).stdout);
    for (const user of ['ada@contoso.test', 'eve@contoso.test', EVIL]) {
      const args = ['create', '--tpm', 'none', '--algorithm', 'p-256', '--store', path('store'), '--user', user];
      expect(keyprov(args).status).toBe(0);
    }
    const { keys } = Object(keyprovJson(['status', '--store', path('store')]).json);
    ids = keys.map(({ id }: { id: string }) => id).sort();
    writeFileSync(path('letter'), '');
    mkdirSync(path('letters'));
  });
  afterAll(() => directory[Symbol.dispose]());

  /** Bash's completions at the end of a line, whose last word bash splits into these pieces. */
  function complete(line: string, ...pieces: readonly string[]): string[] {
    const words = line.split(' ');
    const all = [...words.slice(0, -1), ...(pieces.length > 0 ? pieces : words.slice(-1))];
    const program = `
      source "$1"; shift
      COMP_LINE=$1 COMP_POINT=\${#1}; shift
      COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
      _keyprov 2>/dev/null
      ((\${#COMPREPLY[@]})) && printf '%s\\n' "\${COMPREPLY[@]}"; :`;
    // The TPM address cannot be opened, and nothing can be read from standard input.
    const env = environment({ PATH: `${path('bin')}:${process.env.PATH}`, KEYPROV_TPM: 'device:/nowhere' });
    const { stdout, stderr, status } = spawnSync('bash', ['-c', program, 'bash', path('script'), line, ...all], {
      ...{ cwd: directory.path, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return stdout.split('\n').slice(0, -1).sort();
  }

  it('is registered for keyprov', () => {
    const { stdout } = spawnSync('bash', ['-c', 'source "$1"; complete -p keyprov', 'bash', path('script')], {
      encoding: 'utf8',
    });
    expect(stdout).toBe('complete -F _keyprov keyprov\n');
  });

  it.each([
    ['keyprov p', ['policy', 'provision']],
    ['keyprov policy ', ['--help', 'explain']],
    ['keyprov --ver', ['--version']],
    ['keyprov create --hardware ', ['discouraged', 'preferred', 'required']],
    ['keyprov create --hardware=r', ['required']],
    ['keyprov create --algorithm p-', ['p-256', 'p-384']],
    ['keyprov policy explain --documents ', ['2016', 'current']],
    ['keyprov sim --engine l', ['libtpms']],
    ['keyprov completion z', ['zsh']],
    ['keyprov attest --format k', ['kast']],
    ['keyprov sign --in let', ['letter', 'letters']],
    ['keyprov sign --store let', ['letters']],
    ['keyprov inspect let', ['letter', 'letters']],
    ['keyprov sign --challenge ', []],
    ['keyprov create --challenge ', []],
    ['keyprov nothing ', []],
  ])('of %j offers %j', (line, offered) => {
    expect(complete(line)).toEqual(offered);
  });

  it('offers every option of every command', () => {
    for (const { name, options } of commands) {
      expect(complete(`keyprov ${name} --`)).toEqual(options.map((option: { name: string }) => option.name).sort());
    }
  });

  it('offers the keys and users in the store without asking a TPM or the user', () => {
    expect(complete('keyprov sign --store store --key ')).toEqual(ids);
    expect(complete('keyprov sign --store=store --key ngc')).toEqual(ids);
    expect(complete('keyprov status --store store --user ad')).toEqual(['ada@contoso.test']);
    expect(complete('keyprov status --store nowhere --user ad')).toEqual([]);
  });

  it('continues within a name that bash splits into several words', () => {
    expect(complete('keyprov status --store store --user ada@con', 'ada', '@', 'con')).toEqual(['contoso.test']);
    expect(complete('keyprov status --store store --user ada@', 'ada', '@')).toEqual(['contoso.test']);
    expect(complete('keyprov create --hardware=r', '--hardware', '=', 'r')).toEqual(['required']);
  });

  it('offers a name that a shell would run as a quoted word, and runs nothing', () => {
    const [offered = ''] = complete('keyprov status --store store --user x');
    const echo = spawnSync('bash', ['-c', `printf %s ${offered}`], { cwd: directory.path, encoding: 'utf8' });
    expect(echo.stdout).toBe(EVIL);
    expect(complete('keyprov sign --in ev')).toEqual([]);
  });
});
