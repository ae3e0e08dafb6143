import type { Command } from 'commander';
import { type Bytes, concatSecrets, fromBase64, toBase64, withSecret } from '../../bytes.ts';
import { KeyprovError } from '../../errors.ts';
import { selectKeyProvider } from '../../keys/select-provider.ts';
import { storeKeyProvider } from '../../keys/store-provider.ts';
import { openTpmKeyProvider } from '../../keys/tpm-provider.ts';
import { enterNewPin } from '../../provisioning/pin-entry.ts';
import type { RecoverPin } from '../../provisioning/pin-recovery.ts';
import { pinRulesFor } from '../../provisioning/pin-state.ts';
import type { RegisteredKey } from '../../provisioning/registration-record.ts';
import { resetPinKeepingKey } from '../../provisioning/reset-pin.ts';
import type { ProvisionOutcome } from '../../provisioning/run.ts';
import { decodeFileText } from '../../text.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { withKeyPlaces } from '../key-places.ts';
import { keyJson } from '../key-report.ts';
import type { Arguments } from '../options/arguments.ts';
import { keyIdOption, readKeyId } from '../options/key-option.ts';
import { openExistingStore } from '../options/store-option.ts';
import { valueOption } from '../options/value-option.ts';
import { readYes, yesOption } from '../options/yes-option.ts';
import { checkRunPrerequisites } from '../prerequisite-facts.ts';
import { type RunArguments, type RunContext, readRunArguments, runOptions, runWith } from '../provision-run.ts';
import { describeRun } from '../run-report.ts';
import { withService } from '../service-connection.ts';
import { checkWithService, findRegisteredKey } from '../stored-key.ts';
import { commandOutput } from '../terminal/command-output.ts';
import { newPinPrompt } from '../terminal/pin-input.ts';
import type { Outcome } from '../terminal/report.ts';
import { NOT_DONE, takeBack } from './unregister.ts';

/** `keyprov reset`. */
export const resetCommand: CliCommand = {
  examples: [
    'keyprov reset --service https://adfs.contoso.com --user ada@contoso.com --device-cert d.pem --device-key d.key',
    'keyprov reset --service https://adfs.contoso.com --user ada@contoso.com --device-cert d.pem --device-key d.key ' +
      '--keep-key --recovery-command ask-recovery',
  ],
  define,
  run: runReset,
};

function define(command: Command): void {
  command.description('replace a key whose PIN is forgotten; with --keep-key, replace only the PIN');
  for (const option of runOptions(valueOption('--user <name>', 'user of the key (default: the only key)')))
    command.addOption(option);
  command
    .addOption(keyIdOption())
    .option('--keep-key', 'keep the key, and reset only its PIN')
    .addOption(valueOption('--recovery-command <cmd>', "command that prints the recovery service's secret"))
    .addOption(yesOption());
}

async function runReset(given: Arguments, context: Context): Promise<Outcome> {
  const { prompter, signal } = context;
  const keepKey = given.has('keep-key');
  const command = given.text('recovery-command');
  if (keepKey && command === undefined) given.missing.push('--recovery-command is missing: --keep-key needs it');
  if (!keepKey) given.refuse(['recovery-command'], 'works only with --keep-key');
  if (keepKey) given.refuse(['no-pin'], 'cannot be used with --keep-key');
  const isSure = keepKey || readYes(given, context);
  const id = readKeyId(given);
  const asked = await readRunArguments(given, context, { ofKey: true });
  given.checkGiven();
  context.report.speakPlainly();
  const run = { ...context, store: await openExistingStore(given, context) };
  const choice = { id, user: asked.user || undefined, deviceId: asked.deviceId || undefined };
  const found = await findRegisteredKey(run.store, choice, context);
  checkWithService(given, found);
  const { user, deviceId } = found.registration;
  const wish = { ...asked, user, deviceId, recovery: asked.recovery && { ...asked.recovery, user } };
  if (keepKey) return await resetKeepingKey(found, command ?? '', wish, run);
  const question = `This removes the key of ${user} on ${deviceId} permanently, and makes a new one.`;
  if (!isSure && !(await prompter.confirm(question, signal))) return NOT_DONE;
  return await replaceKey(found, wish, run);
}

