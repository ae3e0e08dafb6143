import { createPublicKey } from 'node:crypto';
import { Option } from 'commander';
import { decodeSpkiPem } from '../crypto/public-key.ts';
import { isKeyprovError } from '../errors.ts';
import type { KeyStore } from '../keys/key-store.ts';
import type { Backend } from '../keys/provider.ts';
import type { SelectionOptions } from '../keys/select-provider.ts';
import type { PolicyInForce } from '../policy/index.ts';
import { nameLayer } from '../policy/precedence.ts';
import type { NewPinPrompt } from '../provisioning/pin-entry.ts';
import type { PinRecoverySetup } from '../provisioning/pin-recovery.ts';
import { provision } from '../provisioning/provision.ts';
import type { ProvisionOptions, ProvisionOutcome } from '../provisioning/run.ts';
import type { Context } from './command.ts';
import { showingKeySources } from './key-places.ts';
import type { Arguments } from './options/arguments.ts';
import { policyOptions, readFallBack, readPolicy } from './options/policy-option.ts';
import { profileOption, readProfile } from './options/profile-option.ts';
import {
  attestationCaOptions,
  fileOf,
  graphOptions,
  readServiceArguments,
  type ServiceArguments,
  serviceOptions,
} from './options/service-option.ts';
import { openStore, storeOption } from './options/store-option.ts';
import { type NamedTpm, readNamedTpm, tpmOptions } from './options/tpm-option.ts';
import { valueOption } from './options/value-option.ts';
import { checkRunPrerequisites, PROVISIONING_IS_OFF, provisioningOff, readDsregcmd } from './prerequisite-facts.ts';
import { describeRun, showRunEvent } from './run-report.ts';
import { type ServiceConnection, withService } from './service-connection.ts';
import { newPinPrompt } from './terminal/pin-input.ts';
import type { Outcome } from './terminal/report.ts';

/** The options of a run with a service; `user` is `--user`. */
export function runOptions(user: Option): Option[] {
  return [
    ...serviceOptions(),
    valueOption('--token-command <cmd>', 'command that prints a token (default: ask user)'),
    user,
    valueOption('--device-id <guid>', 'device (default: from --device-cert)'),
    storeOption(),
    ...tpmOptions(),
    ...policyOptions(),
    profileOption(),
    valueOption('--pin-file <file>', 'file with the new PIN, - for standard input'),
    new Option('--no-pin', 'make a key without a PIN'),
    new Option('--allow-downgrade', 'allow a software key after a TPM key'),
    ...attestationCaOptions(),
    valueOption('--dsregcmd <file>', 'output of dsregcmd /status, for prerequisites'),
    new Option('--skip-prerequisites', 'do not check the prerequisites'),
    valueOption('--recovery-key <file>', 'public key of a PIN recovery service (RSA, PEM)'),
    ...graphOptions(),
  ];
}

/** The arguments of a run. */
export interface RunArguments {
  readonly service: ServiceArguments;
  readonly user: string;
  readonly deviceId: string;
  readonly tpm: NamedTpm;
  readonly merged: PolicyInForce;
  readonly profile: 'strict' | 'attested' | undefined;
  readonly pinFile: string | undefined;
  readonly hasPin: boolean;
  readonly recovery: PinRecoverySetup | undefined;
  readonly dsregcmd: string | undefined;
  /** `checked`: the caller has just checked them. */
  readonly prerequisites: 'check' | 'skip' | 'checked';
  readonly allowDowngrade: boolean;
  readonly fallBack?: SelectionOptions['fallBack'];
  /** The backend of the user's last key, if that key has left the store. */
  readonly previous?: Backend;
  /** Asks for the new PIN. Default: reads the file, or asks in the terminal. */
  readonly prompt?: NewPinPrompt | undefined;
  /** How often the user may authenticate again. Default: once. */
  readonly mfaOptions?: ProvisionOptions['mfaOptions'];
  /** Receives events, too. */
  readonly onEvent?: ProvisionOptions['onEvent'];
}

/**
 * Reads the arguments of a run; problems are noted in `given`. With `ofKey`, user and device may be left out, and are then
 * empty: the key has them.
 */
export async function readRunArguments(
  given: Arguments,
  context: Context,
  { ofKey = false }: { readonly ofKey?: boolean } = {},
): Promise<RunArguments> {
  const tpm = readNamedTpm(given, context);
  const merged = await readPolicy(given, context);
  const profile = readProfile(given, merged.policy.algorithm);
  const user = ofKey ? (given.text('user') ?? '') : given.required('user');
  const service = await readServiceArguments(given);
  const pinFile = given.text('pin-file');
  const hasPin = !given.has('no-pin');
  const isRefused = given.problems.some((problem) => problem.startsWith('--device-'));
  if (!ofKey && service.deviceId === undefined && !given.isThere('device-id') && !isRefused) {
    const why = given.isThere('device-cert') ? '--device-cert has none' : 'pass it, or --device-cert and --device-key';
    given.missing.push(`--device-id is missing: ${why}`);
  }
  if (!hasPin) given.refuse(['pin-file', 'recovery-key'], 'cannot be used with --no-pin');
  const recovery = await readRecovery(given, user, merged);
  const dsregcmd = await readDsregcmd(given, service, context.report);
  const prerequisites = given.has('skip-prerequisites') ? 'skip' : 'check';
  const allowDowngrade = given.has('allow-downgrade');
  const fallBack = readFallBack(given);
  const { deviceId = '' } = service;
  return {
    ...{ service, user, deviceId, tpm, merged, profile, pinFile, hasPin, recovery, dsregcmd },
    ...{ prerequisites, allowDowngrade, fallBack },
  };
}

