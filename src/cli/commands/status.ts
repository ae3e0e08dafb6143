import type { Command } from 'commander';
import { isKeyprovError, KeyprovError, sayError } from '../../errors.ts';
import type { KeyStore } from '../../keys/key-store.ts';
import type { PinTryCount } from '../../keys/pin-try-log.ts';
import type { PinChangeReason, PolicyInForce } from '../../policy/index.ts';
import { sayTime } from '../../printable.ts';
import { findKeys, listKeys } from '../../provisioning/find-key.ts';
import { policyProblem } from '../../provisioning/fits-policy.ts';
import { openKey } from '../../provisioning/open-key.ts';
import { pinMustChangeOf, pinRulesFor, readPinState } from '../../provisioning/pin-state.ts';
import { listRuns, type UnfinishedRun } from '../../provisioning/run-journal.ts';
import { shellWord } from '../../storage/shell-word.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT, exitCodeOf } from '../exit-codes.ts';
import { type KeyPlaces, withKeyPlaces } from '../key-places.ts';
import { describePinChange, keyJson, keyLines, type ReportedKey, row } from '../key-report.ts';
import { describePinTries, readPinTries, readTpmTries, type TpmTries } from '../lockout-report.ts';
import type { Arguments } from '../options/arguments.ts';
import { keyOptions, readKeyArguments } from '../options/key-option.ts';
import { openExistingStore } from '../options/store-option.ts';
import { isTpmNamed } from '../options/tpm-option.ts';
import { readYes, yesOption } from '../options/yes-option.ts';
import { PROVISIONING_IS_OFF, provisioningOff } from '../prerequisite-facts.ts';
import { errorToJson, type Outcome } from '../terminal/report.ts';
import { wayOn } from '../terminal/ways-on.ts';

/** `keyprov status`. */
export const statusCommand: CliCommand = {
  examples: [
    'keyprov status --tpm auto',
    'keyprov status --store key --policy gpo.reg --json',
    'keyprov status --store key --reset-pin-tries',
  ],
  define,
  run: runStatus,
};

function define(command: Command): void {
  command.description(
    "show keys, their registrations, their PINs' state, whether the policy allows them, whether the TPM given with --tpm has " +
      'them, and unfinished runs',
  );
  for (const option of keyOptions('all keys', 'none')) command.addOption(option);
  command
    .option('--reset-pin-tries', "set a software key's count of wrong PINs to 0, as after restoring a backup")
    .addOption(yesOption('do not ask; with --reset-pin-tries, required without a terminal'));
}

/** Whether the TPM of a key has proved that it holds it, failed to, or was not asked. */
type Proof =
  | { readonly status: 'proved' | 'not-asked'; readonly detail: string }
  | { readonly status: 'failed'; readonly detail: string; readonly error: KeyprovError };

/** The state of one key. */
interface KeyStatus {
  readonly key: ReportedKey;
  /** When the PIN was set; undefined if that is unknown, or there is no PIN. */
  readonly pinSetAt: string | undefined;
  readonly mustChange: readonly PinChangeReason[];
  /** The wrong PINs of a software key, or why they cannot be read. */
  readonly tries: PinTryCount | KeyprovError | undefined;
  /** Why the policy in force does not allow the key. */
  readonly misfit: KeyprovError | undefined;
  readonly proof: Proof;
}