/** Removes nothing if no new key can replace the old one. */
async function replaceKey(found: RegisteredKey, wish: RunArguments, context: RunContext): Promise<Outcome> {
  const { store, report, prompter, signal, environment } = context;
  const { user, service } = wish;
  if (wish.prerequisites === 'check') {
    const prerequisites = await checkRunPrerequisites(
      { ...demandOf(found, wish), ...wish.tpm, store, environment },
      { signal },
    );
    if (prerequisites.result === 'WillNotProvision') {
      return describeRun({ status: 'blocked', prerequisites }, store, report);
    }
  }
  await checkNewKeyCanBeMade(found, wish, context);
  return await withService(service, { user, prompter, signal }, async (connection) =>
    withSecret(await readNewPin(wish, context), async (pin) => {
      await takeBack(found, store, connection.registrar, context);
      const prerequisites = wish.prerequisites === 'skip' ? 'skip' : 'checked';
      const prompt = pin && (async () => concatSecrets(pin));
      // The old key has left the store, but the new one still must not be a silent downgrade.
      const next = { ...wish, prerequisites, prompt, previous: found.record.backend } as const;
      let outcome: ProvisionOutcome | undefined;
      try {
        outcome = await runWith(connection, next, context);
      } finally {
        if (outcome?.status !== 'registered') {
          report.warn('the old key is removed; to get the new one, run keyprov provision instead of keyprov reset');
        }
      }
      return describeRun(outcome, store, report);
    }),
  );
}

/** Selects a provider as the run will. @throws SelectionError if there is none, or none at present. */
async function checkNewKeyCanBeMade(
  { record }: RegisteredKey,
  { tpm, merged: { policy }, hasPin, allowDowngrade, fallBack }: RunArguments,
  { store, signal }: RunContext,
): Promise<void> {
  const { algorithm } = policy;
  const options = { algorithm, hasPin, previous: record.backend, allowDowngrade, fallBack, signal };
  await withKeyPlaces({ ...tpm, create: true }, store, async ({ sources }) => {
    const selection = await selectKeyProvider(policy, sources, options);
    await selection.close();
  });
}

/** Asks for the new PIN before the old key is removed. */
async function readNewPin(wish: RunArguments, { report, prompter, signal }: RunContext): Promise<Bytes | undefined> {
  const { user, hasPin, pinFile: file, merged } = wish;
  if (!hasPin) return undefined;
  return await enterNewPin(newPinPrompt(user, { file, prompter, report }), { policy: merged.policy.pin, signal });
}

/** The demand to check prerequisites for. A key in a TPM needs a successor in a TPM, unless the user allows a downgrade. */
function demandOf({ record }: RegisteredKey, wish: RunArguments): RunArguments & { operation: 'pin-reset' } {
  const { merged, allowDowngrade } = wish;
  const isAMust = (record.backend === 'tpm' && !allowDowngrade) || merged.policy.attestation === 'required';
  const policy = isAMust ? ({ ...merged.policy, hardware: 'required' } as const) : merged.policy;
  return { ...wish, merged: { ...merged, policy }, operation: 'pin-reset' };
}

async function resetKeepingKey(
  found: RegisteredKey,
  command: string,
  wish: RunArguments,
  { store, report, prompter, signal }: RunContext,
): Promise<Outcome> {
  const { tpm: named, merged, user, recovery, pinFile: file } = wish;
  const policy = pinRulesFor(found.record, merged);
  const record = await withKeyPlaces(named, store, async ({ tpm }) => {
    const isInTpm = found.record.backend === 'tpm';
    const provider = isInTpm ? await openTpmKeyProvider(await tpm({ signal }), { signal }) : storeKeyProvider(store);
    return await resetPinKeepingKey(store, found.record.id, {
      ...{ provider, policy, recovery, signal },
      recover: recoverByCommand(command, signal),
      prompt: newPinPrompt(user, { file, prompter, report }),
    });
  });
  return {
    exitCode: EXIT.done,
    lines: [`reset the PIN of ${user}; the key and its registration are the same`],
    json: keyJson({ ...found, record }),
  };
}

/** Passes plain data to the command, with bytes as base64, and reads the secret that it prints. */
function recoverByCommand(command: string, signal: AbortSignal): RecoverPin {
  return async ({ user, keyId, serviceKey, encryptedSecret }) => {
    const bytes = { keyId, serviceKey, encryptedSecret };
    const texts = Object.fromEntries(Object.entries(bytes).map(([name, value]) => [name, toBase64(value)]));
    return await withSecret(
      await commandOutput(command, {
        option: '--recovery-command',
        input: JSON.stringify({ user, ...texts }),
        signal,
      }),
      (output) => readSecret(output),
    );
  };
}

function readSecret(output: Uint8Array): Bytes {
  try {
    return fromBase64((decodeFileText(output) ?? '').trim());
  } catch {
    // The error quotes the text.
    throw new KeyprovError('recovery-unavailable', 'the command given with --recovery-command did not print base64', {
      remedy: 'make it print only the secret',
    });
  }
}
