import { join } from 'node:path';
import type { Command } from 'commander';
import { type AttestationStatement, type Tier, verifyEvidence, verifyStatement } from '../../attestation/index.ts';
import { toHex } from '../../bytes.ts';
import { encodeSpki } from '../../crypto/public-key.ts';
import { KeyprovError } from '../../errors.ts';
import type { Finding } from '../../finding.ts';
import { decode } from '../../tpm/codec/index.ts';
import { objectName } from '../../tpm/names.ts';
import { TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { exists } from '../file-io.ts';
import type { Arguments } from '../options/arguments.ts';
import { type KeyArguments, keyChoiceOptions, readKeyChoice } from '../options/key-option.ts';
import { makerAdvice, makerOption, readMakers } from '../options/maker-option.ts';
import { readRoots } from '../options/roots-option.ts';
import { openExistingStore } from '../options/store-option.ts';
import { requiredOption, valueOption } from '../options/value-option.ts';
import { findMeantKey } from '../stored-key.ts';
import type { Outcome } from '../terminal/report.ts';
import { readStatement } from './request.ts';

/** `keyprov verify`. */
export const verifyCommand: CliCommand = {
  examples: [
    'keyprov verify --store key --challenge c0ffee',
    'keyprov verify --in attestation.json --challenge c0ffee --all',
    'keyprov verify --store key --challenge c0ffee --ak-roots attestation-ca.pem',
  ],
  define,
  run: runVerify,
};

function define(command: Command): void {
  command
    .description(
      "verify a key's attestation: attestation.json in the store, or the file given with --in; without --ak-roots, trust the " +
        'attestation key in the statement; with --store or an option that selects a key, require a statement about that key',
    )
    .addOption(requiredOption('--challenge <hex>', 'challenge that the key was attested over'))
    .addOption(valueOption('--in <file>', 'statement, - for standard input (default: attestation.json in the store)'))
    .addOption(valueOption('--ak-roots <path>', 'attestation CA certificates: PEM, DER or a directory'))
    .addOption(makerOption())
    .option('--accept-ek-purpose', 'accept AK certificates whose purpose is EK or missing')
    .option('--all', 'also show the checks that passed');
  for (const option of keyChoiceOptions()) command.addOption(option);
}

const CAVEAT =
  'Not checked: whether the attestation key in the statement is in a TPM. ' +
  'To check this, verify its certificate with --ak-roots, or have its TPM activate a credential.';

/** The outcome of all checks, with the tier that a good certificate of the attestation key proves. */
interface Verdict {
  readonly ok: boolean;
  readonly findings: readonly Finding[];
  readonly tier?: Tier | undefined;
}

async function runVerify(given: Arguments, context: Context): Promise<Outcome> {
  given.required('challenge');
  const challenge = given.hex('challenge', 64) ?? new Uint8Array(0);
  const [file, path] = [given.text('in'), given.text('ak-roots')];
  const choice = readKeyChoice(given);
  const allowedManufacturers = readMakers(given);
  if (path === undefined) given.refuse(['accept-ek-purpose', 'allow-maker'], 'works only with --ak-roots');
  given.check();
  const all = given.has('all');
  const namesKey = ['store', 'user', 'device-id', 'key'].some((name) => given.isThere(name));
  const { statement, expected } =
    file !== undefined && !namesKey
      ? { statement: await readStatement(file, context.signal), expected: undefined }
      : await ofStore(file, choice, given, context);
  const expectations = { challenge, expectedKey: expected && { spki: expected } };
  if (path === undefined) {
    const attestationKey = { pubArea: statement.ak.pubArea };
    return outcomeOf(statement, verifyStatement(statement, { ...expectations, attestationKey }), {
      all,
      caveat: CAVEAT,
    });
  }
  const { roots: akRoots, intermediates } = await readRoots(path, '--ak-roots', context);
  const acceptEkPurpose = given.has('accept-ek-purpose');
  const trust = { akRoots, intermediates, allowedManufacturers, acceptEkPurpose, minTier: 'virtual' } as const;
  return outcomeOf(statement, await verifyEvidence(statement, { ...expectations, ...trust }), { all });
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
      remedy:
        record.backend === 'software'
          ? 'a software key cannot be attested; make a key in a TPM'
          : 'pass a statement with --in; keyprov attest --format statement makes one',
    });
  }
  return { statement: await readStatement(path, context.signal), expected: encodeSpki(record.publicKey) };
}

/** The verdict comes first; then each check that did not pass, or with `all` each check. */
function outcomeOf(
  statement: AttestationStatement,
  { ok, findings, tier }: Verdict,
  { all, caveat }: { readonly all: boolean; readonly caveat?: string },
): Outcome {
  const akName = toHex(objectName(decode(TPMT_PUBLIC, statement.ak.pubArea)));
  const keyName = toHex(objectName(decode(TPMT_PUBLIC, statement.pubArea)));
  const passed = findings.filter(({ status }) => status === 'pass').length;
  const shown = all ? findings : findings.filter(({ status }) => status !== 'pass');
  const hint = all ? '' : '; --all shows them';
  const note = ok ? caveat : undefined;
  const lines = [
    `${ok ? 'verified' : 'NOT verified'}: ${passed} of ${findings.length} checks passed${hint}`,
    ...shown.map(({ id, status, detail }) => `${status.padEnd(8)} ${id}: ${detail}`),
    ...makerAdvice(findings),
    '',
    `key              Name ${keyName}`,
    `attestation key  Name ${akName}`,
    ...(tier === undefined ? [] : [`tier             ${tier}`]),
    ...(note === undefined ? [] : [note]),
  ];
  return {
    exitCode: ok ? EXIT.done : EXIT.unverified,
    lines,
    json: {
      ...(!ok && { error: { code: 'not-verified', message: 'the statement does not verify' } }),
      ...{ findings, keyName, akName, tier, caveat: note },
    },
  };
}
