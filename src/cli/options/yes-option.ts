import { Option } from 'commander';
import type { Context } from '../command.ts';
import type { Arguments } from './arguments.ts';

/** The option `--yes`. */
export const yesOption = (help = 'do not ask; required without a terminal'): Option => new Option('--yes', help);

/** Whether `--yes` was given. Without a terminal that can be asked, it must be. */
export function readYes(given: Arguments, { prompter }: Pick<Context, 'prompter'>): boolean {
  const isSure = given.has('yes');
  if (!isSure && !prompter.isTerminal) given.missing.push('--yes is missing: there is no terminal to ask in');
  return isSure;
}
