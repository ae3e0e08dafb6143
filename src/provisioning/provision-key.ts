import { type Bytes, toHex } from '../bytes.ts';
import { isKeyprovError, KeyprovError, withCleanup } from '../errors.ts';
import { keyIdOf } from '../formats/windows/key-registration.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import { checkSources, type KeySources, withTpmOf } from '../keys/key-sources.ts';
import { type ProvidedKey, sayPlace } from '../keys/provider.ts';
import {
  failed,
  type Selection,
  type SelectionOptions,
  selectProvider,
  selectSoftware,
} from '../keys/select-provider.ts';
import { type CreatedTpmKey, openTpmKeyProvider, TpmKeyProvider } from '../keys/tpm-provider.ts';
import { checkMembers } from '../known-members.ts';
import { judgePin, type Policy } from '../policy/index.ts';
import { decode } from '../tpm/codec/index.ts';
import { objectName } from '../tpm/names.ts';
import { TPMT_PUBLIC } from '../tpm/structures/object.ts';
import {
  type AttestedKey,
  attestForRequest,
  checkRequestOptions,
  describeAttestation,
  type KeyRequest,
  type KeyRequestOptions,
  type KeyStock,
  requestOf,
  UNATTESTED,
} from './key-request.ts';
import type { PinRecoverySetup } from './pin-recovery.ts';
import { newPinState, writePinState } from './pin-state.ts';

/** The steps of {@link provisionKey}, in order. */
export type ProvisionStep = 'key' | 'attestation' | 'request';

/** Progress. Each `begin` is followed by an `end` of the same step, unless the call fails. */
export type ProvisionEvent =
  | { readonly type: 'begin'; readonly step: ProvisionStep }
  | { readonly type: 'end'; readonly step: ProvisionStep; readonly detail: string };

/** Options of {@link makeKey}. */
export interface MakeKeyOptions extends Omit<SelectionOptions, 'algorithm' | 'hasPin'> {
  /** All of it applies: where the key may be made, its algorithm, its attestation, and the rules for the PIN. */
  readonly policy: Policy;
  readonly sources: KeySources;
  /**
   * UTF-8 bytes, wiped by the caller. `none`, as for `provision`, or absent: a key without a PIN, even if the policy has
   * rules for PINs.
   */
  readonly pin?: Uint8Array | 'none' | undefined;
  /** User principal name, for the record. */
  readonly user?: string | undefined;
  /** GUID of the device, for the record. */
  readonly deviceId?: string | undefined;
  /** Lets the PIN be reset later without a new key. */
  readonly pinRecovery?: PinRecoverySetup | undefined;
  /** Pepper of the PIN history; see `PinHistoryOptions`. */
  readonly pinPepper?: Uint8Array | undefined;
  readonly onEvent?: ((event: ProvisionEvent) => void) | undefined;
  /** The clock. */
  readonly now?: (() => Date) | undefined;
}

/** The members of {@link MakeKeyOptions} but `sources` and `tpmOptions`, for `checkMembers`. */
export const MAKE_MEMBERS =
  'policy pin:pin? user:text? deviceId:text? pinRecovery pinPepper:bytes? previous:=tpm|software? allowDowngrade:boolean? fallBack:=absent|any? onEvent:function? now:function? signal';

/** The members that {@link ProvisionKeyOptions} adds. */
export const REQUEST_MEMBERS = 'challenge:bytes profile:=strict|attested? enrolAk:function?';

/** A key and how it was made. */
export interface MadeKey {
  /** The record to keep, with `KeyStore.save`. `JSON.stringify` cannot write it: see {@link KeyRecord}. */
  readonly record: KeyRecord;
  /** SHA-256 of the public key blob (RSA1, or ECS1 and ECS3): the Key ID of MS-ADTS 2.2.20. */
  readonly keyId: Bytes;
  /** Whether software made the key because a TPM was missing, failed, or is virtual and policy refuses that. */
  readonly fellBack: boolean;
  /** Whether a `KeyPool` made the key in advance. */
  readonly pregenerated: boolean;
}

/** Options of {@link provisionKey}. */
export interface ProvisionKeyOptions extends MakeKeyOptions, Omit<KeyRequestOptions, 'policy'> {}

/** A key with its registration request, and how both were made. */
export interface ProvisionedKey extends MadeKey, KeyRequest {}

/**
 * Makes a user key that meets the policy, and reports what was tried. Sends and stores nothing.
 *
 * @throws PinRefusedError if policy does not allow the PIN; SelectionError as `selectKeyProvider` does; PinError,
 * TpmError; TypeError for an option that is unknown, missing or of another kind; the reason of `signal` if it aborted.
 */
export async function makeKey(options: MakeKeyOptions): Promise<MadeKey> {
  options = checkMembers('makeKey', options, MAKE_MEMBERS, 'sources tpmOptions');
  checkTypes(options);
  const { made } = await make(options, undefined, async () => UNATTESTED);
  return made;
}

