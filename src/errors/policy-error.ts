import { KeyprovError, type KeyprovErrorOptions, SUBCLASS } from '../errors.ts';
import { printable } from '../printable.ts';

/**
 * The source of a value. `gpo`: Group Policy. `csp`: a device management service, through the PassportForWork CSP.
 * `eas`: Exchange ActiveSync and the DeviceLock CSP. `environment`, `command-line`, `file`, `object`: sources of this
 * library.
 */
export type PolicySource = 'gpo' | 'csp' | 'eas' | 'environment' | 'command-line' | 'file' | 'object';

/** Where a value was set. */
export interface SettingOrigin {
  readonly setting: string;
  readonly source: PolicySource;
  /** For people: a file name, a registry key, `command line`. */
  readonly origin: string;
}

/** One wrong setting of a policy. */
export interface PolicyProblem {
  /** The setting's name as written; `policy` for the entire policy. */
  readonly setting: string;
  /** What is wrong with it, as printable text. */
  readonly problem: string;
  /** What would be valid. */
  readonly expected: string;
  /** Other settings that it contradicts. */
  readonly contradicts?: readonly string[];
  /** Where these settings were found, for the sources that were read. */
  readonly from?: readonly SettingOrigin[];
}

/** Thrown for a policy with invalid settings; lists all of them. */
export class PolicyError extends KeyprovError {
  declare readonly code: 'policy-invalid';
  /** Every invalid setting, in the order found; never empty. */
  readonly problems: readonly PolicyProblem[];

  constructor(problems: readonly PolicyProblem[], options: KeyprovErrorOptions = {}) {
    const lines = problems.map(({ setting, problem, expected, from = [] }) => {
      const where = [...new Set(from.map(({ origin }) => origin))].join(' and ');
      return `${where === '' || where === setting ? '' : `${where}: `}${setting}: ${problem} (expected: ${expected})`;
    });
    super(
      'policy-invalid',
      `the policy is wrong: ${lines.join('; ')}`,
      { remedy: 'correct this', ...options },
      SUBCLASS,
    );
    this.problems = Object.freeze(problems.map((one) => ({ ...one, problem: printable(one.problem) })));
  }
}