async function runStatus(given: Arguments, context: Context): Promise<Outcome> {
  const { signal } = context;
  const isAsked = isTpmNamed(given, context);
  const { choice, tpm, inForce } = await readKeyArguments(given, context);
  const resets = given.has('reset-pin-tries');
  if (!resets) given.refuse(['yes'], 'works only with --reset-pin-tries');
  const isSure = resets && readYes(given, context);
  given.check();
  if (provisioningOff(inForce)) context.report.warn(`${PROVISIONING_IS_OFF}; existing keys can still be used`);
  const store = await openExistingStore(given, context);
  if (resets) {
    const { resetPinTries } = await import('./reset-pin-tries.ts');
    return await resetPinTries(store, choice, isSure, context);
  }
  const isChosen = Object.values(choice).some((chosen) => chosen !== undefined);
  const { keys: found, damaged } = isChosen
    ? { keys: await findKeys(store, choice), damaged: [] }
    : await listKeys(store);
  const keys: KeyStatus[] = [];
  const tpmTries = await withKeyPlaces(tpm, store, async (places) => {
    for (const key of found) {
      keys.push(await statusOf(key, store, inForce, isAsked ? places : undefined, signal));
    }
    const isThere = keys.some(({ proof }) => proof.status === 'proved');
    return isThere ? await readTpmTries(await places.tpm({ signal }), { signal }) : undefined;
  });
  const where = `in ${store.directory}`;
  const none = isChosen
    ? `there is no such key ${where}; omit --key, --user and --device-id to see all keys`
    : `there is no key ${where}; make one with keyprov create or keyprov provision`;
  return outcomeOf(keys, damaged, tpmTries, await listRuns(store), store.directory, none);
}

async function statusOf(
  key: ReportedKey,
  store: KeyStore,
  inForce: PolicyInForce,
  places: KeyPlaces | undefined,
  signal: AbortSignal,
): Promise<KeyStatus> {
  const { record } = key;
  return {
    ...{ key, pinSetAt: readPinState(record)?.setAt },
    mustChange: pinMustChangeOf(record, pinRulesFor(record, inForce), Date.now()),
    tries: await readPinTries(store, record).catch(orThrow),
    misfit: policyProblem(record, inForce.policy, { wantsPin: false }),
    proof: await proofOf(key, places, signal),
  };
}

/** For `catch`: an error of keyprov is part of the status. */
function orThrow(error: unknown): KeyprovError {
  if (isKeyprovError(error)) return error;
  throw error;
}

async function proofOf({ record }: ReportedKey, places: KeyPlaces | undefined, signal: AbortSignal): Promise<Proof> {
  const { backend, tpm } = record;
  if (backend === 'software') return { status: 'not-asked', detail: 'not needed: the software key is in the store' };
  if (places === undefined)
    return {
      status: 'not-asked',
      detail: `not checked; to check, pass --tpm ${tpm ? shellWord(tpm.address) : 'ADDRESS'}`,
    };
  try {
    // The TPM stays open for the next key, and is closed with the places.
    const key = await openKey({ record, sources: { tpm: await places.tpm({ signal }) } });
    const proof = await key.prove({ signal });
    return { status: 'proved', detail: `the TPM${'address' in proof ? ` at ${proof.address}` : ''} has the key` };
  } catch (error) {
    signal.throwIfAborted();
    if (!isKeyprovError(error)) throw error;
    // The remedy of `no-tpm` may be to make a TPM, which would not have this key.
    return { status: 'failed', detail: error.code === 'no-tpm' ? error.message : sayError(error), error };
  }
}

function outcomeOf(
  keys: readonly KeyStatus[],
  damaged: readonly KeyprovError[],
  tpmTries: TpmTries | undefined,
  runs: readonly UnfinishedRun[],
  directory: string,
  none: string,
): Outcome {
  const lines = keys.flatMap((status) => [...statusLines(status, tpmTries), '']);
  lines.push(...damaged.map((error) => row('damaged', sayError(error))));
  for (const { state, active } of runs) {
    const what = active ? 'a process is working on it' : 'run keyprov provision again to continue';
    lines.push(
      `unfinished   ${state.user} on ${state.deviceId}, since ${sayTime(state.started)}: ${state.progress.step}; ${what}`,
    );
  }
  const [exitCode, error] = verdict(keys, damaged, tpmTries, runs, none);
  if (error !== undefined) lines.push(error.message);
  if (lines.at(-1) === '') lines.pop();
  return {
    exitCode,
    lines,
    json: {
      ...{ ...(error && { error }), store: directory },
      ...{
        keys: keys.map(statusJson),
        damaged: damaged.map(errorToJson),
        lockout: tpmTries?.lockout ?? null,
        runs: runs.map(runJson),
      },
    },
  };
}

type Verdict = readonly [exitCode: number, error?: { readonly code: string; readonly message: string }];

