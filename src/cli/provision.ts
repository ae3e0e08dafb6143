import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Command } from 'commander';
import { statementToJson } from '../attestation/index.ts';
import { toBase64, toHex, view, wipe } from '../bytes.ts';
import { encodeSpkiPem } from '../crypto/public-key.ts';
import { withCleanup } from '../errors.ts';
import type { ProviderSources } from '../keys/select-provider.ts';
import { openSoftwareKeyProvider } from '../keys/software-provider.ts';
import { readWrappingSecret } from '../keys/wrapping-secret.ts';
import type { Policy } from '../policy/index.ts';
import { type ProvisionEvent, type ProvisionedKey, provisionKey } from '../provisioning/provision-key.ts';
import type { TpmAddress } from '../tpm/address.ts';
import { openTpm } from '../tpm/open-tpm.ts';
import type { SignalOptions, Tpm } from '../tpm/tpm.ts';
import { readNature } from '../tpm/virtual.ts';
import { type Arguments, UsageError, valueOption } from './arguments.ts';
import { EXIT } from './exit-codes.ts';
import { OUTPUT_FILES, type OutputDirectory, type OutputFiles, openOutputDirectory } from './output-directory.ts';
import { readPin } from './pin-file.ts';
import { readPolicy } from './policy-option.ts';
import type { Progress } from './progress.ts';
import { type RecordContext, readRecord, recordToJson } from './record.ts';
import { attemptLines, type Outcome, type Report } from './report.ts';
import { readTpmAddress, tpmOption } from './tpm-option.ts';

const CHALLENGE_SIZE = 32;
const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Describes `keyprov provision`. */
export function defineProvision(command: Command): void {
  command
    .description('make a key, have the TPM attest it, and write its registration request')
    .addOption(tpmOption())
    .addOption(valueOption('--hardware <need>', 'required, preferred or discouraged (default: preferred)'))
    .addOption(valueOption('--virtual-tpm <rule>', 'allow or refuse (default: allow)'))
    .addOption(valueOption('--algorithm <name>', 'rsa-2048, rsa-3072, p-256 or p-384 (default: rsa-2048)'))
    .addOption(valueOption('--attestation <need>', 'required, preferred or none (default: preferred)'))
    .addOption(
      valueOption('--policy <file>', 'JSON file with these settings and allowedAlgorithms; options override it'),
    )
    .addOption(
      valueOption('--profile <name>', 'form of the request: strict or attested (default: strict for rsa-2048)'),
    )
    .addOption(valueOption('--user <name>', 'whose key it is'))
    .addOption(valueOption('--device-id <guid>', 'the device that it is made on'))
    .addOption(valueOption('--challenge <hex>', 'what the TPM attests the key over, 1 to 64 bytes (default: random)'))
    .addOption(valueOption('--pin-file <file>', 'the PIN of the key, - for standard input (default: no PIN)'))
    .addOption(valueOption('--out <dir>', `directory for ${OUTPUT_FILES.join(', ')}`))
    .option('--force', 'replace the files of an earlier run')
    .option('--allow-downgrade', 'let software take over from a TPM for the same user')
    .option('--json', 'print one JSON object and nothing else');
}

/** Runs `keyprov provision`. */
export async function runProvision(given: Arguments, report: Report, signal: AbortSignal): Promise<Outcome> {
  const address = readTpmAddress(given);
  const policy = await readPolicy(given, report);
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
    const wish = { address, policy, profile, user, deviceId, pin, allowDowngrade: given.has('allow-downgrade') };
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
}

function challengeOf(given: Uint8Array | undefined, report: Report): RecordContext['challenge'] {
  if (given !== undefined) return { bytes: given, origin: 'given' };
  const bytes = view(randomBytes(CHALLENGE_SIZE));
  report.progress.note(`challenge: none was given, this random one is used: ${toHex(bytes)}`);
  return { bytes, origin: 'random' };
}

