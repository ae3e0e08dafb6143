import { Option } from 'commander';

class ValueOption extends Option {
  readonly isRequired: boolean;

  constructor(flags: string, description: string, isRequired: boolean) {
    super(flags, description);
    this.isRequired = isRequired;
    // A missing value is left to Arguments: commander stops at the first problem.
    this.required = false;
    this.optional = true;
  }
}

/** An option that takes a value. */
export function valueOption(flags: string, description: string): Option {
  return new ValueOption(flags, description, false);
}

/** The same for one that must be there: it stands in the usage line. */
export function requiredOption(flags: string, description: string): Option {
  return new ValueOption(flags, description, true);
}

/** An option that takes a value each time it is given. */
export function repeatableOption(flags: string, description: string): Option {
  return new ValueOption(flags, description, false).argParser((value: string, earlier: unknown) => [
    ...(Array.isArray(earlier) ? earlier : []),
    value,
  ]);
}

/** Whether the option stands in the usage line. */
export function isRequiredOption(option: Option): boolean {
  return option instanceof ValueOption && option.isRequired;
}

/** The option `--open` of commands that show a page. */
export const openOption = (): Option => new Option('--open', 'try to open the page in your browser');
