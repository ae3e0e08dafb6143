import { checkObject } from '../bytes.ts';
import { PolicyError, type PolicyProblem } from '../errors/policy-error.ts';
import { PIN_CLASSES, PIN_NUMBERS } from './pin-policy.ts';
import type { PolicyLayer } from './policy-layer.ts';
import { readLayer } from './read-settings.ts';
import { isWindowsSettingName, WINDOWS_SETTING_NAMES, WINDOWS_SETTINGS } from './windows-settings.ts';
import { didYouMean, settingsOf } from './wording.ts';

const PREFIX = 'KEYPROV_POLICY_';

/** The place of a value in the settings of a layer. */
interface Place {
  readonly group: 'own' | 'pin' | 'windows';
  readonly name: string;
}

const PLACES: readonly Place[] = [
  ...['hardware', 'virtualTpm', 'algorithm', 'allowedAlgorithms', 'attestation'].map(
    (name) => ({ group: 'own', name }) as const,
  ),
  ...[...PIN_NUMBERS, ...PIN_CLASSES, 'numericOnlyStrict'].map((name) => ({ group: 'pin', name }) as const),
  ...WINDOWS_SETTING_NAMES.filter((name) => !name.startsWith('PINComplexity/')).map(
    (name) => ({ group: 'windows', name }) as const,
  ),
];

/** `pin.minLength` is `KEYPROV_POLICY_PIN_MIN_LENGTH`, `ExcludeSecurityDevices/TPM12` ends in `_DEVICES_TPM12`. */
function variableOf({ group, name }: Place): string {
  const words = `${group === 'pin' ? 'pin_' : ''}${name}`.replace(/([a-z])(?=[A-Z])/g, '$1_').replace('/', '_');
  return PREFIX + words.toUpperCase();
}

const VARIABLES: ReadonlyMap<string, Place> = new Map(PLACES.map((place) => [variableOf(place), place]));

/** The variables that {@link layerFromEnvironment} reads: for this library's own settings, the PIN's and Windows'. */
export const ENVIRONMENT_VARIABLES: readonly string[] = Object.freeze([...VARIABLES.keys()]);

/**
 * Makes a layer from the variables in an environment (such as `process.env`) whose names begin with `KEYPROV_POLICY_`.
 * An empty value counts as not set. Returns `undefined` if there are no variables.
 * @throws PolicyError that lists every unknown variable and every wrong value.
 */
export function layerFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): PolicyLayer | undefined {
  checkObject(environment, 'the environment');
  const problems: PolicyProblem[] = [];
  const groups: Record<Place['group'], [string, unknown][]> = { own: [], pin: [], windows: [] };
  const given = [...settingsOf(environment, ENVIRONMENT_VARIABLES)].flatMap(([name, text]): [string, string][] =>
    name.startsWith(PREFIX) && typeof text === 'string' && text !== '' ? [[name, text]] : [],
  );
  if (given.length === 0) return undefined;
  for (const [variable, text] of given) {
    const place = VARIABLES.get(variable);
    if (place !== undefined) groups[place.group].push([place.name, fromText(place, text)]);
    else {
      const problem = `unknown setting${didYouMean(variable, ENVIRONMENT_VARIABLES)}`;
      problems.push({ setting: variable, problem, expected: 'one of the variables in docs/policy-sources.md' });
    }
  }
  const { own, ...others } = groups;
  const nested = Object.entries(others).map(([group, entries]) => [group, Object.fromEntries(entries)]);
  try {
    const layer = readLayer(Object.fromEntries([...own, ...nested]), {
      source: 'environment',
      scope: 'machine',
      origin: 'environment',
    });
    if (problems.length === 0) return layer;
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    problems.push(...error.problems.map((problem) => ({ ...problem, setting: variableNamed(problem.setting) })));
  }
  throw new PolicyError(problems);
}

/** Converts the text of a variable to a value; returns an invalid text unchanged, to be refused later. */
function fromText({ group, name }: Place, text: string): unknown {
  if (name === 'allowedAlgorithms') return text.split(',').map((item) => item.trim());
  if (group === 'pin' && PIN_NUMBERS.some((number) => number === name)) {
    return /^\d{1,9}$/.test(text) ? Number(text) : text;
  }
  const isBoolean =
    name === 'numericOnlyStrict' || (isWindowsSettingName(name) && WINDOWS_SETTINGS[name].kind === 'boolean');
  return isBoolean && /^(?:true|false)$/i.test(text) ? text.toLowerCase() === 'true' : text;
}

/**
 * The variable of a setting as problems name it: `pin.minLength`, `allowedAlgorithms[1]`, `windows.EnablePinRecovery`.
 */
function variableNamed(setting: string): string {
  const name = setting.replace(/^(?:pin|windows)\./, '').replace(/\[\d+\]$/, '');
  const place = PLACES.find((candidate) => candidate.name === name);
  return place === undefined ? setting : variableOf(place);
}