async function provision(out: OutputDirectory, wish: Wish, report: Report, signal: AbortSignal): Promise<Outcome> {
  const { policy, user, pin, allowDowngrade } = wish;
  const { progress } = report;
  const earlier = await readRecord(out.path);
  const previous = sameUser(earlier?.user, user) ? earlier?.backend : undefined;
  const makers = new Makers(out, wish, progress);
  let made: ProvisionedKey;
  try {
    made = await provisionKey({
      ...{ policy, sources: makers.sources, pin, previous, allowDowngrade, signal },
      challenge: wish.challenge.bytes,
      ...(wish.profile !== undefined && { profile: wish.profile }),
      onEvent: (event) => showEvent(event, progress),
    });
  } finally {
    makers.wipe();
  }
  const tpm = made.key.backend === 'tpm' ? makers.tpm : undefined;
  const record = recordToJson(made, { ...wish, created: new Date(), tpm });
  progress.begin('files', `writing to ${out.path}`);
  const files = filesOf(made, record);
  await out.write(files, signal);
  progress.end(`in ${out.path}`);

  if (made.fellBack) report.warn(`software made the key: ${attemptLines(made.attempts.slice(0, -1)).join('; ')}`);
  const { attestation } = made;
  if (made.key.backend === 'tpm' && wish.address !== 'none' && isInMemory(wish.address)) {
    report.warn('the key is of no more use: its TPM was in memory only; give --tpm libtpms:DIR to keep it');
  }
  if (attestation.status === 'none' && made.key.backend === 'tpm' && policy.attestation !== 'none') {
    report.warn(`the key is not attested: ${attestation.reason}`);
  }
  const paths = Object.fromEntries(Object.keys(files).map((name) => [name, join(out.path, name)]));
  return { exitCode: EXIT.done, text: summary(made, out.path), json: { ...record, directory: out.path, files: paths } };
}

const isInMemory = (address: TpmAddress): boolean => address.kind === 'libtpms' && address.directory === undefined;

/** Names of users are the same whatever their case. */
const sameUser = (a: string | undefined, b: string | undefined): boolean => a?.toLowerCase() === b?.toLowerCase();

/** The TPM and the software that may make the key; each says so when it is its turn. */
class Makers {
  readonly sources: ProviderSources;
  /** The TPM that was opened. */
  tpm: RecordContext['tpm'];
  #wrappingSecret: Uint8Array | undefined;

  constructor(out: OutputDirectory, { address, policy, pin }: Wish, progress: Progress) {
    const openMachine = async (options: SignalOptions): Promise<Tpm> => {
      progress.begin('tpm', 'opening');
      const tpm = await openTpm(address === 'none' ? 'auto' : address, options);
      try {
        const nature = await readNature(tpm, options);
        this.tpm = { address: tpm.transport.address, ...nature };
        progress.end(`${this.tpm.address}, ${nature.vendor.manufacturer} '${nature.vendor.vendorString}'`);
      } catch (error) {
        return await withCleanup(
          () => Promise.reject(error),
          () => tpm.close(),
        );
      }
      progress.begin('key', `making ${policy.algorithm} in the TPM`);
      return tpm;
    };
    this.sources = {
      ...(address !== 'none' && { tpm: openMachine }),
      software: async () => {
        progress.begin('key', `making ${policy.algorithm} in software`);
        if (pin === undefined) this.#wrappingSecret = await readWrappingSecret(out.store);
        return openSoftwareKeyProvider({ wrappingSecret: this.#wrappingSecret });
      },
    };
  }

  wipe(): void {
    wipe(this.#wrappingSecret);
  }
}

function showEvent(event: ProvisionEvent, progress: Progress): void {
  if (event.type === 'end') progress.end(event.detail);
  else if (event.step === 'attestation') progress.begin(event.step, 'certifying the key over the challenge');
  else if (event.step === 'request') progress.begin(event.step, 'building the body');
}

function filesOf({ key, attestation, request }: ProvisionedKey, record: object): OutputFiles {
  const json = (value: object) => `${JSON.stringify(value, undefined, 2)}\n`;
  return {
    'request.json': request.body,
    ...(attestation.status === 'made' && { 'attestation.json': json(statementToJson(attestation.statement)) }),
    'key.pem': key.privateKey,
    'public.pem': encodeSpkiPem(key.publicKey),
    'record.json': json(record),
  };
}

function summary({ key, keyId, assurance, attestation, request }: ProvisionedKey, path: string): string {
  const where = { hardware: 'in a TPM', virtual: 'in a virtual TPM', software: 'in software' }[assurance];
  const lines = [
    ['key', `${key.algorithm} ${where}${key.hasPin ? ', with a PIN' : ''}`],
    ['key ID', toBase64(keyId)],
    ['attestation', attestation.status === 'made' ? 'made' : `none: ${attestation.reason}`],
    ['request', `profile ${request.profile}`],
    ['directory', path],
  ];
  return lines.map(([name = '', value = '']) => `${name.padEnd(12)} ${value}\n`).join('');
}
