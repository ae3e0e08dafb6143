import { PolicyError, type PolicyProblem } from '../errors/policy-error.ts';
import { isJsonObject, parseJson } from '../json.ts';
import { isKeyAlgorithm, KEY_ALGORITHMS, type KeyAlgorithm } from './algorithm.ts';
import { completePin, type PinPolicy, type PinSettings, readPinSettings } from './pin-policy.ts';
import type { PolicyDocuments } from './windows-settings.ts';
import { anyOf, didYouMean, settingsOf, show } from './wording.ts';

/** The values of `hardware`. */
export const HARDWARE = ['required', 'preferred', 'discouraged'] as const;
/** The values of `virtualTpm`. */
export const VIRTUAL_TPM = ['allow', 'refuse'] as const;
/** The values of `attestation`. */
export const ATTESTATION = ['required', 'preferred', 'none'] as const;
const SETTINGS = ['hardware', 'virtualTpm', 'algorithm', 'allowedAlgorithms', 'attestation', 'pin'] as const;

/** The rules for making a key. Frozen. {@link definePolicy} and {@link parsePolicy} make it. */
export interface Policy {
  /**
   * Where the key may live. `required`: only in a TPM. `preferred`: in a TPM, or in software if no TPM is usable.
   * `discouraged`: in software, even if there is a TPM.
   */
  readonly hardware: (typeof HARDWARE)[number];
  /** Whether an emulator or a hypervisor's TPM counts as a TPM. */
  readonly virtualTpm: (typeof VIRTUAL_TPM)[number];
  /** The algorithm of a new key. Always one of `allowedAlgorithms`. */
  readonly algorithm: KeyAlgorithm;
  /** The algorithms of keys that may be made or used; never empty, without duplicates. */
  readonly allowedAlgorithms: readonly KeyAlgorithm[];
  /**
   * Whether the TPM must attest the key (`required`), attests it if possible (`preferred`), or does not attest it
   * (`none`).
   */
  readonly attestation: (typeof ATTESTATION)[number];
  /** The rules for a new PIN. */
  readonly pin: PinPolicy;
}

/** The settings of a {@link Policy} that differ from the defaults. */
export interface PolicySettings {
  /** Default `preferred`. */
  readonly hardware?: Policy['hardware'] | undefined;
  /** Default `allow`: an emulator is opened only if the caller gives its address, and the result says `virtual`. */
  readonly virtualTpm?: Policy['virtualTpm'] | undefined;
  /** Default `rsa-2048`, or the first of `allowedAlgorithms` if it does not include that. */
  readonly algorithm?: KeyAlgorithm | undefined;
  /** Default: all. */
  readonly allowedAlgorithms?: readonly KeyAlgorithm[] | undefined;
  /** Default `preferred`. */
  readonly attestation?: Policy['attestation'] | undefined;
  /** Default: the defaults of {@link PinSettings}. */
  readonly pin?: PinSettings | undefined;
}

/**
 * Completes `settings` with the defaults. @throws PolicyError that lists every wrong setting.
 *
 * @example
 * ```ts
 * import { definePolicy } from 'keyprov/policy';
 *
 * const policy = definePolicy({ hardware: 'required', virtualTpm: 'refuse', pin: { minLength: 8, history: 5 } });
 * console.log(policy.algorithm); // 'rsa-2048'
 * ```
 */
export function definePolicy(settings: PolicySettings = {}): Policy {
  return readPolicy(settings);
}

/**
 * Reads a policy from the text of a JSON file: one object with the settings of {@link PolicySettings}.
 * @throws PolicyError for text that is not JSON, and for a wrong policy, with every wrong setting.
 */
export function parsePolicy(json: string): Policy {
  return readPolicy(parseSettings(json));
}

/** Reads a JSON text, which may begin with a byte order mark. @throws PolicyError for text that is not JSON. */
export function parseSettings(json: string): unknown {
  if (typeof json !== 'string') throw new TypeError('the policy JSON must be a string');
  const text = json.replace(/^\uFEFF/, ''); // editors on Windows begin a file with a byte order mark
  return parseJson('policy', text, (setting, problem, cause) => {
    return new PolicyError([{ setting, problem, expected: 'one JSON object' }], { cause });
  });
}

function readPolicy(value: unknown): Policy {
  const problems: PolicyProblem[] = [];
  const policy = completePolicy(readSettings(value, problems), 'current', problems);
  if (problems.length > 0) throw new PolicyError(problems);
  return policy;
}

/** The valid settings of a {@link PolicySettings}. */
export type ReadSettings = { -readonly [Name in keyof PolicySettings]: Exclude<PolicySettings[Name], undefined> };

