import type { Command } from 'commander';
import { type Arguments, valueOption } from '../options/arguments.ts';
import { policyOptions } from '../options/policy-option.ts';
import { tpmOption } from '../options/tpm-option.ts';
import { OUTPUT_FILES } from '../output-directory.ts';
import { provisionWithService, runOptions } from '../provision-run.ts';
import type { Prompter } from '../terminal/prompter.ts';
import type { Outcome, Report } from '../terminal/report.ts';
import { provisionFiles } from './create.ts';
import { DEMO_OPTIONS, runDemo } from './demo/demo.ts';

/** Describes `keyprov provision`. */
export function defineProvision(command: Command): void {
  command.description(
    'with --service, give a user a registered key: prerequisites, multi-factor authentication, PIN, key, attestation, ' +
      'registration. Without, make a key, have the TPM attest it, and write its registration request',
  );
  for (const option of [tpmOption(), ...policyOptions()]) command.addOption(option);
  command
    .addOption(
      valueOption('--profile <name>', 'form of the request: strict or attested (default: strict for rsa-2048)'),
    )
    .addOption(valueOption('--user <name>', 'whose key it is'))
    .addOption(valueOption('--device-id <guid>', 'the device that it is made on'))
    .addOption(valueOption('--pin-file <file>', 'the PIN of the key, - for standard input'))
    .option('--allow-downgrade', 'let software take over from a TPM for the same user')
    .option('--json', 'print one JSON object and nothing else');
  command.optionsGroup('With a service:');
  for (const option of runOptions()) command.addOption(option);
  command.option('--no-pin', 'a key without a PIN').option('--skip-prerequisites', 'you have seen to them');
  command.optionsGroup('Without a service:');
  command
    .addOption(valueOption('--challenge <hex>', 'what the TPM attests the key over, 1 to 64 bytes (default: random)'))
    .addOption(
      valueOption('--out <dir>', `directory for ${OUTPUT_FILES.join(', ')}; with --demo for all that it makes`),
    )
    .option('--force', 'replace the files of an earlier run')
    .option('--demo', 'show the whole run against a service and a directory that run in this process');
}

/** Options that belong to one way of provisioning only. */
const ONLY_FILES = ['challenge', 'out', 'force'];

/** Runs `keyprov provision`. */
export async function runProvision(
  given: Arguments,
  report: Report,
  prompter: Prompter,
  signal: AbortSignal,
): Promise<Outcome> {
  if (given.has('demo')) {
    given.refuseOthers(DEMO_OPTIONS, 'has no meaning with --demo');
    return await runDemo(given, report, prompter, signal);
  }
  if (given.isThere('service')) {
    given.refuse(ONLY_FILES, 'has no meaning with --service');
    return await provisionWithService(given, report, prompter, signal);
  }
  given.refuse(
    runOptions()
      .flatMap(({ long }) => long?.slice(2) ?? [])
      .concat('no-pin', 'skip-prerequisites'),
    'has no meaning without --service',
  );
  return await provisionFiles(given, report, signal);
}
