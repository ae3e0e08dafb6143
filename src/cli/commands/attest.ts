import type { Command } from 'commander';
import { SelectionError } from '../../errors/selection-error.ts';
import type { CliCommand, Context } from '../command.ts';
import type { Arguments } from '../options/arguments.ts';
import { valueOption } from '../options/value-option.ts';
import { certifyWithoutPin } from '../prove-key.ts';
import { warnOfOtherTpm, withTpm } from '../sign-with.ts';
import type { Outcome } from '../terminal/report.ts';
import { REQUEST_FORMATS, type RequestFormat } from './formats/request-formats.ts';
import { defineFormats, type FindStatement, runFormat } from './request.ts';

/** The formats that hold a statement. */
const FORMATS: Readonly<Record<string, RequestFormat>> = Object.fromEntries(
  Object.entries(REQUEST_FORMATS).filter(([, { attests }]) => attests),
);

/** `keyprov attest`. */
export const attestCommand: CliCommand = {
  name: 'attest',
  examples: [
    'keyprov attest --dir key --format kast --challenge c0ffee --out key.kast',
    'keyprov attest --dir key --format acme --token abc --account-key account.jwk --ak-certificate ak.pem',
    'keyprov attest --formats',
  ],
  define,
  run: runAttest,
};

function define(command: Command): void {
  command
    .summary('have the TPM attest a key over a new challenge')
    .description('have the TPM attest a key over a new challenge, and write that in any format that holds a statement');
  defineFormats(command);
  command.addOption(valueOption('--challenge <hex>', 'what to attest the key over, 1 to 64 bytes'));
}

async function runAttest(given: Arguments, context: Context): Promise<Outcome> {
  const { report, signal } = context;
  const findStatement: FindStatement = async (input, { extraData }, { address }) => {
    const { key, options } = input;
    if (key.backend !== 'tpm')
      throw new SelectionError('attestation-unavailable', 'a software key has nothing to attest it', []);
    const challenge = extraData === undefined ? options.challenge : extraData(input);
    if (challenge === undefined) throw new TypeError('a format without a challenge');
    warnOfOtherTpm(key, address, report);
    return await withTpm(address, { signal }, (tpm) => certifyWithoutPin(tpm, key, challenge, { signal }));
  };
  const needs = ({ needs: own = [], extraData }: RequestFormat) =>
    extraData === undefined ? [...own, 'challenge' as const] : own;
  return await runFormat(given, context, { formats: FORMATS, needs, findStatement });
}
