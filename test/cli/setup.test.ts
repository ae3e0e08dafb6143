import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let bin: string;

/** Puts a command in front of the system's one: a shell script with this body. */
function standIn(name: string, body: string): void {
  writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`);
  chmodSync(join(bin, name), 0o755);
}

function setup(
  mode: string,
  script = join(process.cwd(), 'scripts/setup.sh'),
): { status: number | null; stderr: string } {
  const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
  const { status, stderr } = spawnSync('bash', [script, mode], {
    cwd: tmpdir(),
    env,
    encoding: 'utf8',
  });
  return { status, stderr };
}

beforeEach(() => {
  bin = mkdtempSync(join(tmpdir(), 'keyprov-setup-'));
  standIn('dpkg-query', 'echo not-installed');
  standIn('sudo', 'exit 1');
  standIn('apt-get', 'exit 1');
});

afterEach(() => rmSync(bin, { recursive: true }));

describe('scripts/setup.sh', () => {
  it('says what to install when packages are missing and cannot be installed', () => {
    const { status, stderr } = setup('--demo');
    expect(status).toBe(1);
    expect(stderr).toMatch(/^setup: system packages are missing, and .*: libtpms0 slapd$/m);
    expect(stderr).toMatch(/^setup: install them with: sudo apt-get install libtpms0 slapd$/m);
    // The advice works as printed, here with another file.
    const policy = join(bin, 'policy-rc.d');
    standIn('sudo', 'exec "$@"');
    const run = (said: RegExp): void => {
      const [, command = ''] = said.exec(stderr) ?? [];
      const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
      const words = command.replaceAll('/usr/sbin/policy-rc.d', policy);
      expect(spawnSync('bash', ['-c', words], { env }).status).toBe(0);
    };
    run(/ from starting, run before that: (.*)$/m);
    expect(spawnSync(policy).status).toBe(101);
    run(/^setup: and after that: (.*)$/m);
    expect(existsSync(policy)).toBe(false);
  });

  it.each(['v18.20.4', 'v20.18.3', 'v21.7.0', 'v22.11.0'])('refuses Node.js %s', (version) => {
    standIn('node', `echo ${version}`);
    const { status, stderr } = setup('--demo');
    expect(status).toBe(1);
    expect(stderr).toBe(
      `setup: Node.js ${version} is too old: install Node.js 20.19 (or a later 20.x), or 22.12 or newer\n`,
    );
  });

  it('refuses a mode that it does not know', () => {
    expect(setup('--everything')).toEqual({
      status: 1,
      stderr: 'setup: unknown mode --everything (expected: --demo, --build or --test)\n',
    });
  });

  it('needs no system package to build', () => {
    // In a separate directory, so that this checkout keeps its npm packages.
    const script = join(bin, 'scripts/setup.sh');
    mkdirSync(join(bin, 'scripts'));
    writeFileSync(script, readFileSync('scripts/setup.sh'));
    writeFileSync(join(bin, 'package-lock.json'), '{}');
    standIn('npm', `[ "$1" = config ] && echo '${bin}'`);
    const { status, stderr } = setup('--build', script);
    expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringMatching(/^setup: npm ci failed: .*\n$/) });
  });

  describe('when it installs packages with services', () => {
    let policy: string;
    let log: string;
    let script: string;

    beforeEach(() => {
      policy = join(bin, 'policy-rc.d');
      log = join(bin, 'log');
      script = join(bin, 'scripts/setup.sh');
      mkdirSync(join(bin, 'scripts'));
      // A test must not write to the machine's policy.
      writeFileSync(script, readFileSync('scripts/setup.sh', 'utf8').replaceAll('/usr/sbin/policy-rc.d', policy));
      standIn('sudo', 'shift; exec "$@"');
      standIn('dpkg-query', '[ "$1" = -L ] && echo "/etc/init.d/$2" || echo not-installed');
      standIn('apt-get', `case $* in *install*) '${policy}'; echo "the policy says $?" >>'${log}'; exit 1 ;; esac`);
      standIn('update-rc.d', `echo "$*" >>'${log}'`);
    });

    const logged = () => readFileSync(log, 'utf8').trimEnd().split('\n');

    it('starts none of them, now or at boot, and leaves no policy behind', () => {
      expect(setup('--demo', script).status).toBe(1);
      expect(logged()).toEqual(['the policy says 101', 'libtpms0 disable', 'slapd disable']);
      expect(existsSync(policy)).toBe(false);
    });

    it('lets a policy of the machine be', () => {
      standIn('policy-rc.d', 'exit 104');
      const before = readFileSync(policy, 'utf8');
      setup('--demo', script);
      expect(logged()[0]).toBe('the policy says 104');
      expect(readFileSync(policy, 'utf8')).toBe(before);
    });

    it('removes the policy of a run that was killed', () => {
      standIn('apt-get', 'case $* in *install*) kill -9 $PPID ;; esac');
      expect(setup('--demo', script).status).toBe(null);
      expect(existsSync(policy)).toBe(true);
      standIn('apt-get', 'exit 1');
      expect(setup('--demo', script).status).toBe(1);
      expect(existsSync(policy)).toBe(false);
    });
  });
});
