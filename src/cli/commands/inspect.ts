import type { Command } from 'commander';
import { FORMATS, inspect, MAX_SIZE, printInspection } from '../../inspect/index.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { readNamed } from '../file-io.ts';
import type { Arguments } from '../options/arguments.ts';
import { valueOption } from '../options/value-option.ts';
import type { Outcome } from '../terminal/report.ts';
import { inspectedAs, MADE_FORMATS, madeAs } from './formats/made-formats.ts';

const NAMES = [...new Set([...FORMATS.map(({ format }) => format), ...Object.keys(MADE_FORMATS)])];

/** `keyprov inspect`. */
export const inspectCommand: CliCommand = {
  examples: [
    'keyprov inspect key.kast',
    'keyprov inspect - --as certificate-request < key.csr',
    'keyprov inspect --formats',
  ],
  define,
  run: runInspect,
};

function define(command: Command): void {
  command
    .description('identify a file and show its contents, in any format and text encoding, without secrets')
    .argument('[file]', 'the file, - for standard input')
    .addOption(valueOption('--as <format>', 'report an error unless the file has this format', NAMES))
    .option('--formats', 'list the known formats');
}

async function runInspect(given: Arguments, { signal }: Context): Promise<Outcome> {
  const name = given.choice('as', NAMES, '--formats');
  const [path = '', ...more] = given.operands;
  const isList = given.has('formats');
  if (!isList && given.problems.length === 0 && (path === '' || more.length > 0))
    given.problems.push('pass one file, or - for standard input');
  given.check();
  if (isList) {
    const formats = FORMATS.map((one) => ({ ...one, madeAs: madeAs(one.format) }));
    const lines = formats.map(({ format, title, madeAs: names }) => {
      const others = names.filter((made) => made !== format).join(', ');
      return `${format.padEnd(28)} ${title}${others && ` (made as ${others})`}`;
    });
    return { exitCode: EXIT.done, lines, json: { formats } };
  }
  const bytes = await readNamed(path, signal, MAX_SIZE);
  const [hint, ...others] = name === undefined ? [] : inspectedAs(name);
  let found = await inspect(bytes, { hint });
  if (others.includes(found.format)) found = await inspect(bytes, { hint: found.format });
  const isExpected = name === undefined || inspectedAs(name).includes(found.format);
  const isRead = isExpected && (found.confidence === 'certain' || found.confidence === 'likely');
  const error = { code: 'not-read', message: [found.title, ...found.problems].join(': ') };
  return {
    exitCode: isRead ? EXIT.done : EXIT.unreadable,
    lines: printInspection(found).trimEnd().split('\n'),
    verbatim: true,
    json: { ...(!isRead && { error }), ...found },
  };
}
