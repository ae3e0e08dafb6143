import type { Command } from 'commander';
import { type Bytes, wipe } from '../../bytes.ts';
import { judgePin } from '../../policy/index.ts';
import { pinRulesFor } from '../../provisioning/pin-state.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { keyJson } from '../key-report.ts';
import { type Arguments, UsageError } from '../options/arguments.ts';
import { keyOptions, pinOptions, readKeyArguments } from '../options/key-option.ts';
import { openExistingStore } from '../options/store-option.ts';
import { valueOption } from '../options/value-option.ts';
import { readRecovery } from '../provision-run.ts';
import { withStoredKey } from '../stored-key.ts';
import { readPin } from '../terminal/pin-file.ts';
import { checkUsable, newPinPrompt, readCurrentPin } from '../terminal/pin-input.ts';
import type { Outcome } from '../terminal/report.ts';

/** `keyprov change-pin`. */
export const changePinCommand: CliCommand = {
  examples: ['keyprov change-pin', 'keyprov change-pin --user ada@contoso.com --pin-file old --new-pin-file new'],
  define,
  run: runChangePin,
};

function define(command: Command): void {
  command.description("change a key's PIN; the key and its registration stay the same");
  const pin = pinOptions('file with the current PIN, - for standard input');
  for (const option of [...keyOptions(), ...pin]) command.addOption(option);
  command
    .addOption(valueOption('--new-pin-file <file>', 'file with the new PIN, - for standard input'))
    .addOption(valueOption('--recovery-key <file>', 'public key of a PIN recovery service (RSA, PEM)'));
}

async function runChangePin(given: Arguments, context: Context): Promise<Outcome> {
  const { report, prompter, signal } = context;
  const [file, newFile] = [given.text('pin-file'), given.text('new-pin-file')];
  const wanted = await readKeyArguments(given, context);
  const recovery = await readRecovery(given, '', wanted.inForce);
  const force = given.has('force');
  given.check();
  report.speakPlainly();
  const store = await openExistingStore(given, context);
  return await withStoredKey(store, wanted, context, async ({ key, record, registration }) => {
    const user = registration?.user ?? record.user;
    if (recovery !== undefined && user === undefined) {
      throw new UsageError(['--recovery-key needs a key with a user, but the record has none']);
    }
    const whose = user ?? record.name;
    const policy = pinRulesFor(record, wanted.inForce);
    // A new PIN from a file is judged before the current PIN is tried.
    const newInput = { file: newFile, prompter, report, option: '--new-pin-file' };
    const isThere = newFile !== undefined && newFile !== '-';
    let newPin = isThere ? await readPin(newFile, report, signal) : undefined;
    let pin: Bytes | undefined;
    try {
      if (newPin !== undefined) await judgePin(newPin, policy, { signal });
      await checkUsable(key, file, context);
      pin = await readCurrentPin(`Current PIN of ${whose}`, { file, prompter, report }, signal);
      // Without a terminal the new PIN is in the input, and is there before the current PIN is tried.
      if (newFile !== undefined || !prompter.isTerminal) newPin ??= await readCurrentPin('New PIN', newInput, signal);
      const changed = await key.changePin({
        ...{ pin, policy, force, signal },
        newPin: newPin ?? newPinPrompt(whose, newInput),
        recovery: recovery && { ...recovery, user: whose },
      });
      return {
        exitCode: EXIT.done,
        lines: [
          `changed the PIN of ${whose}; ${registration ? 'the key and its registration are' : 'the key is'} the same`,
        ],
        json: keyJson({ record: changed, registration }),
      };
    } finally {
      wipe(pin);
      wipe(newPin);
    }
  });
}
