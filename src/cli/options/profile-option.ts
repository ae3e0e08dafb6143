import type { Option } from 'commander';
import type { KeyAlgorithm } from '../../policy/index.ts';
import type { Arguments } from './arguments.ts';
import { valueOption } from './value-option.ts';

const PROFILES = ['strict', 'attested'] as const;

/** The option `--profile`. */
export function profileOption(): Option {
  return valueOption('--profile <name>', "request's form: strict or attested", PROFILES);
}

/** Reads the form of the request. Notes a problem if the form does not fit the algorithm. */
export function readProfile(given: Arguments, algorithm: KeyAlgorithm): 'strict' | 'attested' | undefined {
  const profile = given.choice('profile', PROFILES);
  if (profile === 'strict' && algorithm !== 'rsa-2048') {
    given.problems.push(`--profile strict accepts only rsa-2048 keys, not ${algorithm}`);
  }
  return profile;
}
