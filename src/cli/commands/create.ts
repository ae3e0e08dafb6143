import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Command } from 'commander';
import { encodeStatement } from '../../attestation/index.ts';
import { toBase64, toHex, view, wipe } from '../../bytes.ts';
import { encodeSpkiPem } from '../../crypto/public-key.ts';
import { withCleanup } from '../../errors.ts';
import type { SelectionOptions } from '../../keys/select-provider.ts';
import type { Policy } from '../../policy/index.ts';
import { type ProvisionEvent, type ProvisionedKey, provisionKey } from '../../provisioning/provision-key.ts';
import type { TpmAddress } from '../../tpm/address.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { KeySources } from '../key-sources.ts';
import { type Arguments, UsageError } from '../options/arguments.ts';
import { policyOptions, readFallBack, readPolicy } from '../options/policy-option.ts';
import { GUID } from '../options/service-option.ts';
import { readTpmAddress, tpmOption } from '../options/tpm-option.ts';
import { requiredOption, valueOption } from '../options/value-option.ts';
import { OUTPUT_FILES, type OutputDirectory, type OutputFiles, openOutputDirectory } from '../output-directory.ts';
import { profileOption } from '../provision-run.ts';
import { type RecordContext, readRecord, recordToJson } from '../record.ts';
import { readPin } from '../terminal/pin-file.ts';
import type { Progress } from '../terminal/progress.ts';
import { attemptLines, type Outcome, type Report } from '../terminal/report.ts';

const CHALLENGE_SIZE = 32;

/** `keyprov create`. */
export const createCommand: CliCommand = {
  name: 'create',
  examples: [
    'keyprov create --out key',
    'keyprov create --hardware required --algorithm p-256 --challenge c0ffee --pin-file pin --out key',
    'keyprov create --tpm libtpms:tpm --user ada@contoso.com --out key --json',
  ],
  define,
  run: runCreate,
};

function define(command: Command): void {
  command
    .summary('make a key, its attestation and request')
    .description('make a key, have the TPM attest it, and write its registration request; nothing is sent')
    .addOption(requiredOption('--out <dir>', `directory for ${OUTPUT_FILES.join(', ')}`))
    .addOption(valueOption('--user <name>', 'whose key it is'))
    .addOption(valueOption('--device-id <guid>', 'the device that it is made on'))
    .addOption(tpmOption());
  for (const option of policyOptions()) command.addOption(option);
  command
    .addOption(profileOption())
    .addOption(valueOption('--challenge <hex>', 'what the TPM attests the key over (default: random)'))
    .addOption(valueOption('--pin-file <file>', 'the PIN of the key, - for standard input'))
    .option('--allow-downgrade', 'software may follow a key in a TPM')
    .option('--force', 'replace the files of an earlier run');
}

async function runCreate(given: Arguments, context: Context): Promise<Outcome> {
  const { report, signal } = context;
  const address = readTpmAddress(given, context);
  const merged = await readPolicy(given, context);
  const policy = merged?.policy;
  const fallBack = readFallBack(given);
  const profile = given.choice('profile', ['strict', 'attested']);
  const user = given.text('user');
  const deviceId = given.text('device-id');
  const challenge = given.hex('challenge', 64);
  const pinFile = given.text('pin-file');
  const directory = given.required('out');
  if (deviceId !== undefined && !GUID.test(deviceId)) given.problems.push('--device-id is no GUID');
  if (profile === 'strict' && policy !== undefined && policy.algorithm !== 'rsa-2048') {
    given.problems.push(`--profile strict takes rsa-2048 keys only, not ${policy.algorithm}`);
  }
  given.check();
  if (policy === undefined) throw new UsageError(['no policy']);

  const pin = pinFile === undefined ? undefined : await readPin(pinFile, report, signal);
  try {
    const out = await openOutputDirectory(directory, given.has('force'));
    const allowDowngrade = given.has('allow-downgrade');
    const wish = { address, policy, profile, user, deviceId, pin, allowDowngrade, fallBack };
    try {
      return await provision(out, { ...wish, challenge: challengeOf(challenge, report) }, report, signal);
    } catch (error) {
      return await withCleanup(
        () => Promise.reject(error),
        () => out.discard(),
      );
    }
  } finally {
    wipe(pin);
  }
}

