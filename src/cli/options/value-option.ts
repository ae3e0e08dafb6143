import { Option } from 'commander';

interface ValueOptionKind {
  readonly isRequired?: boolean;
  readonly isRepeatable?: boolean;
  readonly suggestions?: readonly string[] | undefined;
}

/** An option that takes a value. What the user gives is kept as a list, so that no value gets lost. */
export class ValueOption extends Option {
  readonly isRequired: boolean;
  readonly isRepeatable: boolean;
  readonly suggestions: readonly string[];

  constructor(
    flags: string,
    description: string,
    { isRequired = false, isRepeatable = false, suggestions = [] }: ValueOptionKind,
  ) {
    super(flags, description);
    this.isRequired = isRequired;
    this.isRepeatable = isRepeatable;
    this.suggestions = suggestions;
    // Arguments reports a missing value, which is true for commander: it would stop at the first problem.
    this.required = false;
    this.optional = true;
    this.argParser((value: string, earlier: unknown) => [
      ...(Array.isArray(earlier) ? earlier : earlier === true ? [''] : []),
      value,
    ]);
  }
}

/** An option that takes a value. Completion offers the `suggestions`. */
export function valueOption(flags: string, description: string, suggestions?: readonly string[]): Option {
  return new ValueOption(flags, description, { suggestions });
}

/** A required option with a value. The usage line shows it. */
export function requiredOption(flags: string, description: string, suggestions?: readonly string[]): Option {
  return new ValueOption(flags, description, { isRequired: true, suggestions });
}

/** A repeatable option that takes a value each time. */
export function repeatableOption(flags: string, description: string): Option {
  return new ValueOption(flags, description, { isRepeatable: true });
}

/** Whether the usage line shows the option. */
export function isRequiredOption(option: Option): boolean {
  return option instanceof ValueOption && option.isRequired;
}

/** The option `--open` of commands that show a page. */
export const openOption = (): Option => new Option('--open', 'try to open the page in your browser');

/** The option `--ek-service`. */
export const ekServiceOption = (): Option =>
  new Option('--ek-service', 'ask Intel or AMD for a missing EK certificate');
