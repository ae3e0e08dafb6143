import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let bin: string;

/** Puts a command in front of the system's one: a shell script with this body. */
function standIn(name: string, body: string): void {
  writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`);
  chmodSync(join(bin, name), 0o755);
}

function setup(mode: string): { status: number | null; stderr: string } {
  const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
  const { status, stderr } = spawnSync('bash', [join(process.cwd(), 'scripts/setup.sh'), mode], {
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
  it('says what to install when libtpms is missing and cannot be installed', () => {
    const { status, stderr } = setup('--demo');
    expect(status).toBe(1);
    expect(stderr).toMatch(/^setup: system packages are missing, and .*: libtpms0$/m);
    expect(stderr).toMatch(/^setup: install them with: sudo apt-get install libtpms0$/m);
  });

  it.each(['v18.20.4', 'v20.18.3', 'v21.7.0', 'v22.11.0'])('refuses Node.js %s', (version) => {
    standIn('node', `echo ${version}`);
    const { status, stderr } = setup('--demo');
    expect(status).toBe(1);
    expect(stderr).toBe(`setup: Node.js ${version} is too old: install 20.19 or newer of 20, or 22.12 or newer\n`);
  });

  it('refuses a mode that it does not know', () => {
    expect(setup('--everything')).toEqual({
      status: 1,
      stderr: 'setup: unknown mode --everything (expected: --demo or --test)\n',
    });
  });
});
