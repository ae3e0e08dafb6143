import { isKeyAlgorithm, KEY_ALGORITHMS, type KeyAlgorithm } from './algorithm.ts';
import { nearest } from './nearest.ts';
import { PolicyError, type PolicyProblem } from './policy-error.ts';

const HARDWARE = ['required', 'preferred', 'discouraged'] as const;
const VIRTUAL_TPM = ['allow', 'refuse'] as const;
const ATTESTATION = ['required', 'preferred', 'none'] as const;
const SETTINGS = ['hardware', 'virtualTpm', 'algorithm', 'allowedAlgorithms', 'attestation'] as const;

/** What may happen when a key is made. Frozen; made by {@link definePolicy} or {@link parsePolicy}. */
export interface Policy {
  /**
   * Where the key may live. `required`: in a TPM or nowhere. `preferred`: in a TPM, in software where there is no
   * usable one. `discouraged`: in software, although there may be a TPM.
   */
  readonly hardware: (typeof HARDWARE)[number];
  /** Whether a TPM that is an emulator or lent by a hypervisor counts as a TPM. */
  readonly virtualTpm: (typeof VIRTUAL_TPM)[number];
  /** The kind of key to make. Always one of `allowedAlgorithms`. */
  readonly algorithm: KeyAlgorithm;
  /** The kinds of key that may be made or used; never empty, each once. */
  readonly allowedAlgorithms: readonly KeyAlgorithm[];
  /** Whether the TPM's proof of the key's home is a must, is made where possible, or is left out. */
  readonly attestation: (typeof ATTESTATION)[number];
}

/** The settings of a {@link Policy} that differ from the defaults. */
export interface PolicySettings {
  /** Default `preferred`. */
  readonly hardware?: Policy['hardware'] | undefined;
  /** Default `allow`: an emulator is opened only when the caller names it, and the result says `virtual`. */
  readonly virtualTpm?: Policy['virtualTpm'] | undefined;
  /** Default `rsa-2048`, or the first of `allowedAlgorithms` where these leave that out. */
  readonly algorithm?: KeyAlgorithm | undefined;
  /** Default: all. */
  readonly allowedAlgorithms?: readonly KeyAlgorithm[] | undefined;
  /** Default `preferred`. */
  readonly attestation?: Policy['attestation'] | undefined;
}

/** Completes `settings` with the defaults. @throws PolicyError that names every wrong setting at once. */
export function definePolicy(settings: PolicySettings = {}): Policy {
  return readPolicy(settings);
}

/**
 * Reads a policy from the text of a JSON file: one object with the settings of {@link PolicySettings}.
 * @throws PolicyError for text that is not JSON and, with every wrong setting named, for a wrong policy.
 */
export function parsePolicy(json: string): Policy {
  let value: unknown;
  try {
    value = JSON.parse(json.replace(/^\uFEFF/, '')); // editors on Windows begin a file with a byte order mark
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PolicyError([{ setting: 'policy', problem: `not JSON: ${reason}`, expected: 'one JSON object' }], {
      cause,
    });
  }
  return readPolicy(value);
}

function readPolicy(value: unknown): Policy {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new PolicyError([{ setting: 'policy', problem: `is ${show(value)}`, expected: 'an object of settings' }]);
  }
  const given = new Map<string, unknown>(Object.entries(value));
  const problems: PolicyProblem[] = [];
  const names: readonly string[] = SETTINGS;
  for (const name of given.keys()) {
    if (names.includes(name)) continue;
    problems.push({
      setting: name,
      problem: `unknown setting${didYouMean(name, SETTINGS)}`,
      expected: anyOf(SETTINGS),
    });
  }

  const choose = <T extends string>(setting: (typeof SETTINGS)[number], choices: readonly T[], fallback: T): T => {
    const wanted = given.get(setting);
    if (wanted === undefined) return fallback;
    const found = choices.find((choice) => choice === wanted);
    if (found === undefined) problems.push(wrongChoice(setting, wanted, choices));
    return found ?? fallback;
  };

  const hardware = choose('hardware', HARDWARE, 'preferred');
  const virtualTpm = choose('virtualTpm', VIRTUAL_TPM, 'allow');
  const attestation = choose('attestation', ATTESTATION, 'preferred');
  const allowedAlgorithms = readAllowed(given.get('allowedAlgorithms'), problems);
  const [first] = allowedAlgorithms;
  const fallback = allowedAlgorithms.includes('rsa-2048') ? 'rsa-2048' : (first ?? 'rsa-2048');
  const algorithm = choose('algorithm', KEY_ALGORITHMS, fallback);

  if (first !== undefined && !allowedAlgorithms.includes(algorithm)) {
    problems.push({
      setting: 'algorithm',
      problem: `'${algorithm}' is not among allowedAlgorithms`,
      expected: anyOf(allowedAlgorithms),
    });
  }
  if (hardware === 'discouraged' && attestation === 'required') {
    problems.push({
      setting: 'attestation',
      problem: "'required' contradicts hardware 'discouraged', since only a TPM can attest a key",
      expected: "attestation 'preferred' or 'none', or hardware 'required' or 'preferred'",
    });
  }
  if (problems.length > 0) throw new PolicyError(problems);
  return Object.freeze({ hardware, virtualTpm, algorithm, allowedAlgorithms, attestation });
}

/** The allowed algorithms, each once; empty, with the reasons added to `problems`, when the setting is wrong. */
function readAllowed(wanted: unknown, problems: PolicyProblem[]): readonly KeyAlgorithm[] {
  if (wanted === undefined) return KEY_ALGORITHMS;
  if (!Array.isArray(wanted) || wanted.length === 0) {
    const problem = Array.isArray(wanted) ? 'allows nothing' : `is ${show(wanted)}`;
    problems.push({ setting: 'allowedAlgorithms', problem, expected: `a list of ${anyOf(KEY_ALGORITHMS)}` });
    return [];
  }
  const items: readonly unknown[] = wanted;
  const wrong = [...items.entries()].filter(([, item]) => !isKeyAlgorithm(item));
  for (const [index, item] of wrong) problems.push(wrongChoice(`allowedAlgorithms[${index}]`, item, KEY_ALGORITHMS));
  return wrong.length > 0 ? [] : Object.freeze([...new Set(items.filter(isKeyAlgorithm))]);
}

function wrongChoice(setting: string, value: unknown, choices: readonly string[]): PolicyProblem {
  const hint = typeof value === 'string' ? didYouMean(value, choices) : '';
  return { setting, problem: `is ${show(value)}${hint}`, expected: anyOf(choices) };
}

function didYouMean(typed: string, names: readonly string[]): string {
  const meant = nearest(typed, names);
  return meant === undefined ? '' : `, did you mean '${meant}'?`;
}

function anyOf(names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join(' | ');
}

/** A short text for a value of any kind. */
function show(value: unknown): string {
  if (typeof value === 'string') return `'${value.length > 40 ? `${value.slice(0, 40)}…` : value}'`;
  if (Array.isArray(value)) return 'a list';
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return String(value);
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
