import type { Command } from 'commander';
import { isKeyprovError, KeyprovError, sayError } from '../../errors.ts';
import type { PinChangeReason } from '../../policy/index.ts';
import { pinMustChangeOf, pinRulesFor, readPinState } from '../../provisioning/pin-state.ts';
import { listRegistrations, type RegisteredRecord } from '../../provisioning/registration-record.ts';
import { listRuns, type UnfinishedRun } from '../../provisioning/run-journal.ts';
import type { Tpm } from '../../tpm/tpm.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT, exitCodeOf } from '../exit-codes.ts';
import { type Arguments, UsageError } from '../options/arguments.ts';
import { policyFileOptions, readPolicy } from '../options/policy-option.ts';
import { openExistingStore, storeOption } from '../options/store-option.ts';
import { readTpmAddress, TPM_VARIABLE, tpmOption } from '../options/tpm-option.ts';
import { proveKey } from '../prove-key.ts';
import { registrationJson, registrationLines } from '../run-report.ts';
import { type Place, withTpm } from '../sign-with.ts';
import { errorToJson, type Outcome } from '../terminal/report.ts';

/** `keyprov status`. */
export const statusCommand: CliCommand = {
  name: 'status',
  examples: ['keyprov status', 'keyprov status --tpm auto', 'keyprov status --policy gpo.reg --json'],
  define,
  run: runStatus,
};

function define(command: Command): void {
  command
    .summary('say which keys there are, and how they are')
    .description(
      'say which registered keys there are, whether the TPM that is named has them, whether their PINs must be changed, ' +
        'and which runs are not at their end',
    )
    .addOption(storeOption())
    .addOption(tpmOption());
  for (const option of policyFileOptions()) command.addOption(option);
}

/** Where a key is: its TPM has proved it, could not, or was not asked. */
type Proof =
  | { readonly status: 'proved' | 'not-asked'; readonly detail: string }
  | { readonly status: 'failed'; readonly detail: string; readonly error: KeyprovError };

/** What is to be said about one key. */
interface KeyStatus {
  readonly key: RegisteredRecord;
  /** When the PIN was set; undefined where that was not kept, or there is none. */
  readonly pinSetAt: string | undefined;
  readonly mustChange: readonly PinChangeReason[];
  readonly proof: Proof;
}

async function runStatus(given: Arguments, context: Context): Promise<Outcome> {
  const { signal, environment } = context;
  const isTpmNamed = given.isThere('tpm') || Boolean(environment[TPM_VARIABLE]);
  const address = readTpmAddress(given, context);
  const merged = await readPolicy(given, context);
  given.check();
  if (merged === undefined) throw new UsageError(['no policy']);
  const store = await openExistingStore(given, context);
  const keys: KeyStatus[] = [];
  const prove = async (key: RegisteredRecord, tpm: Tpm | KeyprovError | undefined): Promise<void> => {
    const { record } = key;
    keys.push({
      ...{ key, pinSetAt: readPinState(record)?.setAt },
      mustChange: pinMustChangeOf(record, pinRulesFor(record, merged), Date.now()),
      proof: await proofOf(key, tpm, signal),
    });
  };
  const registered = await listRegistrations(store);
  const isAsked = isTpmNamed && address !== 'none' && registered.some(({ record }) => record.backend === 'tpm');
  await withTpmIf(isAsked, address, signal, async (tpm) => {
    for (const key of registered) await prove(key, tpm);
  });
  return outcomeOf(keys, await listRuns(store), store.directory);
}

/** Hands over the TPM, or why it cannot be opened. */
async function withTpmIf(
  isAsked: boolean,
  address: Place['address'],
  signal: AbortSignal,
  work: (tpm: Tpm | KeyprovError | undefined) => Promise<void>,
): Promise<void> {
  if (!isAsked) return await work(undefined);
  let isOpen = false;
  try {
    await withTpm(address, { signal }, async (tpm) => {
      isOpen = true;
      await work(tpm);
    });
  } catch (error) {
    if (isOpen || !isKeyprovError(error)) throw error;
    await work(error);
  }
}