/**
 * Makes a user key that meets the policy, has the TPM attest it over the challenge, and builds the registration
 * request. Sends and stores nothing: the result has everything to keep. Does not check prerequisites, such as whether
 * Windows' policy allows provisioning: use `checkPrerequisites` of `keyprov/windows`.
 *
 * @throws as {@link makeKey} does; KeyprovError `attestation-unavailable` if policy requires attestation and it failed;
 * `request-invalid` if the `strict` profile does not accept the algorithm; RangeError for a challenge that does not
 * have 1 to 64 bytes.
 *
 * @example
 * ```ts
 * import { definePolicy, keySources, openKeyStore, provisionKey } from 'keyprov';
 *
 * declare const challenge: Uint8Array; // from the service
 *
 * const store = await openKeyStore('./keys');
 * const made = await provisionKey({
 *   policy: definePolicy({ hardware: 'preferred', attestation: 'preferred' }),
 *   sources: keySources({ store }), // the TPM of this machine, or software
 *   challenge,
 *   pin: new TextEncoder().encode('271828'),
 * });
 * await store.save(made);
 * console.log(made.record.backend, made.record.attempts, made.request.carriesAttestation);
 * ```
 */
export async function provisionKey(options: ProvisionKeyOptions): Promise<ProvisionedKey> {
  options = checkMembers('provisionKey', options, MAKE_MEMBERS, REQUEST_MEMBERS, 'sources tpmOptions');
  return await provisionFromStock(options, undefined);
}

/** For callers without types. @throws TypeError */
export function checkTypes({ policy, sources }: Pick<MakeKeyOptions, 'policy' | 'sources'>): void {
  if (policy?.algorithm === undefined) throw new TypeError('policy must be a Policy from definePolicy');
  checkSources(sources);
}

/** {@link provisionKey} that takes a key from the stock if one fits, else makes one. */
export async function provisionFromStock(
  options: ProvisionKeyOptions,
  stock: KeyStock | undefined,
): Promise<ProvisionedKey> {
  checkTypes(options);
  checkRequestOptions(options);
  const { made, attested } = await make(options, stock, (provider, key) => attest(provider, key, options, stock));
  return { ...made, ...buildRequest(made.record, attested, options) };
}

/**
 * Builds the registration request for an existing key, attested over a fresh challenge. This proves that the key still
 * exists: another TPM, or this one after TPM2_Clear, cannot load it.
 *
 * @throws KeyprovError `no-tpm` if the key is in a TPM and the sources have none; `tpm-identity-changed` or
 * `key-invalid` if the key does not belong to this TPM; else as {@link provisionKey}.
 */
export async function requestForKey(
  key: ProvidedKey,
  options: KeyRequestOptions & Pick<MakeKeyOptions, 'sources' | 'tpmOptions' | 'onEvent'>,
): Promise<KeyRequest> {
  options = checkMembers(
    'requestForKey',
    options,
    REQUEST_MEMBERS,
    'policy sources tpmOptions onEvent:function? signal',
  );
  checkSources(options.sources);
  checkRequestOptions(options);
  if (key.backend === 'software') return buildRequest(key, UNATTESTED, options);
  // Loading the key shows that it is here, even if the attestation fails.
  const attested = await withTpmOfKey(key, options, (provider) => attest(provider, key, options, undefined));
  return buildRequest(key, attested, options);
}

/**
 * Loads a key into its TPM, and then runs `work` with that TPM.
 * @throws as {@link requestForKey} does if there is no TPM, or the key does not belong to it.
 */
export async function withTpmOfKey<T>(
  key: ProvidedKey,
  { sources, signal, tpmOptions }: Pick<MakeKeyOptions, 'sources' | 'tpmOptions' | 'signal'>,
  work: (provider: TpmKeyProvider) => Promise<T>,
): Promise<T> {
  if (sources.tpm === undefined) throw new KeyprovError('no-tpm', 'the key is in a TPM, but the sources have no TPM');
  return await withTpmOf(sources.tpm, { signal }, async (tpm) => {
    const provider = await openTpmKeyProvider(tpm, { ...tpmOptions, signal });
    await provider.useWithoutPin(key, { signal }, async () => {});
    return await work(provider);
  });
}

/** The last step of making a TPM key: if it fails, the key counts as not made. */
type Complete = (provider: TpmKeyProvider, key: CreatedTpmKey) => Promise<AttestedKey>;

interface CompletedKey {
  readonly made: MadeKey;
  readonly attested: AttestedKey;
}

const pinOf = ({ pin }: MakeKeyOptions): Uint8Array | undefined => (pin === 'none' ? undefined : pin);

/**
 * Makes every key in this order: PIN, provider, key, attestation, record; then again in software if policy allows it.
 */
