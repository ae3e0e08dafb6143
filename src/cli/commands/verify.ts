import type { Command } from 'commander';
import { decodeStatement, verifyStatement } from '../../attestation/index.ts';
import { toHex } from '../../bytes.ts';
import { decodeSpkiPem, encodeSpki } from '../../crypto/public-key.ts';
import { KeyprovError } from '../../errors.ts';
import { decode } from '../../tpm/codec/index.ts';
import { objectName } from '../../tpm/names.ts';
import { TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import type { CliCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { readText } from '../file-io.ts';
import type { Arguments } from '../options/arguments.ts';
import { requiredOption } from '../options/value-option.ts';

import type { Outcome } from '../terminal/report.ts';

/** `keyprov verify`. */
export const verifyCommand: CliCommand = {
  name: 'verify',
  examples: ['keyprov verify --dir key --challenge c0ffee', 'keyprov verify --dir key --challenge c0ffee --json'],
  define,
  run: runVerify,
};

function define(command: Command): void {
  command
    .summary('verify the attestation of a key')
    .description('verify the attestation of a key, with the attestation key that it names')
    .addOption(requiredOption('--dir <dir>', 'the directory that keyprov create wrote'))
    .addOption(requiredOption('--challenge <hex>', 'what the TPM was to attest the key over'));
}

const CAVEAT =
  'The attestation key was taken from the statement: nothing here proves yet that it is one of a TPM. ' +
  'That takes its certificate, or a credential that only its TPM can activate.';

async function runVerify(given: Arguments): Promise<Outcome> {
  const directory = given.required('dir');
  given.required('challenge');
  const challenge = given.hex('challenge', 64);
  given.check();
  const [json, publicPem] = await Promise.all([
    readText(directory, 'attestation.json'),
    readText(directory, 'public.pem'),
  ]);
  if (json === undefined || publicPem === undefined) {
    throw new KeyprovError('key-not-found', `${directory} has no attestation.json and public.pem`, {
      remedy: 'name the directory that keyprov provision wrote for an attested key',
    });
  }
  const statement = decodeStatement(json);
  const { ok, findings } = verifyStatement(statement, {
    challenge: challenge ?? new Uint8Array(0),
    attestationKey: { pubArea: statement.ak.pubArea },
    expectedKey: { spki: encodeSpki(decodeSpkiPem(publicPem)) },
  });
  const akName = toHex(objectName(decode(TPMT_PUBLIC, statement.ak.pubArea)));
  const message = ok ? 'every check has passed' : 'the statement does not verify';
  const lines = [
    ...findings.map(({ check, passed, detail }) => `${passed ? 'passed' : 'FAILED'}  ${check}: ${detail}`),
    '',
    `${message}; the attestation key has the Name ${akName}`,
    CAVEAT,
  ];
  return {
    exitCode: ok ? EXIT.done : EXIT.unverified,
    text: `${lines.join('\n')}\n`,
    json: { ...(!ok && { error: { code: 'not-verified', message } }), findings, akName, caveat: CAVEAT },
  };
}
