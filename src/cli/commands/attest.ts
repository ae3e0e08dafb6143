import type { Command } from 'commander';
import type { CliCommand, Context } from '../command.ts';
import type { Arguments } from '../options/arguments.ts';
import type { Outcome } from '../terminal/report.ts';
import { REQUEST_FORMATS, type RequestFormat, usedBy } from './formats/request-formats.ts';
import { defineFormats, runFormat } from './request.ts';

/** The formats that contain a statement. */
const FORMATS: Readonly<Record<string, RequestFormat>> = Object.fromEntries(
  Object.entries(REQUEST_FORMATS).filter(([, { attests }]) => attests),
);

/** `keyprov attest`. */
export const attestCommand: CliCommand = {
  examples: [
    'keyprov attest --format statement --challenge c0ffee --out attestation.json',
    'keyprov attest --store key --format acme --token abc --account-key account.jwk --attestation-ca https://ca.example',
    'keyprov attest --formats',
  ],
  define,
  run: runAttest,
};

function define(command: Command): void {
  command.description('attest a key over a challenge, and write the statement in any format that contains one');
  defineFormats(command, FORMATS, (option) => option !== 'statement');
}

async function runAttest(given: Arguments, context: Context): Promise<Outcome> {
  const needs = (format: RequestFormat) => {
    const { needs: own = [], extraData } = format;
    return extraData === undefined && usedBy(format).has('challenge') ? [...own, 'challenge' as const] : own;
  };
  return await runFormat(given, context, { formats: FORMATS, needs });
}
