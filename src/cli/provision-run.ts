import type { Option } from 'commander';
import { decodeSpkiPem } from '../crypto/public-key.ts';
import { isKeyprovError } from '../errors.ts';
import type { KeyStore } from '../keys/key-store.ts';
import type { Backend } from '../keys/provider.ts';
import type { MergedPolicy } from '../policy/index.ts';
import type { PinPrompt } from '../provisioning/pin-entry.ts';
import type { PinRecoverySetup } from '../provisioning/pin-recovery.ts';
import { type ProvisionOutcome, provision } from '../provisioning/provision.ts';
import { KeySources } from './key-sources.ts';
import { type Arguments, UsageError, valueOption } from './options/arguments.ts';
import { readPolicy } from './options/policy-option.ts';
import {
  fileOf,
  graphOptions,
  readServiceArguments,
  type ServiceArguments,
  serviceOptions,
} from './options/service-option.ts';
import { openStore, storeOption } from './options/store-option.ts';
import { readTpmAddress } from './options/tpm-option.ts';
import { checkRunPrerequisites } from './prerequisite-facts.ts';
import { describeRun, showRunEvent } from './run-report.ts';
import { type ServiceConnection, withService } from './service-connection.ts';
import type { Place } from './sign-with.ts';
import { newPinPrompt } from './terminal/pin-input.ts';
import type { Prompter } from './terminal/prompter.ts';
import type { Outcome, Report } from './terminal/report.ts';

/** The options of a run with a service, which provisioning without one does not have. */
export function runOptions(): Option[] {
  return [
    ...serviceOptions(),
    storeOption(),
    valueOption('--attestation-ca <url>', 'has attestation keys certified there, in the protocol of smallstep'),
    valueOption('--dsregcmd <file>', 'text of dsregcmd /status, for the prerequisites (default on Windows: it is run)'),
    valueOption(
      '--recovery-key <file>',
      'public key of a PIN recovery service, PEM: a forgotten PIN can then be reset',
    ),
    ...graphOptions(),
  ];
}

/** What a run is told. */
export interface RunArguments {
  readonly service: ServiceArguments;
  readonly user: string;
  readonly deviceId: string;
  readonly address: Place['address'];
  readonly merged: MergedPolicy;
  readonly profile: 'strict' | 'attested' | undefined;
  readonly pinFile: string | undefined;
  readonly hasPin: boolean;
  readonly recovery: PinRecoverySetup | undefined;
  readonly dsregcmd: string | undefined;
  /** `checked`: by the caller, just now. */
  readonly prerequisites: 'check' | 'skip' | 'checked';
  readonly allowDowngrade: boolean;
  /** Where the user's last key was made, when it is not in the store any more. */
  readonly previous?: Backend;
  /** What asks for the new PIN. Default: the file, or the terminal. */
  readonly prompt?: PinPrompt;
}

/** Reads and checks the arguments of a run. @throws UsageError with all that is wrong. */
export async function readRunArguments(given: Arguments, report: Report): Promise<RunArguments> {
  const address = readTpmAddress(given);
  const merged = await readPolicy(given, report);
  const profile = given.choice('profile', ['strict', 'attested']);
  const user = given.required('user');
  const service = await readServiceArguments(given);
  const pinFile = given.text('pin-file');
  const hasPin = !given.has('no-pin');
  if (service.deviceId === undefined && !given.isThere('device-id')) {
    given.problems.push('--device-id is missing, or --device-cert, whose name is one');
  }
  if (!hasPin) given.refuse(['pin-file', 'recovery-key'], 'contradicts --no-pin');
  if (profile === 'strict' && merged !== undefined && merged.policy.algorithm !== 'rsa-2048') {
    given.problems.push(`--profile strict takes rsa-2048 keys only, not ${merged.policy.algorithm}`);
  }
  const recovery = await readRecovery(given, user);
  const dsregcmd = await fileOf(given, 'dsregcmd');
  const prerequisites = given.has('skip-prerequisites') ? 'skip' : 'check';
  const allowDowngrade = given.has('allow-downgrade');
  given.check();
  if (merged === undefined || service.deviceId === undefined) throw new UsageError(['no policy, or no device']);
  const { deviceId } = service;
  return {
    ...{ service, user, deviceId, address, merged, profile, pinFile, hasPin, recovery, dsregcmd },
    ...{ prerequisites, allowDowngrade },
  };
}

/** The recovery service that `--recovery-key` names. */
export async function readRecovery(given: Arguments, user: string): Promise<PinRecoverySetup | undefined> {
  const pem = await fileOf(given, 'recovery-key');
  if (pem === undefined) return undefined;
  try {
    const servicePublicKey = decodeSpkiPem(pem);
    if (servicePublicKey.kty === 'RSA') return { servicePublicKey, user };
  } catch (error) {
    if (!isKeyprovError(error)) throw error;
  }
  given.problems.push('--recovery-key is no RSA public key in PEM');
  return undefined;
}

/** Runs `keyprov provision --service`. */
export async function provisionWithService(
  given: Arguments,
  report: Report,
  prompter: Prompter,
  signal: AbortSignal,
): Promise<Outcome> {
  const wish = await readRunArguments(given, report);
  report.speakPlainly();
  const store = await openStore(given);
  const { service, user } = wish;
  return await withService(service, { user, prompter, signal }, async (connection) =>
    describeRun(await runWith(connection, wish, { store, report, prompter, signal }), store, report),
  );
}

/** What a run needs besides its arguments. */
export interface RunContext {
  readonly store: KeyStore;
  readonly report: Report;
  readonly prompter: Prompter;
  readonly signal: AbortSignal;
}

/** The run itself, with a service that is there. */
export async function runWith(
  { registrar, mfa, enrolAk }: ServiceConnection,
  wish: RunArguments,
  { store, report, prompter, signal }: RunContext,
): Promise<ProvisionOutcome> {
  const { user, deviceId, address, merged, hasPin, pinFile } = wish;
  const { progress } = report;
  const { policy } = merged;
  const { prompt = newPinPrompt(user, { file: pinFile, prompter, report }) } = wish;
  const sources = new KeySources(store, { address, algorithm: policy.algorithm, hasPin, progress });
  if (wish.prerequisites === 'skip') report.warn('the prerequisites are not checked');
  try {
    return await provision({
      ...{ user, deviceId, store, policy, registrar, mfa, enrolAk, signal },
      sources: sources.sources,
      pinRecovery: wish.recovery,
      allowDowngrade: wish.allowDowngrade,
      previous: wish.previous,
      // Who has attestation keys certified wants the service to see it.
      ...((wish.profile ?? enrolAk) && { profile: wish.profile ?? 'attested' }),
      prerequisites:
        wish.prerequisites === 'check' ? (options) => checkRunPrerequisites({ ...wish, store }, options) : 'skip',
      pin: hasPin ? prompt : 'none',
      onEvent: (event) => showRunEvent(event, progress),
    });
  } finally {
    sources.wipe();
  }
}
