import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { keyprovJson } from './support/keyprov.ts';

const PAGE = 'man/keyprov.1';

/** What judges manual pages, each with the arguments that make it say everything. */
const JUDGES: readonly (readonly [program: string, ...args: readonly string[]])[] = [
  ['man', '--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', PAGE],
  ['groff', '-ww', '-man', '-Tutf8', '-z', PAGE],
  ['mandoc', '-Tlint', '-Wwarning', PAGE],
];

describe('the manual page', () => {
  it('is that of the table of commands', () => {
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

  it.each(JUDGES)('is without fault for %s', (program, ...args) => {
    const { error, status, stdout, stderr } = spawnSync(program, args, {
      ...{ encoding: 'utf8', env: { ...process.env, MANROFFSEQ: '', MANWIDTH: '80' } },
    });
    if (error !== undefined) return console.warn(`skipped: ${program} is not installed`);
    const said = program === 'mandoc' ? stdout + stderr : stderr;
    expect({ status, said }).toEqual({ status: 0, said: '' });
  });
});