/**
 * Returns the valid ones of the given settings, and adds what is wrong to `problems`. `others` are names that may
 * appear beside them and are read elsewhere. @throws PolicyError if `value` is not an object.
 */
export function readSettings(value: unknown, problems: PolicyProblem[], others: readonly string[] = []): ReadSettings {
  if (!isJsonObject(value)) {
    throw new PolicyError([{ setting: 'policy', problem: `is ${show(value)}`, expected: 'an object of settings' }]);
  }
  const names: readonly string[] = [...SETTINGS, ...others];
  const given = settingsOf(value, names);
  for (const name of given.keys()) {
    if (names.includes(name)) continue;
    problems.push({ setting: name, problem: `unknown setting${didYouMean(name, names)}`, expected: anyOf(names) });
  }
  const choose = <T extends string>(setting: (typeof SETTINGS)[number], choices: readonly T[]): T | undefined => {
    const wanted = given.get(setting);
    const found = choices.find((choice) => choice === wanted);
    if (found === undefined && wanted !== undefined) problems.push(wrongChoice(setting, wanted, choices));
    return found;
  };
  const hardware = choose('hardware', HARDWARE);
  const virtualTpm = choose('virtualTpm', VIRTUAL_TPM);
  const attestation = choose('attestation', ATTESTATION);
  const allowedAlgorithms = readAllowed(given.get('allowedAlgorithms'), problems);
  const algorithm = choose('algorithm', KEY_ALGORITHMS);
  const pin = given.get('pin');
  return {
    ...(hardware && { hardware }),
    ...(virtualTpm && { virtualTpm }),
    ...(attestation && { attestation }),
    ...(allowedAlgorithms && { allowedAlgorithms }),
    ...(algorithm && { algorithm }),
    ...(pin !== undefined && { pin: readPinSettings(pin, problems) }),
  };
}

/** Makes a policy from these settings; adds contradictions between them to `problems`. */
export function completePolicy(settings: ReadSettings, documents: PolicyDocuments, problems: PolicyProblem[]): Policy {
  const {
    hardware = 'preferred',
    virtualTpm = 'allow',
    attestation = 'preferred',
    allowedAlgorithms = KEY_ALGORITHMS,
  } = settings;
  const fallback = allowedAlgorithms.includes('rsa-2048') ? 'rsa-2048' : (allowedAlgorithms[0] ?? 'rsa-2048');
  const { algorithm = fallback } = settings;
  if (!allowedAlgorithms.includes(algorithm)) {
    problems.push({
      setting: 'algorithm',
      problem: `'${algorithm}' is not among allowedAlgorithms`,
      expected: anyOf(allowedAlgorithms),
      contradicts: ['allowedAlgorithms'],
    });
  }
  if (hardware === 'discouraged' && attestation === 'required') {
    problems.push({
      setting: 'attestation',
      problem: "'required' contradicts hardware 'discouraged', since only a TPM can attest a key",
      expected: "attestation 'preferred' or 'none', or hardware 'required' or 'preferred'",
      contradicts: ['hardware'],
    });
  }
  const pin = completePin(settings.pin ?? {}, documents, problems);
  return Object.freeze({ hardware, virtualTpm, algorithm, allowedAlgorithms, attestation, pin });
}

/** The allowed algorithms, each once; undefined if the setting is wrong, with the reasons added to `problems`. */
function readAllowed(wanted: unknown, problems: PolicyProblem[]): readonly KeyAlgorithm[] | undefined {
  if (wanted === undefined) return undefined;
  if (!Array.isArray(wanted) || wanted.length === 0) {
    const problem = Array.isArray(wanted) ? 'allows nothing' : `is ${show(wanted)}`;
    problems.push({ setting: 'allowedAlgorithms', problem, expected: `a list of ${anyOf(KEY_ALGORITHMS)}` });
    return undefined;
  }
  const items: readonly unknown[] = wanted;
  const wrong = [...items.entries()].filter(([, item]) => !isKeyAlgorithm(item));
  for (const [index, item] of wrong) problems.push(wrongChoice(`allowedAlgorithms[${index}]`, item, KEY_ALGORITHMS));
  return wrong.length > 0 ? undefined : Object.freeze([...new Set(items.filter(isKeyAlgorithm))]);
}

function wrongChoice(setting: string, value: unknown, choices: readonly string[]): PolicyProblem {
  const hint = typeof value === 'string' ? didYouMean(value, choices) : '';
  return { setting, problem: `is ${show(value)}${hint}`, expected: anyOf(choices) };
}
