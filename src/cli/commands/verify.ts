import { join } from 'node:path';
import type { Command } from 'commander';
import { type AttestationStatement, verifyStatement } from '../../attestation/index.ts';
import { toHex } from '../../bytes.ts';
import { encodeSpki } from '../../crypto/public-key.ts';
import { KeyprovError } from '../../errors.ts';
import { decode } from '../../tpm/codec/index.ts';
import { objectName } from '../../tpm/names.ts';
import { TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { exists } from '../file-io.ts';
import type { Arguments } from '../options/arguments.ts';
import { type KeyArguments, keyOptions, readKeyArguments } from '../options/key-option.ts';
import { openExistingStore } from '../options/store-option.ts';
import { requiredOption, valueOption } from '../options/value-option.ts';
import { findMeantKey } from '../stored-key.ts';
import type { Outcome } from '../terminal/report.ts';
import { readStatement } from './request.ts';

/** `keyprov verify`. */
export const verifyCommand: CliCommand = {
  name: 'verify',
  examples: [
    'keyprov verify --store key --challenge c0ffee',
    'keyprov verify --in attestation.json --challenge c0ffee --all',
  ],
  define,
  run: runVerify,
};

function define(command: Command): void {
  command
    .description(
      'verify the attestation of a key, with the attestation key that it names: attestation.json in the store, or a ' +
        'file; with any option that names a key, it must be of that key',
    )
    .addOption(requiredOption('--challenge <hex>', 'challenge the key was attested over'))
    .addOption(valueOption('--in <file>', 'statement (default: attestation.json in the store)'))
    .option('--all', 'show the checks that passed, too');
  for (const option of keyOptions()) command.addOption(option);
}

const CAVEAT =
  'The attestation key comes from the statement itself: this does not prove that it belongs to a TPM. ' +
  'To prove that, verify its certificate, or have its TPM activate a credential.';

async function runVerify(given: Arguments, context: Context): Promise<Outcome> {
  given.required('challenge');
  const challenge = given.hex('challenge', 64);
  const file = given.text('in');
  const { choice } = await readKeyArguments(given, context);
  given.check();
  const all = given.has('all');
  const namesKey = ['store', 'user', 'device-id', 'key'].some((name) => given.isThere(name));
  const over = challenge ?? new Uint8Array(0);
  if (file !== undefined && !namesKey)
    return outcomeOf(await readStatement(file, context.signal), undefined, over, all);
  const { statement, expected } = await ofStore(file, choice, given, context);
  return outcomeOf(statement, expected, over, all);
}

/** The statement of a key in the store, and the key that it must be of. */
async function ofStore(
  file: string | undefined,
  choice: KeyArguments['choice'],
  given: Arguments,
  context: Context,
): Promise<{ readonly statement: AttestationStatement; readonly expected: Uint8Array }> {
  const store = await openExistingStore(given, context);
  const { record } = await findMeantKey(store, choice, context);
  const path = file ?? join(store.directory, 'attestation.json');
  if (file === undefined && !(await exists(path))) {
    throw new KeyprovError('key-not-found', `${store.directory} has no attestation.json`, {
      remedy: 'name a statement with --in: keyprov attest --format statement makes one',
    });
  }
  return { statement: await readStatement(path, context.signal), expected: encodeSpki(record.publicKey) };
}

/** The verdict comes first; then each check that did not pass, or with `all` each check. */
function outcomeOf(
  statement: AttestationStatement,
  expected: Uint8Array | undefined,
  challenge: Uint8Array,
  all: boolean,
): Outcome {
  const { ok, findings } = verifyStatement(statement, {
    challenge,
    attestationKey: { pubArea: statement.ak.pubArea },
    ...(expected !== undefined && { expectedKey: { spki: expected } }),
  });
  const akName = toHex(objectName(decode(TPMT_PUBLIC, statement.ak.pubArea)));
  const keyName = toHex(objectName(decode(TPMT_PUBLIC, statement.pubArea)));
  const passed = findings.filter(({ status }) => status === 'pass').length;
  const shown = all ? findings : findings.filter(({ status }) => status !== 'pass');
  const hint = all ? '' : '; --all shows them';
  const lines = [
    `${ok ? 'verified' : 'NOT verified'}: ${passed} of ${findings.length} checks passed${hint}`,
    ...shown.map(({ id, status, detail }) => `${status.padEnd(8)} ${id}: ${detail}`),
    '',
    `key              Name ${keyName}`,
    `attestation key  Name ${akName}`,
    CAVEAT,
  ];
  return {
    exitCode: ok ? EXIT.done : EXIT.unverified,
    lines,
    json: {
      ...(!ok && { error: { code: 'not-verified', message: 'the statement does not verify' } }),
      findings,
      keyName,
      akName,
      caveat: CAVEAT,
    },
  };
}