async function make(options: MakeKeyOptions, stock: KeyStock | undefined, complete: Complete): Promise<CompletedKey> {
  const { policy, sources, previous, allowDowngrade, fallBack, tpmOptions, signal } = options;
  const pin = pinOf(options);
  if (pin !== undefined) await judgePin(pin, policy.pin, { signal });
  const rules = { previous, allowDowngrade, fallBack, tpmOptions, signal };
  const wanted = { ...rules, algorithm: policy.algorithm, hasPin: pin !== undefined };
  options.onEvent?.({ type: 'begin', step: 'key' });
  const selection = await selectProvider(policy, sources, { ...wanted, isEarly: false });
  try {
    return await makeWith(selection, options, stock, complete);
  } catch (error) {
    signal?.throwIfAborted();
    // The caller corrects wrong arguments, and there is nothing to try after software.
    if (selection.provider.backend === 'software' || !isKeyprovError(error)) throw error;
    const attempts = [...selection.attempts, failed('tpm', error)];
    const software = await selectSoftware(policy, sources, wanted, attempts, error);
    return await makeWith(software, options, undefined, complete);
  }
}

async function makeWith(
  { provider, attempts, close }: Selection,
  options: MakeKeyOptions,
  stock: KeyStock | undefined,
  complete: Complete,
): Promise<CompletedKey> {
  const { policy, signal, onEvent } = options;
  const wanted = { algorithm: policy.algorithm, pin: pinOf(options), signal };
  return await withCleanup(async () => {
    if (!(provider instanceof TpmKeyProvider)) {
      const key = await provider.create(wanted);
      onEvent?.({ type: 'end', step: 'key', detail: `${policy.algorithm} ${sayPlace('software')}` });
      const made = { ...(await recordOf(key, provider.assurance, attempts, options)), pregenerated: false };
      return { made, attested: UNATTESTED };
    }
    const taken = await stock?.takeKey(provider, wanted);
    const created = taken ?? (await provider.create(wanted));
    const when = taken === undefined ? '' : ', made in advance';
    const detail = `${policy.algorithm} ${sayPlace(provider.assurance)}${when}`;
    onEvent?.({ type: 'end', step: 'key', detail });
    const attested = await complete(provider, created);
    const { creation: _, ...key } = created;
    const { nature, tpm } = provider;
    const recorded = await recordOf(key, provider.assurance, attempts, options);
    const { outcome } = attested;
    const akName = outcome.status === 'made' && objectName(decode(TPMT_PUBLIC, outcome.statement.ak.pubArea));
    const address = tpm.transport.address;
    const record = { ...recorded.record, tpm: { ...nature, address, ...(akName && { akName }) } };
    return { made: { ...recorded, record, pregenerated: taken !== undefined }, attested };
  }, close);
}

async function recordOf(
  key: ProvidedKey,
  assurance: KeyRecord['assurance'],
  attempts: Selection['attempts'],
  options: MakeKeyOptions,
): Promise<Omit<MadeKey, 'pregenerated'>> {
  const { policy, user, deviceId, pinRecovery: recovery, pinPepper: pepper, signal } = options;
  const pin = pinOf(options);
  const now = options.now ?? (() => new Date());
  const { publicKey, backend } = key;
  const id = keyIdOf(publicKey);
  const { pin: rules, ...applied } = policy;
  const reason = backend === 'tpm' ? 'the TPM made the key' : 'software made the key';
  const name = `ngc-${toHex(id).slice(0, 32)}`;
  const record: KeyRecord = {
    ...key,
    id: name,
    name: [user, deviceId].filter(Boolean).join(' on ') || name,
    ...(user !== undefined && { user }),
    ...(deviceId !== undefined && { deviceId }),
    assurance,
    created: now().toISOString(),
    policy: pin === undefined ? applied : policy,
    attempts: [...attempts, { backend, outcome: 'used', reason }],
    annotations: {},
  };
  const fellBack = attempts.some(({ outcome }) => outcome === 'failed');
  if (pin === undefined) return { record, keyId: id, fellBack };
  const context = { publicKey, recovery, pepper, signal, now: () => now().getTime() };
  return { record: writePinState(record, await newPinState(pin, rules, context)), keyId: id, fellBack };
}

async function attest(
  provider: TpmKeyProvider,
  key: ProvidedKey,
  options: KeyRequestOptions & Pick<MakeKeyOptions, 'onEvent'>,
  stock: KeyStock | undefined,
): Promise<AttestedKey> {
  const { onEvent } = options;
  onEvent?.({ type: 'begin', step: 'attestation' });
  const attested = await attestForRequest(provider, key, options, stock);
  onEvent?.({ type: 'end', step: 'attestation', detail: describeAttestation(attested.outcome) });
  return attested;
}

function buildRequest(
  { publicKey }: ProvidedKey,
  attested: AttestedKey,
  options: KeyRequestOptions & Pick<MakeKeyOptions, 'onEvent'>,
): KeyRequest {
  const { onEvent } = options;
  onEvent?.({ type: 'begin', step: 'request' });
  const built = requestOf(publicKey, attested, options);
  const { body, profile, carriesAttestation } = built.request;
  const carried = carriesAttestation ? 'with the attestation' : 'without attestation';
  onEvent?.({ type: 'end', step: 'request', detail: `${body.length} characters, profile ${profile}, ${carried}` });
  return built;
}
