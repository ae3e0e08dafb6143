import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Command } from 'commander';
import { encodeStatement } from '../../attestation/index.ts';
import { type Bytes, toHex, view, withSecret } from '../../bytes.ts';
import { encodeSpkiPem } from '../../crypto/public-key.ts';
import { undoOnFailure, withCleanup } from '../../errors.ts';
import type { KeyRecord } from '../../keys/key-record.ts';
import { EXPORTS } from '../../keys/key-record.ts';
import type { KeyStore } from '../../keys/key-store.ts';
import type { Backend } from '../../keys/provider.ts';
import { findKeys, lastBackendOf } from '../../provisioning/find-key.ts';
import {
  type ProvisionEvent,
  type ProvisionedKey,
  type ProvisionKeyOptions,
  provisionKey,
} from '../../provisioning/provision-key.ts';
import { holdLock } from '../../storage/hold-lock.ts';
import { shellWord } from '../../storage/shell-word.ts';
import { parseTpmAddress } from '../../tpm/address.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { showingKeySources } from '../key-places.ts';
import { keyJson, keyLines, requestJson, requestLines, row } from '../key-report.ts';
import type { Arguments } from '../options/arguments.ts';
import { policyOptions, readFallBack, readPolicy } from '../options/policy-option.ts';
import { profileOption, readProfile } from '../options/profile-option.ts';
import { readDeviceId } from '../options/service-option.ts';
import { openStore, storeOption } from '../options/store-option.ts';
import { type NamedTpm, readNamedTpm, tpmOptions } from '../options/tpm-option.ts';
import { valueOption } from '../options/value-option.ts';
import { type ExportedFiles, isSameUser, openOutputDirectory, saveWithSecret } from '../output-directory.ts';
import { provisioningOff } from '../prerequisite-facts.ts';
import { describeBlocked } from '../run-report.ts';
import { readPin } from '../terminal/pin-file.ts';
import type { Progress } from '../terminal/progress.ts';
import { type Outcome, type Report, reasonsOf } from '../terminal/report.ts';

const CHALLENGE_SIZE = 32;
/** Held in the store by the process that makes a key there. */
const LOCK = '.keyprov-create.lock';
/** Some TPMs take a minute for an RSA key. */
const LOCK_TIMEOUT_MS = 120_000;

/** `keyprov create`. */
export const createCommand: CliCommand = {
  examples: [
    'keyprov create --user ada@contoso.com --hardware required',
    'keyprov create --out key --algorithm p-256 --challenge c0ffee --pin-file pin',
    'keyprov create --out key --tpm libtpms:tpm --json',
  ],
  define,
  run: runCreate,
};

function define(command: Command): void {
  command
    .description(
      'make a key and save it in the store, without sending anything; with --out, make a new store that also contains ' +
        'the registration request and the attestation',
    )
    .addOption(storeOption())
    .addOption(valueOption('--out <dir>', 'make a new store for the key and its request'))
    .addOption(valueOption('--user <name>', 'user of the key'))
    .addOption(valueOption('--device-id <guid>', 'device of the key'));
  for (const option of [...tpmOptions(), ...policyOptions()]) command.addOption(option);
  command
    .addOption(profileOption())
    .addOption(valueOption('--challenge <hex>', 'with --out: challenge for the attestation (default: random)'))
    .addOption(valueOption('--pin-file <file>', 'file with the PIN, - for standard input'))
    .option('--allow-downgrade', 'allow a software key after a TPM key')
    .option('--force', 'with --out: replace an earlier key, and accept a directory with other files');
}

/** The key that the arguments ask for. */
interface Wish
  extends Pick<
    ProvisionKeyOptions,
    'policy' | 'profile' | 'user' | 'deviceId' | 'pin' | 'allowDowngrade' | 'fallBack'
  > {
  readonly tpm: NamedTpm;
  readonly challenge: Bytes;
  readonly isNewStore: boolean;
}

