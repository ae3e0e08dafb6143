import { readFileSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import type { Command } from 'commander';
import { CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import type { CliCommand, Context } from '../../../src/cli/command.ts';
import { COMMANDS } from '../../../src/cli/commands/index.ts';
import type { Arguments } from '../../../src/cli/options/arguments.ts';
import { isRequiredOption, ValueOption } from '../../../src/cli/options/value-option.ts';
import { buildProgram, helpLast } from '../../../src/cli/program.ts';
import { LineReader } from '../../../src/cli/terminal/line-reader.ts';
import { Printer } from '../../../src/cli/terminal/printer.ts';
import { Prompter } from '../../../src/cli/terminal/prompter.ts';
import { Report } from '../../../src/cli/terminal/report.ts';
import { Signals } from '../../../src/cli/terminal/signals.ts';

const LOADED = await Promise.all(COMMANDS.map(async (entry) => ({ ...entry, command: await entry.load() })));

/** Stops a command after it has read its arguments. */
class ArgumentsRead extends Error {}

/** An environment with a user who can be asked. */
const terminal = Object.assign(new PassThrough(), { isTTY: true });

/** A command's reaction to a command line before it does anything. */
async function problemsOf(words: readonly string[]): Promise<readonly string[]> {
  let found: { readonly entry: CliCommand; readonly given: Arguments } | undefined;
  const program = programOf(async (entry, given) => {
    found = { entry, given };
  });
  await program.parseAsync([...words], { from: 'user' });
  if (found === undefined) throw new Error('no command was called');
  const { entry, given } = found;
  given.check = () => {
    throw new ArgumentsRead();
  };
  given.checkGiven = given.check;
  using signals = new Signals();
  const report = new Report({ json: true, verbose: false });
  const prompter = new Prompter(new LineReader(terminal, () => {}), new Printer({ write: () => {} }));
  const context: Context = {
    report,
    prompter,
    signals,
    signal: signals.abortSignal,
    environment: {},
    commands: COMMANDS,
  };
  await entry.run(given, context).catch((error: unknown) => {
    if (!(error instanceof ArgumentsRead)) throw error;
  });
  return [...given.problems, ...given.missing];
}

function programOf(call: (entry: CliCommand, given: Arguments) => Promise<void> = async () => {}): Command {
  return buildProgram(LOADED, { version: '0.0.0', call, onText: () => {}, onErrorText: () => {} });
}

/** The words of a command line, as a shell would split it. None of the examples has a space within a word. */
function wordsOf(line: string): string[] {
  const [program, ...words] = line.replace(/\\\n/g, '').replace(/ <.*$/, '').trim().split(/\s+/);
  expect(program).toBe('keyprov');
  return words;
}

function helpOf(words: readonly string[]): string {
  let text = '';
  const program = programOf();
  const all = [program, ...program.commands, ...program.commands.flatMap(({ commands }) => commands)];
  for (const command of all) command.configureOutput({ writeOut: (part) => (text += part), getOutHelpWidth: () => 80 });
  expect(() => program.parse([...words, '--help'], { from: 'user' })).toThrow(CommanderError);
  return text;
}

const MANUAL = readFileSync('man/keyprov.1', 'utf8').replaceAll('\\-', '-');
const CLI_PAGE = readFileSync('docs/cli.md', 'utf8');
const SCRIPTING_PAGE = readFileSync('docs/scripting.md', 'utf8');
/** Options that only the scripts of `keyprov completion` use. */
const FOR_SCRIPTS: ReadonlySet<string> = new Set(['--stored', '--store']);

/** Options that collect several values without saying so in their help. */
const COLLECTING: ReadonlySet<string> = new Set(['--policy', '--policy-for', '--tpm-auth']);

/** The options that a text names. */
const wordsIn = (text: string): Set<string> => new Set(text.match(/--[a-z]+(?:-[a-z]+)*/g));

const subcommand = (parent: Command, word: string): Command =>
  parent.commands.find((command) => command.name() === word) ?? expect.fail(`no command ${word}`);

describe.each(LOADED.map(({ name, command }) => [name, command] as const))('keyprov %s', (name, entry) => {
  const help = helpOf(name.split(' '));

  it('has a help of one screen of 50 lines', () => {
    expect(help.trimEnd().split('\n').length).toBeLessThanOrEqual(50);
  });

  it('has all options in its help and its manual page, and docs/cli.md has no others', () => {
    const options = name
      .split(' ')
      .reduce(subcommand, programOf())
      .options.flatMap(({ long }) => long ?? []);
    const known = options.filter((option) => !FOR_SCRIPTS.has(option) || name !== 'completion');
    const missing = (text: string) => known.filter((option) => !wordsIn(text).has(option));
    const section = MANUAL.split('\n.SS ').find((part) => part.startsWith(`keyprov ${name}\n`)) ?? '';
    expect({ help: missing(help), manual: missing(section) }).toEqual({ help: [], manual: [] });
    const [, own = ''] = CLI_PAGE.split(new RegExp(`^## \`keyprov ${name}\\b.*$`, 'm'));
    const rows = [...(own.split('\n## ')[0] ?? '').matchAll(/^\| (`--[^|]*)/gm)].map(([, cell = '']) => cell);
    expect(own).not.toBe('');
    expect([...wordsIn(rows.join('\n'))].filter((option) => !options.includes(option))).toEqual([]);
  });

  it('ends its help with two or three examples', () => {
    expect([2, 3]).toContain(entry.examples.length);
    expect(help.trimEnd()).toMatch(new RegExp(`\nExamples:\n {2}keyprov ${name} `.trimEnd()));
    for (const example of entry.examples) expect(example).toMatch(new RegExp(`^keyprov ${name}\\b`));
  });

  it.each(entry.examples)('accepts its example %s', async (example) => {
    const problems = await problemsOf(wordsOf(example));
    // The files of an example are not there.
    expect(problems.filter((problem) => !problem.includes(' does not exist'))).toEqual([]);
  });

  it('accepts two values only for an option that collects them', async () => {
    const command = name.split(' ').reduce(subcommand, programOf());
    for (const { long, flags, description } of command.options) {
      if (long == null || !flags.includes('<')) continue;
      const twice = (second: string) => problemsOf([...name.split(' '), `${long}=first`, `${long}=${second}`]);
      const refusal = `${long} is used 2 times with different values; use it once`;
      const collects = /repeat/.test(description) || COLLECTING.has(long);
      expect((await twice('second')).includes(refusal)).toBe(!collects);
      expect(await twice('first')).not.toContain(refusal);
    }
  });

  it('has the options that it demands in its usage line, and no other', async () => {
    const [usage = ''] = help.split('\n');
    const shown = [...usage.matchAll(/--([a-z-]+) </g)].map(([, option]) => option);
    const demanded = (await problemsOf(name.split(' '))).flatMap(
      (problem) => /^--([a-z-]+) is missing(?:$|: it is one of )/.exec(problem)?.[1] ?? [],
    );
    expect(shown.sort()).toEqual(demanded.sort());
  });
});

describe('keyprov sync-status', () => {
  const graph = ['--graph-url', 'https://graph.test', '--proxy', 'http://proxy.test'];
  const ldap = ['--ldap', 'ldaps://x', '--ldap-base', 'dc=x', '--ldap-bind-dn', 'cn=x', '--ldap-password-file', '-'];

  it.each([
    ['no directory', [...graph], 'works only with --graph-token-command'],
    ['the directory on premises', [...ldap, ...graph], 'cannot be used with --ldap'],
  ])('refuses options of Graph with %s', async (_, words, why) => {
    expect(await problemsOf(['sync-status', ...words])).toEqual([`--graph-url ${why}`, `--proxy ${why}`]);
  });

  it('refuses the seconds between tries if it does not try again', async () => {
    const words = ['sync-status', ...ldap, '--poll-seconds', '5'];
    expect(await problemsOf(words)).toEqual(['--poll-seconds works only with --wait']);
    expect(await problemsOf([...words, '--wait'])).toEqual([]);
    expect(await problemsOf(['sync-status', '--graph-token-command', 'x', ...graph])).toEqual([]);
  });
});

describe.each(['request', 'attest'])('keyprov %s', (name) => {
  it('offers only options that one of its formats uses', async () => {
    const command = subcommand(programOf(), name);
    const format = command.options.find(({ long }) => long === '--format');
    if (!(format instanceof ValueOption)) throw new Error('--format takes no value');
    const words = command.options.flatMap(({ long, flags }) => (flags.includes('<') ? [`${long}=00`] : []));
    const refusals: string[][] = [];
    for (const one of format.suggestions) {
      const others = words.filter((word) => word !== '--format=00');
      const problems = await problemsOf([name, ...others, '--format', one]);
      refusals.push(problems.filter((problem) => problem.endsWith(` cannot be used with --format ${one}`)));
    }
    const optionOf = (problem: string) => problem.split(' ')[0];
    const [first = [], ...others] = refusals.map((problems) => new Set(problems.map(optionOf)));
    expect([...first].filter((one) => others.every((refused) => refused.has(one)))).toEqual([]);
    expect(first).toContain('--token');
  });
});

describe('keyprov', () => {
  it('has a help of one screen of 50 lines, too', () => {
    expect(helpOf([]).trimEnd().split('\n').length).toBeLessThanOrEqual(50);
  });

  it('has every option that docs/cli.md and docs/scripting.md name', () => {
    const commands = programOf().commands.flatMap((command) => [command, ...command.commands]);
    const known = new Set([
      '--help',
      '--version',
      ...commands.flatMap(({ options }) => options.map(({ long }) => long)),
    ]);
    expect([...wordsIn(CLI_PAGE + SCRIPTING_PAGE)].filter((option) => !known.has(option))).toEqual([]);
  });

  it('has an option of one name for one thing: a value, or none', () => {
    const forms = new Map<string, Set<string>>();
    for (const command of programOf().commands) {
      for (const { long, flags } of command.options) {
        if (long) forms.set(long, (forms.get(long) ?? new Set()).add(flags.replace('<dir>', '<file>')));
      }
    }
    expect([...forms].filter(([, flags]) => flags.size > 1)).toEqual([]);
  });

  it('marks required options', () => {
    const sign = programOf().commands.find((command) => command.name() === 'sign');
    expect(sign?.options.filter(isRequiredOption).map(({ long }) => long)).toContain('--in');
  });

  it('has help as a word before a command, too', () => {
    expect(helpLast(['help', 'policy', 'explain'])).toEqual(['policy', 'explain', '--help']);
    expect(helpLast(['help'])).toEqual(['--help']);
    expect(helpLast(['sign', 'help'])).toEqual(['sign', 'help']);
  });
});