/** The worst problem decides. `none` says that there is no key. */
function verdict(
  keys: readonly KeyStatus[],
  damaged: readonly KeyprovError[],
  tpmTries: TpmTries | undefined,
  runs: readonly UnfinishedRun[],
  none: string,
): Verdict {
  for (const { key, proof } of keys) {
    if (proof.status !== 'failed') continue;
    const advice = proof.error.code === 'no-tpm' ? `; ${wayOn(proof.error, true)}` : `: ${proof.detail}`;
    const message = `no proof that the TPM has the key ${key.record.id}${advice}`;
    return [exitCodeOf(proof.error), { code: proof.error.code, message }];
  }
  const [lost] = damaged;
  if (lost !== undefined) return [exitCodeOf(lost), { code: lost.code, message: 'a key record cannot be read' }];
  const misfit = keys.find((key) => key.misfit !== undefined)?.misfit;
  if (misfit !== undefined) return [exitCodeOf(misfit), { code: misfit.code, message: sayError(misfit) }];
  if (tpmTries?.lockout.inLockout && keys.some(isTried)) {
    return [EXIT.pin, { code: 'tpm-lockout', message: `the TPM is locked and accepts no PIN: ${tpmTries.end}` }];
  }
  for (const { key, tries } of keys) {
    // A count that cannot be read does not show that anything is wrong with the key.
    if (tries === undefined || isKeyprovError(tries, 'store-io')) continue;
    if (tries instanceof KeyprovError) return [exitCodeOf(tries), { code: tries.code, message: sayError(tries) }];
    if (tries.retryAfterSeconds === 0) continue;
    const message = `the key ${key.record.id} is locked after ${tries.failures} wrong PINs; wait ${tries.retryAfterSeconds} s`;
    return [EXIT.pin, { code: 'key-locked', message }];
  }
  if (keys.some(({ mustChange }) => mustChange.length > 0)) {
    return [EXIT.pin, { code: 'pin-must-change', message: 'a PIN must be changed: keyprov change-pin' }];
  }
  if (runs.length > 0) return [EXIT.pending, { code: 'run-unfinished', message: 'a run is unfinished' }];
  if (keys.length > 0) return [EXIT.done];
  return [EXIT.files, { code: 'key-not-found', message: none }];
}

/** Whether the TPM that was asked counts the wrong PINs of the key. */
const isTried = ({ key, proof }: KeyStatus): boolean => key.record.hasPin && proof.status === 'proved';

function statusLines(status: KeyStatus, tpmTries: TpmTries | undefined): string[] {
  const { key, pinSetAt, mustChange, tries, misfit, proof } = status;
  const pin = mustChange.length > 0 ? describePinChange(mustChange) : 'no change required';
  return [
    ...keyLines(key),
    row(
      'PIN',
      key.record.hasPin ? `set ${pinSetAt === undefined ? 'at an unknown time' : sayTime(pinSetAt)}, ${pin}` : 'none',
    ),
    ...(tpmTries && isTried(status) ? [row('PIN tries', tpmTries.said)] : []),
    ...(tries ? [row('PIN tries', describePinTries(tries))] : []),
    ...(misfit === undefined ? [] : [row('policy', sayError(misfit))]),
    row('proof', `${proof.status === 'failed' ? 'FAILED: ' : ''}${proof.detail}`),
  ];
}

function statusJson({ key, pinSetAt, mustChange, tries, misfit, proof }: KeyStatus): object {
  return {
    ...keyJson(key),
    misfit: misfit === undefined ? null : errorToJson(misfit),
    pin: key.record.hasPin
      ? {
          setAt: pinSetAt,
          mustChange,
          ...(tries && { tries: tries instanceof KeyprovError ? errorToJson(tries) : tries }),
        }
      : null,
    proof: proof.status === 'failed' ? { ...proof, error: errorToJson(proof.error) } : proof,
  };
}

function runJson({ state, active }: UnfinishedRun): object {
  const { id, user, deviceId, service, started, progress } = state;
  return { id, user, deviceId, service, started, step: progress.step, active };
}
