import type { Command } from 'commander';
import { changeUserPin } from '../../provisioning/change-pin.ts';
import { pinRulesFor } from '../../provisioning/pin-state.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Arguments, UsageError } from '../options/arguments.ts';
import { policyFileOptions, readPolicy } from '../options/policy-option.ts';
import { findKey, keyOptions, openExistingStore, storeOption } from '../options/store-option.ts';
import { readTpmAddress, tpmOption } from '../options/tpm-option.ts';
import { valueOption } from '../options/value-option.ts';
import { readRecovery } from '../provision-run.ts';
import { registrationJson } from '../run-report.ts';
import { newPinPrompt, readCurrentPin } from '../terminal/pin-input.ts';
import type { Outcome } from '../terminal/report.ts';
import { withProvider } from '../use-key.ts';

/** `keyprov change-pin`. */
export const changePinCommand: CliCommand = {
  name: 'change-pin',
  examples: ['keyprov change-pin', 'keyprov change-pin --user ada@contoso.com --pin-file old --new-pin-file new'],
  define,
  run: runChangePin,
};

function define(command: Command): void {
  command
    .summary('change the PIN of a key')
    .description('change the PIN of a registered key; the key and its registration stay the same');
  for (const option of [storeOption(), ...keyOptions(), tpmOption()]) command.addOption(option);
  command
    .addOption(valueOption('--pin-file <file>', 'the PIN that it has, - for a line of standard input'))
    .addOption(valueOption('--new-pin-file <file>', 'the new one, - for a line of standard input'))
    .addOption(valueOption('--recovery-key <file>', 'RSA key of a PIN recovery service, PEM'))
    .option('--force', 'try the PIN even if the TPM locks when it is wrong');
  for (const option of policyFileOptions()) command.addOption(option);
}

async function runChangePin(given: Arguments, context: Context): Promise<Outcome> {
  const { report, prompter, signal } = context;
  const of = { user: given.text('user'), deviceId: given.text('device-id') };
  const [file, newFile] = [given.text('pin-file'), given.text('new-pin-file')];
  const address = readTpmAddress(given, context);
  const merged = await readPolicy(given, context);
  const recovery = await readRecovery(given, '');
  const force = given.has('force');
  given.check();
  if (merged === undefined) throw new UsageError(['no policy']);
  report.speakPlainly();
  const store = await openExistingStore(given, context);
  const found = await findKey(store, of);
  const { user } = found.registration;
  const policy = pinRulesFor(found.record, merged);
  const record = await withProvider(found.record, { store, address, report, signal }, (provider) =>
    changeUserPin(store, found.record.id, {
      ...{ provider, policy, force, signal },
      currentPin: () => readCurrentPin(`The PIN of ${user} now`, { file, prompter, report }, signal),
      prompt: newPinPrompt(user, { file: newFile, prompter, report }),
      ...(recovery && { recovery: { ...recovery, user } }),
    }),
  );
  return {
    exitCode: EXIT.done,
    text: `the PIN of ${user} is changed; key and registration are the same\n`,
    json: registrationJson({ ...found, record }),
  };
}
