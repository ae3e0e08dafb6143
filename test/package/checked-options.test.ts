import { expect, it } from 'vitest';
import { readFunctionsWithOptions } from './unchecked-options.ts';

/** Functions with options that never reach `checkMembers`, with the reason. */
const REASONS: Readonly<Record<string, string>> = {
  'keyprov: definePolicy(settings)': 'reports every setting that does not exist, in one PolicyError',
  'keyprov: Tpm.run(options)': 'runs for every command, and has no option that protects anything',
  'keyprov/policy: definePinPolicy(settings)': 'reports every rule that does not exist, in one PolicyError',
  'keyprov/policy: layerOf(settings)': 'reports every setting that does not exist, as a problem of the layer',
  'keyprov/windows: dsregcmdProbe(text)': 'text, or a function that returns it',
  'keyprov/testing: addKeyCredential(given)': 'a user and a value, which checkObject checks; the options come after',
  'keyprov/testing: removeKeyCredential(given)': 'a user and a key, which checkObject checks; the options come after',
  'keyprov/testing: withTpm(options)': 'an overload; its implementation checks',
  'keyprov/testing: withTpm(given)': 'takes the options out of its arguments, and checks them',
};

it('a public function with options passes them to checkMembers, which refuses misspelt and wrong ones', () => {
  const { count, unchecked } = readFunctionsWithOptions();
  expect(count).toBeGreaterThan(100);
  expect([...unchecked].sort()).toEqual(Object.keys(REASONS).sort());
});
