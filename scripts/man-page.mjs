// Writes man/keyprov.1, the manual page, from the table of commands. With --check it writes nothing and fails
// if the page is out of date.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import './build.mjs'; // builds dist/

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const path = join(root, 'man', 'keyprov.1');
const { version, description } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
/** The date of the last change to the commands, as manual pages show it. */
const DATE = '2026-12-01';

const ENVIRONMENT = [
  ['KEYPROV_TPM', 'Address of the TPM, unless --tpm gives it.'],
  ['KEYPROV_STORE', 'Directory of the key store, unless --store gives it.'],
  ['KEYPROV_POLICY_*', 'Settings of the policy; keyprov policy explain shows them.'],
  ['KEYPROV_LIBTPMS, KEYPROV_TCTILDR', 'Paths of libtpms and libtss2-tctildr, instead of the usual directories.'],
  ['NO_COLOR, FORCE_COLOR', 'Turn colors off, or on without a terminal.'],
];

/** The program's own commands and exit codes. */
function readTable() {
  const main = join(root, 'dist', 'src', 'cli', 'main.js');
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'completion', '--json'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`keyprov completion --json ended with ${status}: ${stdout}${stderr}`);
  return JSON.parse(stdout);
}

/** Escapes text for roff, so that it contains no requests or escapes. */
function roff(text) {
  const escaped = text.replaceAll('\\', '\\e').replaceAll('-', '\\-');
  const ascii = escaped.replace(/[^\n -~]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `\\[u${code.toString(16).toUpperCase().padStart(4, '0')}]`;
  });
  return ascii.replace(/^(?=[.'])/gm, '\\&');
}

const bold = (text) => `\\fB${roff(text)}\\fR`;
const italic = (text) => `\\fI${roff(text)}\\fR`;
const sentence = (text) => roff(`${text[0].toUpperCase()}${text.slice(1)}.`);

function optionLines({ name, description: text, value }) {
  return ['.TP', value === undefined ? bold(name) : `${bold(name)} ${italic(value.name)}`, roff(text)];
}

function commandLines({ name, description: text, usage, options, examples }) {
  return [
    ...[`.SS keyprov ${roff(name)}`, `${bold(`keyprov ${name}`)} ${roff(usage)}`, '.PP', sentence(text)],
    ...options.filter((option) => option.name !== '--help').flatMap(optionLines),
    ...['.PP', 'Examples:', '.PP', '.EX', ...examples.map(roff), '.EE'],
  ];
}

function page({ commands, exitCodes }) {
  const lines = [
    `.TH KEYPROV 1 "${DATE}" "keyprov ${version}" "User Commands"`,
    ...['.SH NAME', `keyprov \\- ${roff(description.replace(/\.$/, ''))}`],
    ...[
      '.SH SYNOPSIS',
      `${bold('keyprov')} ${italic('command')} [options]`,
      '.PP',
      `${bold('keyprov')} \\-\\-version [\\-\\-json]`,
    ],
    ...[
      '.SH DESCRIPTION',
      `${bold('keyprov')} makes keys in a TPM 2.0, attests them, and registers them with a service.`,
    ],
    ...[
      'Each command explains itself with',
      `${bold('--help')}.`,
      'Results go to standard output; steps, warnings and errors go to standard error.',
    ],
    ...['.SH COMMANDS', ...commands.flatMap(commandLines)],
    ...['.SH ENVIRONMENT', ...ENVIRONMENT.flatMap(([name, text]) => ['.TP', bold(name), roff(text)])],
    ...['.SH "EXIT STATUS"', ...exitCodes.flatMap(([code, text]) => ['.TP', bold(code), sentence(text)])],
    ...[
      '.SH "SEE ALSO"',
      `In the package, ${italic('docs/cli.md')} describes each command, and ${italic('docs/scripting.md')} their use in scripts.`,
    ],
  ];
  return `${lines.join('\n')}\n`;
}

const text = page(readTable());
if (!process.argv.includes('--check')) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  console.log('man/keyprov.1: written');
} else if (readFileSync(path, 'utf8') !== text) {
  console.error('man/keyprov.1 does not match this build: run node scripts/man-page.mjs');
  process.exitCode = 1;
}
