#!/usr/bin/env node
import { CommanderError } from 'commander';
import manifest from '../../package.json' with { type: 'json' };
import { nearest } from '../nearest.ts';
import { STUCK } from '../signal.ts';
import type { Context } from './command.ts';
import { COMMANDS } from './commands/index.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { UsageError } from './options/arguments.ts';
import { buildProgram, helpLast, loadNamed } from './program.ts';
import { LineReader } from './terminal/line-reader.ts';
import { Output } from './terminal/output.ts';
import { Printer } from './terminal/printer.ts';
import { Prompter } from './terminal/prompter.ts';
import { Report } from './terminal/report.ts';
import { endAtOnce, Signals } from './terminal/signals.ts';

// Before a command is known, options count anywhere.
const wants = (option: string): boolean => process.argv.includes(option);
const report = new Report({ json: wants('--json'), verbose: wants('--verbose') });
const output = new Output();
const signals = new Signals();
const reader = new LineReader(process.stdin, () => process.emit('SIGINT', 'SIGINT'));
const prompter = new Prompter(reader, new Printer(process.stderr));
const context: Context = {
  ...{ report, prompter, signal: signals.abortSignal, signals },
  ...{ environment: process.env, commands: COMMANDS },
};

/** In the words of all other messages. */
function sayParserError({ message, code }: CommanderError): string {
  const said = message.replace(/^error: /, '');
  if (code === 'commander.unknownOption') return `${said}; the options of a command follow its name`;
  const [, word = ''] = code === 'commander.unknownCommand' ? said.split("'") : [];
  const names = COMMANDS.flatMap(({ name }) => name.split(' '));
  const meant = nearest(word, names);
  return meant === undefined ? said : `${said}, did you mean ${meant}?`;
}

/** Help, or the version. */
let text = '';
const add = (part: string): void => {
  text += part;
};
const words = helpLast(process.argv.slice(2));
const program = buildProgram(await loadNamed(COMMANDS, words), {
  version: manifest.version,
  call: async ({ run, silent }, given, name) => {
    report.command = `keyprov ${name}`;
    report.repeat(given);
    // If the options are wrong, it is not known which of them are those of the command.
    if (given.problems.length === 0) report.speak({ json: given.has('json'), verbose: given.has('verbose') });
    const outcome = await run(given, context);
    // From here signals must end the process, even if nobody reads its output.
    signals[Symbol.dispose]();
    if (!silent) report.finish(outcome);
    process.exitCode = outcome.exitCode;
  },
  signal: signals.abortSignal,
  onText: add,
  onErrorText: add,
});

try {
  await program.parseAsync(words, { from: 'user' });
} catch (error) {
  await signals.cleanedUp();
  signals[Symbol.dispose]();
  if (!(error instanceof CommanderError)) {
    report.fail(error);
    prompter.close();
    await signals.endIfAborted();
    process.exitCode = exitCodeOf(error);
  } else if (error.code === 'commander.help') {
    report.help(text);
    process.exitCode = EXIT.usage;
  } else if (error.exitCode !== 0) {
    report.fail(new UsageError([sayParserError(error)]));
    process.exitCode = EXIT.usage;
  } else if (error.code === 'commander.version' && wants('--json')) {
    const { readVersions } = await import('./versions.ts');
    report.finish({ exitCode: EXIT.done, lines: [], json: await readVersions(manifest.version) });
  } else {
    report.answer(text);
  }
} finally {
  prompter.close();
  signals[Symbol.dispose]();
  process.exitCode = (await output.finish()) ?? process.exitCode;
  if (STUCK.size > 0) await endAtOnce();
}
