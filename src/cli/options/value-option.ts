import { Option } from 'commander';
import type { Context } from '../command.ts';
import type { Arguments } from './arguments.ts';

/** An option that takes a value. */
export class ValueOption extends Option {
  readonly isRequired: boolean;
  readonly suggestions: readonly string[];

  constructor(flags: string, description: string, isRequired: boolean, suggestions: readonly string[] = []) {
    super(flags, description);
    this.isRequired = isRequired;
    this.suggestions = suggestions;
    // Arguments reports a missing value: commander would stop at the first problem.
    this.required = false;
    this.optional = true;
  }
}

/** An option that takes a value. Completion offers the `suggestions`. */
export function valueOption(flags: string, description: string, suggestions?: readonly string[]): Option {
  return new ValueOption(flags, description, false, suggestions);
}

/** A required option with a value. The usage line shows it. */
export function requiredOption(flags: string, description: string, suggestions?: readonly string[]): Option {
  return new ValueOption(flags, description, true, suggestions);
}

/** A repeatable option that takes a value each time. */
export function repeatableOption(flags: string, description: string): Option {
  return new ValueOption(flags, description, false).argParser((value: string, earlier: unknown) => [
    ...(Array.isArray(earlier) ? earlier : []),
    value,
  ]);
}

/** Whether the usage line shows the option. */
export function isRequiredOption(option: Option): boolean {
  return option instanceof ValueOption && option.isRequired;
}

/** The option `--open` of commands that show a page. */
export const openOption = (): Option => new Option('--open', 'try to open the page in your browser');

/** The option `--yes`. */
export const yesOption = (): Option => new Option('--yes', 'do not ask; needed if there is no terminal');

/** Whether `--yes` was given. Without a terminal that can be asked, it must be. */
export function readYes(given: Arguments, { prompter }: Pick<Context, 'prompter'>): boolean {
  const isSure = given.has('yes');
  if (!isSure && !prompter.isTerminal) given.problems.push('--yes is missing: there is no terminal to ask in');
  return isSure;
}

/** The option `--ek-service`. */
export const ekServiceOption = (): Option =>
  new Option('--ek-service', 'ask Intel or AMD for a missing EK certificate');
