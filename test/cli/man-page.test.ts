import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { missingPrograms } from '../programs.ts';
import { keyprovJson } from './support/keyprov.ts';

const PAGE = 'man/keyprov.1';

/** Programs that check manual pages, each with the arguments for all warnings. */
const JUDGES: readonly (readonly [program: string, ...args: readonly string[]])[] = [
  ['man', '--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', PAGE],
  ['groff', '-ww', '-man', '-Tutf8', '-z', PAGE],
  ['mandoc', '-Tlint', '-Wwarning', PAGE],
];

describe('the manual page', () => {
  it('matches the table of commands', () => {
    const { status, stderr } = spawnSync(process.execPath, ['scripts/man-page.mjs', '--check'], { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });

  it('has every command, and every option of it', () => {
    const [, ...sections] = readFileSync(PAGE, 'utf8').replaceAll('\\-', '-').split('\n.SS ');
    const { commands } = Object(keyprovJson(['completion']).json);
    expect(sections.map((section) => section.split('\n', 1)[0])).toEqual(
      commands.map(({ name }: { name: string }) => `keyprov ${name}`),
    );
    for (const [index, { options }] of commands.entries()) {
      for (const { name } of options) if (name !== '--help') expect(sections[index]).toContain(`\\fB${name}\\fR`);
    }
  });

  it('writes values as the user types them, and says first what the command does', () => {
    const page = readFileSync(PAGE, 'utf8').replaceAll('\\-', '-');
    expect(page).toContain('\nrsa-2048 (default), rsa-3072, p-256 or p-384\n');
    expect(page).toContain('\nkeyprov - Make a key pair in a TPM 2.0, attest it, and build its registration request\n');
    expect(page).toContain(
      '\n\\fBkeyprov\\fR makes keys in a TPM 2.0, attests them, and registers them with a service.\n',
    );
  });

  it.skipIf(missingPrograms(...JUDGES.map(([program]) => program))).each(JUDGES)(
    'is without fault for %s',
    (program, ...args) => {
      const { status, stdout, stderr } = spawnSync(program, args, {
        ...{ encoding: 'utf8', env: { ...process.env, MANROFFSEQ: '', MANWIDTH: '80' } },
      });
      const said = program === 'mandoc' ? stdout + stderr : stderr;
      expect({ status, said }).toEqual({ status: 0, said: '' });
    },
  );
});
