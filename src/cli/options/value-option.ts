import { Option } from 'commander';

class ValueOption extends Option {
  readonly isRequired: boolean;

  constructor(flags: string, description: string, isRequired: boolean) {
    super(flags, description);
    this.isRequired = isRequired;
    // Arguments reports a missing value: commander would stop at the first problem.
    this.required = false;
    this.optional = true;
  }
}

/** An option that takes a value. */
export function valueOption(flags: string, description: string): Option {
  return new ValueOption(flags, description, false);
}

/** A required option with a value. The usage line shows it. */
export function requiredOption(flags: string, description: string): Option {
  return new ValueOption(flags, description, true);
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