async function runCreate(given: Arguments, context: Context): Promise<Outcome> {
  const { report, signal } = context;
  const tpm = readNamedTpm(given, context);
  const merged = await readPolicy(given, context);
  const { policy, setsPinRules } = merged;
  const [user, directory] = [given.text('user'), given.text('out')];
  const challenge = given.hex('challenge', 64);
  const fallBack = readFallBack(given);
  const pinFile = given.text('pin-file');
  const profile = readProfile(given, policy.algorithm);
  const deviceId = readDeviceId(given);
  if (directory !== undefined) given.refuse(['store'], 'cannot be used with --out, which makes its own store');
  else given.refuse(['force', 'challenge', 'profile'], 'works only with --out');
  given.check();
  const off = provisioningOff(merged);
  if (off !== undefined) return describeBlocked(off);
  if (setsPinRules && pinFile === undefined) {
    report.warn('the policy has rules for PINs, but the key has no PIN: pass --pin-file');
  }
  return await withSecret(pinFile === undefined ? undefined : await readPin(pinFile, report, signal), async (pin) => {
    const allowDowngrade = given.has('allow-downgrade');
    const wish = { tpm, policy, profile, user, deviceId, pin, allowDowngrade, fallBack };
    const over = challenge ?? view(randomBytes(CHALLENGE_SIZE));
    const isNewStore = directory !== undefined;
    const make = async (store: KeyStore, previous: Backend | undefined) => {
      const key = await createKey(store, { ...wish, challenge: over, isNewStore }, previous, context);
      if (isNewStore && challenge === undefined)
        report.progress.note(`challenge: random, because --challenge is missing: ${toHex(over)}`);
      return key;
    };
    if (directory !== undefined) {
      return await createIn(directory, user, make, given, context);
    }
    const store = await openStore(given, context);
    // Another process that makes a key at the same time must see this one.
    const lock = await holdLock(join(store.directory, LOCK), { timeout: LOCK_TIMEOUT_MS, signal });
    const made = await withCleanup(
      async () => {
        const earlier = user === undefined ? [] : await findKeys(store, { user });
        if (earlier.length > 0) {
          const ids = earlier.map(({ record }) => record.id).join(', ');
          report.warn(
            `${user} already has a key in the store: ${ids}; this run adds another one; keyprov remove --key ID removes one`,
          );
        }
        const key = await make(store, user === undefined ? undefined : await lastBackendOf(store, user));
        await saveWithSecret(store, key.record, { signal });
        return key;
      },
      () => lock.release({ remove: true }),
    );
    const hasOthers = (await store.list()).records.length > 1;
    return describe(made, store.directory, {}, { given, report, hasOthers });
  });
}

interface Shown {
  readonly given: Arguments;
  readonly report: Report;
  readonly hasOthers?: boolean;
}

/** Shows a command that uses the new key: it needs the same options as this one, and the key's id in a store with others. */
function showNext({ id, tpm: made }: KeyRecord, { given, report, hasOthers = false }: Shown): void {
  const [store, tpm] = [given.text('out') ?? given.text('store'), given.text('tpm')];
  const options = [
    store && ` --store ${shellWord(store)}`,
    tpm && tpm !== 'none' && ` --tpm ${shellWord(tpm)}`,
    hasOthers && ` --key ${id}`,
  ];
  const isStarted = tpm === undefined && made?.address.startsWith('swtpm:'); // as by keyprov sim
  const when = isStarted ? `next, while the TPM at ${made?.address} runs` : 'next';
  report.progress.note(`${when}: keyprov sign --in FILE${options.filter(Boolean).join('')}`);
}

async function createKey(
  store: KeyStore,
  { tpm, isNewStore, ...wish }: Wish,
  previous: Backend | undefined,
  { report, signal }: Context,
): Promise<ProvisionedKey> {
  const { progress } = report;
  const { algorithm } = wish.policy;
  return await provisionKey({
    ...{ ...wish, previous, signal },
    sources: showingKeySources(tpm, store, { algorithm, progress, isNewStore }),
    onEvent: (event) => showEvent(event, progress),
  });
}

