import type { Command } from 'commander';
import { KeyprovError } from '../../errors.ts';
import { type Arguments, valueOption } from '../options/arguments.ts';
import { certifyWithoutPin } from '../prove-key.ts';
import { warnOfOtherTpm, withTpm } from '../sign-with.ts';
import type { Outcome, Report } from '../terminal/report.ts';
import { REQUEST_FORMATS, type RequestFormat } from './formats/request-formats.ts';
import { defineFormats, type FindStatement, runFormat } from './request.ts';

/** The formats that hold a statement. */
const FORMATS: Readonly<Record<string, RequestFormat>> = Object.fromEntries(
  Object.entries(REQUEST_FORMATS).filter(([, { attests }]) => attests),
);

/** Describes `keyprov attest`. */
export function defineAttest(command: Command): void {
  command.description(
    'have the TPM attest a provisioned key once more, over a new challenge, and write that in any format',
  );
  defineFormats(command, Object.entries(FORMATS));
  command.addOption(valueOption('--challenge <hex>', 'what to attest the key over, 1 to 64 bytes'));
}

/** Runs `keyprov attest`. */
export async function runAttest(given: Arguments, report: Report, signal: AbortSignal): Promise<Outcome> {
  const findStatement: FindStatement = async (input, { extraData }, { address }) => {
    const { key, options } = input;
    if (key.backend !== 'tpm')
      throw new KeyprovError('attestation-unavailable', 'a software key has nothing to attest it');
    const challenge = extraData === undefined ? options.challenge : extraData(input);
    if (challenge === undefined) throw new TypeError('a format without a challenge');
    warnOfOtherTpm(key, address, report);
    return await withTpm(address, { signal }, (tpm) => certifyWithoutPin(tpm, key, challenge, { signal }));
  };
  const needs = ({ needs: own = [], extraData }: RequestFormat) =>
    extraData === undefined ? [...own, 'challenge' as const] : own;
  return await runFormat(given, report, signal, { formats: FORMATS, needs, findStatement });
}