/** What the arguments ask for. */
interface Wish extends Pick<RecordContext, 'user' | 'deviceId' | 'challenge'> {
  readonly address: TpmAddress | 'none';
  readonly policy: Policy;
  readonly profile: 'strict' | 'attested' | undefined;
  readonly pin: Uint8Array | undefined;
  readonly allowDowngrade: boolean;
  readonly fallBack: SelectionOptions['fallBack'];
}

function challengeOf(given: Uint8Array | undefined, report: Report): RecordContext['challenge'] {
  if (given !== undefined) return { bytes: given, origin: 'given' };
  const bytes = view(randomBytes(CHALLENGE_SIZE));
  report.progress.note(`challenge: none was given, this random one is used: ${toHex(bytes)}`);
  return { bytes, origin: 'random' };
}

async function provision(out: OutputDirectory, wish: Wish, report: Report, signal: AbortSignal): Promise<Outcome> {
  const { policy, user, pin, allowDowngrade, fallBack } = wish;
  const { progress } = report;
  const earlier = await readRecord(out.path);
  const previous = sameUser(earlier?.user, user) ? earlier?.backend : undefined;
  const sources = new KeySources(out.store, {
    ...{ address: wish.address, algorithm: policy.algorithm, hasPin: pin !== undefined, progress },
  });
  let made: ProvisionedKey;
  try {
    made = await provisionKey({
      ...{ policy, sources: sources.sources, pin, previous, allowDowngrade, fallBack, signal },
      challenge: wish.challenge.bytes,
      ...(wish.profile !== undefined && { profile: wish.profile }),
      onEvent: (event) => showEvent(event, progress),
    });
  } finally {
    sources.wipe();
  }
  const tpm = made.record.backend === 'tpm' ? sources.tpm : undefined;
  const record = recordToJson(made, { ...wish, created: new Date(), tpm });
  progress.begin('files', `writing to ${out.path}`);
  const files = filesOf(made, record);
  await out.write(files, signal);
  progress.end(`in ${out.path}`);

  if (made.fellBack)
    report.warn(`software made the key: ${attemptLines(made.record.attempts.slice(0, -1)).join('; ')}`);
  const { attestation } = made;
  if (made.record.backend === 'tpm' && wish.address !== 'none' && isInMemory(wish.address)) {
    report.warn('the key is of no more use: its TPM was in memory only; give --tpm libtpms:DIR to keep it');
  }
  if (attestation.status === 'none' && made.record.backend === 'tpm' && policy.attestation !== 'none') {
    report.warn(`the key is not attested: ${attestation.reason}`);
  }
  const paths = Object.fromEntries(Object.keys(files).map((name) => [name, join(out.path, name)]));
  return { exitCode: EXIT.done, text: summary(made, out.path), json: { ...record, directory: out.path, files: paths } };
}

const isInMemory = (address: TpmAddress): boolean => address.kind === 'libtpms' && address.directory === undefined;

/** Names of users are the same whatever their case. */
const sameUser = (a: string | undefined, b: string | undefined): boolean => a?.toLowerCase() === b?.toLowerCase();

function showEvent(event: ProvisionEvent, progress: Progress): void {
  if (event.type === 'end') progress.end(event.detail);
  else if (event.step === 'attestation') progress.begin(event.step, 'certifying the key over the challenge');
  else if (event.step === 'request') progress.begin(event.step, 'building the body');
}

function filesOf({ record: key, attestation, request }: ProvisionedKey, record: object): OutputFiles {
  const json = (value: object) => `${JSON.stringify(value, undefined, 2)}\n`;
  return {
    'request.json': request.body,
    ...(attestation.status === 'made' && { 'attestation.json': json(encodeStatement(attestation.statement)) }),
    'key.pem': key.privateKey,
    'public.pem': encodeSpkiPem(key.publicKey),
    'record.json': json(record),
  };
}

function summary({ record: key, keyId, attestation, request }: ProvisionedKey, path: string): string {
  const where = { hardware: 'in a TPM', virtual: 'in a virtual TPM', software: 'in software' }[key.assurance];
  const lines = [
    ['key', `${key.algorithm} ${where}${key.hasPin ? ', with a PIN' : ''}`],
    ['key ID', toBase64(keyId)],
    ['attestation', attestation.status === 'made' ? 'made' : `none: ${attestation.reason}`],
    ['request', `profile ${request.profile}`],
    ['directory', path],
  ];
  return lines.map(([name = '', value = '']) => `${name.padEnd(12)} ${value}\n`).join('');
}