async function proofOf(
  { record }: RegisteredRecord,
  tpm: Tpm | KeyprovError | undefined,
  signal: AbortSignal,
): Promise<Proof> {
  if (record.backend === 'software') return { status: 'not-asked', detail: 'it is in software, in the store itself' };
  if (tpm === undefined) return { status: 'not-asked', detail: 'no TPM was named' };
  try {
    if (tpm instanceof KeyprovError) throw tpm;
    await proveKey(tpm, record, { signal });
    return { status: 'proved', detail: `the TPM at ${tpm.transport.address} certifies it` };
  } catch (error) {
    signal.throwIfAborted();
    if (!isKeyprovError(error)) throw error;
    return { status: 'failed', detail: sayError(error), error };
  }
}

function outcomeOf(keys: readonly KeyStatus[], runs: readonly UnfinishedRun[], directory: string): Outcome {
  const lines = keys.flatMap((status) => [...keyLines(status), '']);
  for (const { state, active } of runs) {
    const what = active ? 'a process is at it' : 'run keyprov provision again to go on';
    lines.push(
      `unfinished   ${state.user} on ${state.deviceId}, since ${state.started}: ${state.progress.step}; ${what}`,
    );
  }
  const [exitCode, error] = verdict(keys, runs, directory);
  if (error !== undefined) lines.push(error.message);
  return {
    exitCode,
    text: `${lines.join('\n').trimEnd()}\n`,
    json: { ...(error && { error }), store: directory, keys: keys.map(keyJson), runs: runs.map(runJson) },
  };
}

type Verdict = readonly [exitCode: number, error?: { readonly code: string; readonly message: string }];

/** The worst comes first. */
function verdict(keys: readonly KeyStatus[], runs: readonly UnfinishedRun[], directory: string): Verdict {
  for (const { proof } of keys) {
    if (proof.status !== 'failed') continue;
    const message = `a key is not where it should be: ${proof.detail}`;
    return [exitCodeOf(proof.error), { code: proof.error.code, message }];
  }
  if (keys.some(({ mustChange }) => mustChange.length > 0)) {
    return [EXIT.pin, { code: 'pin-must-change', message: 'a PIN must be changed: keyprov change-pin' }];
  }
  if (runs.length > 0) return [EXIT.pending, { code: 'run-unfinished', message: 'a run is not at its end' }];
  if (keys.length > 0) return [EXIT.done];
  return [EXIT.files, { code: 'key-not-found', message: `there is no registered key in ${directory}` }];
}

function keyLines({ key, pinSetAt, mustChange, proof }: KeyStatus): string[] {
  const pin = mustChange.length > 0 ? `must be changed: ${messagesOf(mustChange).join(' ')}` : 'may stay as it is';
  return [
    ...registrationLines(key),
    `${'PIN'.padEnd(12)} ${key.record.hasPin ? `set ${pinSetAt ?? 'at an unknown time'}, ${pin}` : 'none'}`,
    `${'proof'.padEnd(12)} ${proof.status === 'failed' ? 'FAILED: ' : ''}${proof.detail}`,
  ];
}

const messagesOf = (reasons: readonly PinChangeReason[]): string[] => [
  ...new Set(reasons.map(({ message }) => message)),
];

function keyJson({ key, pinSetAt, mustChange, proof }: KeyStatus): object {
  return {
    ...registrationJson(key),
    pin: key.record.hasPin ? { setAt: pinSetAt, mustChange } : null,
    proof: proof.status === 'failed' ? { ...proof, error: errorToJson(proof.error) } : proof,
  };
}

function runJson({ state, active }: UnfinishedRun): object {
  const { id, user, deviceId, service, started, progress } = state;
  return { id, user, deviceId, service, started, step: progress.step, active };
}
