import { PolicyError, type PolicyProblem, type SettingOrigin } from '../errors/policy-error.ts';
import { checkMembers } from '../known-members.ts';
import type { SignalOptions } from '../signal.ts';
import { readInput } from '../storage/read-input.ts';
import type { PolicySettings } from './define-policy.ts';
import { MERGE_MEMBERS, type MergedPolicy, type MergeOptions, mergePolicy } from './merge-policy.ts';
import { PIN_SETTING_NAMES } from './pin-policy.ts';
import type { NothingKnown, PolicyLayer } from './policy-layer.ts';
import { byRank, type PolicyValue } from './precedence.ts';
import { layerFromEnvironment } from './read-environment.ts';
import { type ReadPolicyFileOptions, readPolicyFile } from './read-policy-file.ts';
import { type LayerSettings, layerOf, readLayer } from './read-settings.ts';

/** A file with settings in any supported format: its path, or its bytes and a name for messages. */
export type PolicyFile = string | { readonly name: string; readonly bytes: Uint8Array };

/** The sources from which to read settings. */
export interface PolicyInForceOptions
  extends MergeOptions,
    SignalOptions,
    Pick<ReadPolicyFileOptions, 'userSid' | 'tenantId'> {
  /** Registry exports, SyncML and JSON files; with the same rank, an earlier one wins. */
  readonly files?: readonly PolicyFile[] | undefined;
  /** Settings that were read earlier. */
  readonly layers?: readonly PolicyLayer[] | undefined;
  /** The program's own settings; everything else takes precedence. */
  readonly settings?: LayerSettings | undefined;
  /** The user's settings, unchecked. They take precedence over files, but not over Windows and the environment. */
  readonly commandLine?: PolicySettings | Readonly<Record<string, unknown>> | undefined;
  /** The environment with variables `KEYPROV_POLICY_…`. Default `process.env`; `{}` for none. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
}

/** A setting without effect that the user should know about. */
export type PolicyWarning =
  /** It is among the settings of a file, but has no effect there. */
  | { readonly kind: 'ignored'; readonly origin: string; readonly setting: string; readonly problem: string }
  /** The file at `origin`, which is also in `setting`, contains no setting that this library knows. */
  | ({ readonly kind: 'nothing-known'; readonly origin: string; readonly setting: string } & NothingKnown)
  /** The command line replaces another value, which is set at `origin`. */
  | {
      readonly kind: 'overrides';
      readonly setting: string;
      readonly value: PolicyValue;
      readonly origin: string;
      readonly overridden: PolicyValue;
    }
  /** The command line sets it, but another source takes precedence. */
  | { readonly kind: 'overridden'; readonly setting: string; readonly value: PolicyValue; readonly reason: string }
  /** It is a length of the PIN that is out of range, or contradicts the other one: both defaults apply. */
  | {
      readonly kind: 'contradictory';
      readonly setting: string;
      readonly value: PolicyValue;
      readonly origin: string;
      readonly reason: string;
    };

/** The policy that results from all sources. */
export interface PolicyInForce extends MergedPolicy {
  readonly warnings: readonly PolicyWarning[];
}

/**
 * Finds the policy in force. Takes each setting from the first source that sets it: Windows, environment, command line,
 * files, program.
 * @throws PolicyError that lists every wrong setting of every source, with its place, including misspelled variables and
 * unreadable files; TypeError for an unknown option or a `userSid` that is not a SID; the reason of `signal`.
 *
 * @example
 * ```ts
 * import { policyInForce } from 'keyprov/policy';
 *
 * const { policy, warnings } = await policyInForce({ files: ['policy.json'], settings: { hardware: 'required' } });
 * console.log(policy.hardware, policy.pin.minLength, warnings);
 * ```
 */
export async function policyInForce(options: PolicyInForceOptions = {}): Promise<PolicyInForce> {
  options = checkMembers(
    'policyInForce',
    options,
    'files:list? layers:objects? settings commandLine environment userSid:text? tenantId:text? signal',
    MERGE_MEMBERS,
  );
  const { files = [], layers: given = [], settings, commandLine, environment = process.env, signal, ...rest } = options;
  const { userSid, tenantId, ...merging } = rest;
  if (userSid !== undefined && !/^S-1-/i.test(userSid))
    throw new TypeError('policyInForce: userSid must be a SID, such as S-1-5-21-1-2-3-1001');
  const problems: PolicyProblem[] = [];
  const warnings: PolicyWarning[] = [];
  const layers: PolicyLayer[] = [...given];
  const collect = (read: () => PolicyLayer | undefined, from?: Omit<SettingOrigin, 'setting'>): void => {
    try {
      const layer = read();
      if (layer !== undefined) layers.push(layer);
    } catch (error) {
      problems.push(...problemsOf(error, from));
    }
  };
  for (const file of files) {
    const name = typeof file === 'string' ? file : file.name;
    try {
      const bytes = typeof file === 'string' ? await readInput(file, { signal }) : file.bytes;
      const reading = readPolicyFile(bytes, { userSid, tenantId, origin: name });
      layers.push(...reading.layers);
      if (reading.nothingKnown)
        warnings.push({ kind: 'nothing-known', origin: name, setting: name, ...reading.nothingKnown });
      warnings.push(
        ...reading.ignored.map(
          ({ setting, problem }) => ({ kind: 'ignored', origin: name, setting, problem }) as const,
        ),
      );
    } catch (error) {
      signal?.throwIfAborted();
      problems.push(
        ...(error instanceof PolicyError ? problemsOf(error, { source: 'file', origin: name }) : [unread(name, error)]),
      );
    }
  }
  // A problem with a variable names it, and so its place.
  collect(() => layerFromEnvironment(environment));
  if (commandLine !== undefined) {
    const from = { source: 'command-line', origin: 'command line' } as const;
    collect(() => readLayer(commandLine, { ...from, scope: 'machine' }), from);
  }
  if (settings !== undefined) {
    collect(() => layerOf(settings), { source: 'object', origin: "the caller's settings" });
  }
  if (problems.length > 0) throw new PolicyError(problems);
  try {
    const merged = mergePolicy(layers, merging);
    return { ...merged, warnings: [...warnings, ...warningsOf(merged)] };
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    const ranked = byRank(layers);
    throw new PolicyError(error.problems.map((problem) => ({ ...problem, from: originsOf(problem, ranked) })));
  }
}

function problemsOf(error: unknown, from: Omit<SettingOrigin, 'setting'> | undefined): PolicyProblem[] {
  if (!(error instanceof PolicyError)) throw error;
  if (from === undefined) return [...error.problems];
  return error.problems.map((problem) => ({ ...problem, from: [{ ...from, setting: problem.setting }] }));
}

function unread(name: string, error: unknown): PolicyProblem {
  const reason = error instanceof Error ? error.message : String(error);
  const problem = reason.startsWith(`${name} `) ? reason.slice(name.length + 1) : `cannot be read: ${reason}`;
  return { setting: name, problem, expected: 'a file with settings' };
}

const LENGTHS: readonly string[] = [PIN_SETTING_NAMES.minLength, PIN_SETTING_NAMES.maxLength];

function warningsOf({ explanation }: MergedPolicy): PolicyWarning[] {
  return explanation.flatMap(({ setting, value, winner, overridden, reason }): PolicyWarning[] => {
    if (setting === 'RequireSecurityDevice') return []; // the same setting as `hardware`
    if (winner === undefined && LENGTHS.includes(setting)) {
      return overridden.slice(0, 1).map(({ layer, value: lost }) => ({
        kind: 'contradictory',
        setting,
        value: lost,
        origin: layer.origin,
        reason,
      }));
    }
    if (winner?.source === 'command-line') {
      return overridden
        .filter((other) => String(other.value) !== String(value))
        .map(({ layer, value: old }) => ({ kind: 'overrides', setting, value, origin: layer.origin, overridden: old }));
    }
    return overridden
      .filter(({ layer }) => layer.source === 'command-line')
      .map(({ value: typed }) => ({ kind: 'overridden', setting, value: typed, reason }));
  });
}

/** The origin of each setting that a problem is about: the first layer that sets it. */
function originsOf({ setting, contradicts = [] }: PolicyProblem, ranked: readonly PolicyLayer[]): SettingOrigin[] {
  return [setting, ...contradicts].flatMap((name) => {
    const layer = ranked.find(({ values }) => namesOf(name).some((candidate) => Object.hasOwn(values, candidate)));
    return layer === undefined ? [] : [{ setting: name, source: layer.source, origin: layer.origin }];
  });
}

/** The names under which a layer can hold a setting. */
function namesOf(setting: string): readonly string[] {
  if (setting === 'hardware') return ['hardware', 'RequireSecurityDevice'];
  return setting.startsWith('pin') ? [...Object.values(PIN_SETTING_NAMES), 'numericOnlyStrict'] : [setting];
}