function showEvent(event: ProvisionEvent, progress: Progress): void {
  if (event.type === 'end') progress.end(event.detail);
  else if (event.step === 'attestation') progress.begin(event.step, 'certifying the key over the challenge');
  else if (event.step === 'request') progress.begin(event.step, 'building the request');
}

/** Makes a store with one key and its exported files; leaves nothing behind if anything fails. */
async function createIn(
  directory: string,
  user: string | undefined,
  make: (store: KeyStore, previous: Backend | undefined) => Promise<ProvisionedKey>,
  given: Arguments,
  { report, signal }: Context,
): Promise<Outcome> {
  const out = await openOutputDirectory(directory, given.has('force'), { signal });
  const write = async (): Promise<Outcome> => {
    const replaced = out.earlier.find((earlier) => isSameUser(earlier.user, user))?.backend;
    const previous = replaced ?? (user === undefined ? undefined : await lastBackendOf(out.store, user));
    const made = await make(out.store, previous);
    for (const { id } of out.earlier) report.progress.note(`files: replacing the key ${id}`);
    report.progress.begin('files', `writing to ${out.path}`);
    const record = { ...made.record, exports: ['key.pem'] as const };
    const files = filesOf({ ...made, record });
    await out.write(record, files, signal);
    report.progress.end(`in ${out.path}`);
    return describe({ ...made, record }, out.path, files, { given, report });
  };
  return await undoOnFailure(write, () => out.discard());
}

function filesOf({ record, attestation, request }: ProvisionedKey): ExportedFiles {
  const statement = attestation.status === 'made' ? encodeStatement(attestation.statement) : undefined;
  return {
    'request.json': request.body,
    ...(statement !== undefined && { 'attestation.json': `${JSON.stringify(statement, undefined, 2)}\n` }),
    'key.pem': record.privateKey,
    'public.pem': encodeSpkiPem(record.publicKey),
  };
}

function describe(
  { record, fellBack, attestation, request }: ProvisionedKey,
  directory: string,
  files: ExportedFiles,
  shown: Shown,
): Outcome {
  const { report } = shown;
  if (fellBack) report.warn(`the key was made in software: ${reasonsOf(record.attempts.slice(0, -1))}`);
  const address = record.tpm?.address;
  const isLost = address !== undefined && isInMemory(address);
  if (isLost) {
    report.warn('the key can no longer be used: its TPM was only in memory; use --tpm libtpms:DIR to keep the state');
  }
  const isWanted = record.policy?.attestation !== 'none';
  if (attestation.status === 'none' && record.backend === 'tpm' && isWanted) {
    report.warn(`the key is not attested: ${attestation.reason}`);
  }
  if (!isLost) showNext(record, shown);
  const paths = Object.fromEntries(
    EXPORTS.filter((name) => files[name] !== undefined).map((name) => [name, join(directory, name)]),
  );
  const isKept = Object.keys(paths).length > 0;
  const notKept = isKept ? [] : [...(attestation.status === 'made' ? ['attestation'] : []), 'request'];
  const lines = [
    ...keyLines({ record }),
    ...requestLines(attestation, request),
    ...(isKept
      ? []
      : [row('not kept', `${notKept.join(' and ')}; --out keeps a request, keyprov request makes a new one`)]),
    row('store', directory),
  ];
  return {
    exitCode: EXIT.done,
    lines,
    json: {
      ...{ ...keyJson({ record }), fellBack, ...requestJson(attestation, request), store: directory },
      ...(isKept ? { files: paths } : { notKept }),
    },
  };
}

function isInMemory(address: string): boolean {
  const parsed = parseTpmAddress(address);
  return parsed.kind === 'libtpms' && parsed.directory === undefined;
}