/** Reads the recovery service that `--recovery-key` names. */
export async function readRecovery(
  given: Arguments,
  user: string,
  { windows, explanation }: PolicyInForce,
): Promise<PinRecoverySetup | undefined> {
  const { winner } = explanation.find(({ setting }) => setting === 'EnablePinRecovery') ?? {};
  // If no source sets it, its default (false) does not count: the user asks for recovery.
  if (winner !== undefined && !windows.EnablePinRecovery) {
    given.refuse(
      ['recovery-key', 'recovery-command'],
      `cannot be used: ${nameLayer(winner)} sets EnablePinRecovery to false`,
    );
  }
  const pem = await fileOf(given, 'recovery-key');
  if (pem === undefined) return undefined;
  try {
    const servicePublicKey = decodeSpkiPem(asSpki(pem));
    if (servicePublicKey.kty === 'RSA') return { servicePublicKey, user };
  } catch (error) {
    if (!isKeyprovError(error)) throw error;
  }
  given.problems.push(`--recovery-key: ${given.text('recovery-key')} is not an RSA public key in PEM`);
  return undefined;
}

/** A public key of `openssl rsa -RSAPublicKey_out` (PKCS #1, RFC 8017, A.1.1) in the usual form. */
function asSpki(pem: string): string {
  if (!pem.includes('-----BEGIN RSA PUBLIC KEY-----')) return pem;
  try {
    return String(createPublicKey(pem).export({ type: 'spki', format: 'pem' }));
  } catch {
    return pem;
  }
}

/** Runs `keyprov provision --service`. */
export async function provisionWithService(given: Arguments, context: Context): Promise<Outcome> {
  const { report, prompter, signal } = context;
  const wish = await readRunArguments(given, context);
  given.check();
  report.speakPlainly();
  const store = await openStore(given, context);
  const { service, user } = wish;
  return await withService(service, { user, prompter, signal }, async (connection) =>
    describeRun(await runWith(connection, wish, { ...context, store }), store, report),
  );
}

/** The context of a run, with its store. */
export interface RunContext extends Context {
  readonly store: KeyStore;
}

/** More than the limits of the prompts: a code is valid for an hour at most, and a command has 15 minutes. */
const MFA_TIMEOUT_MS = 7_200_000;

/** Runs the provisioning with a connected service. */
export async function runWith(
  { registrar, mfa, enrolAk }: ServiceConnection,
  wish: RunArguments,
  { store, report, prompter, signal, environment }: RunContext,
): Promise<ProvisionOutcome> {
  const { user, deviceId, tpm, merged, hasPin, pinFile } = wish;
  const { progress } = report;
  const { policy } = merged;
  const { prompt = newPinPrompt(user, { file: pinFile, prompter, report }) } = wish;
  let isMaking = false;
  const showing = { algorithm: policy.algorithm, progress, isMaking: () => isMaking };
  const sources = showingKeySources(tpm, store, showing);
  if (wish.prerequisites === 'skip') {
    const isOff = provisioningOff(merged) !== undefined;
    report.warn(`the prerequisites are not checked${isOff ? `, and ${PROVISIONING_IS_OFF}` : ''}`);
  }
  return await provision({
    ...{ user, deviceId, store, policy, sources, registrar, mfa, enrolAk, signal },
    pinRecovery: wish.recovery,
    allowDowngrade: wish.allowDowngrade,
    fallBack: wish.fallBack,
    previous: wish.previous,
    // With an attestation CA, the service should see the attestation.
    profile: wish.profile ?? (enrolAk && 'attested'),
    prerequisites:
      wish.prerequisites === 'check'
        ? (options) => checkRunPrerequisites({ ...wish, ...tpm, store, environment }, options)
        : 'skip',
    pin: hasPin ? prompt : 'none',
    // From a file or a pipe.
    askPinFirst: wish.prompt === undefined && (pinFile !== undefined || !prompter.isTerminal),
    mfaOptions: { timeoutMs: MFA_TIMEOUT_MS, ...wish.mfaOptions },
    onEvent: (event) => {
      if (event.type === 'begin') isMaking = event.step === 'key';
      showRunEvent(event, progress);
      wish.onEvent?.(event);
    },
  });
}
