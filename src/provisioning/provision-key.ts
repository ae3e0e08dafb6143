import type { Bytes } from '../bytes.ts';
import { KeyprovError, withCleanup } from '../errors.ts';
import { computeKeyId } from '../formats/windows/cng-blob.ts';
import { encodePublicBlob } from '../formats/windows/key-registration.ts';
import { type MadeKey, type MakeKeyOptions, makeKey } from '../keys/make-key.ts';
import type { CreateKeyOptions, ProvidedKey } from '../keys/provider.ts';
import type { ProviderSources } from '../keys/select-provider.ts';
import { type CreatedTpmKey, openTpmKeyProvider, type TpmKeyProvider } from '../keys/tpm-provider.ts';
import type { Policy } from '../policy/index.ts';
import { Tpm } from '../tpm/tpm.ts';
import {
  type AttestedKey,
  attestForRequest,
  checkRequestOptions,
  describeAttestation,
  type KeyRequest,
  type KeyRequestOptions,
  requestOf,
  UNATTESTED,
} from './key-request.ts';
import { type KeySupply, NEW_KEYS } from './key-supply.ts';

/** What is going on; each `begin` is followed by an `end` of the same step, or by the failure of the whole. */
export type ProvisionEvent =
  | { readonly type: 'begin'; readonly step: ProvisionStep }
  | { readonly type: 'end'; readonly step: ProvisionStep; readonly detail: string };

/** The steps of {@link provisionKey}, in their order. */
export type ProvisionStep = 'key' | 'attestation' | 'request';

/** Options of {@link provisionKey}. */
export interface ProvisionKeyOptions extends Omit<MakeKeyOptions, 'complete' | 'create'>, KeyRequestOptions {
  readonly policy: Policy;
  readonly sources: ProviderSources;
  readonly onEvent?: ((event: ProvisionEvent) => void) | undefined;
}

/** A key with its registration request, and how both came to be. */
export interface ProvisionedKey extends MadeKey, KeyRequest {
  /** SHA-256 of the public key blob (RSA1, or ECS1 and ECS3): the KeyID of MS-ADTS 2.2.20. */
  readonly keyId: Bytes;
  /** True where the key itself was made in advance, by a `KeyPool`. */
  readonly pregenerated: boolean;
}

/**
 * Makes a user key as policy wants it, has the TPM attest it over the challenge, and builds the registration request.
 * Nothing is sent and nothing is stored: the result holds all that is to be kept.
 *
 * @throws SelectionError, PinError, TpmError as {@link makeKey} does; KeyprovError `attestation-unavailable` where
 * policy requires attestation and it failed; RangeError for a challenge that is not of 1 to 64 bytes.
 */
export async function provisionKey(options: ProvisionKeyOptions): Promise<ProvisionedKey> {
  return await provisionFrom(NEW_KEYS, options);
}

/** {@link provisionKey} with keys of that supply, where policy and machine lead to the TPM. */
export async function provisionFrom(supply: KeySupply, options: ProvisionKeyOptions): Promise<ProvisionedKey> {
  const { policy, sources, onEvent = () => {}, ...rest } = options;
  checkRequestOptions(options);
  let attested: AttestedKey = UNATTESTED;
  let pregenerated = false;
  onEvent({ type: 'begin', step: 'key' });
  const create = async (provider: TpmKeyProvider, wanted: CreateKeyOptions): Promise<CreatedTpmKey> => {
    const made = await supply.createKey(provider, wanted);
    pregenerated = made.pregenerated;
    return made.key;
  };
  const complete = async (provider: TpmKeyProvider, key: CreatedTpmKey): Promise<void> => {
    const when = pregenerated ? ', made in advance' : '';
    onEvent({ type: 'end', step: 'key', detail: `${policy.algorithm} in the TPM (${provider.assurance})${when}` });
    onEvent({ type: 'begin', step: 'attestation' });
    attested = await attestForRequest(provider, key, supply, options);
    onEvent({ type: 'end', step: 'attestation', detail: describeAttestation(attested.outcome) });
  };
  const made = await makeKey(policy, sources, { ...rest, create, complete });
  const isSoftware = made.key.backend === 'software';
  if (isSoftware) onEvent({ type: 'end', step: 'key', detail: `${policy.algorithm} in software` });
  const { publicKey } = made.key;
  const request = buildRequest(made.key, isSoftware ? UNATTESTED : attested, options);
  return {
    ...made,
    ...request,
    keyId: computeKeyId(encodePublicBlob(publicKey)),
    pregenerated: pregenerated && !isSoftware,
  };
}

/**
 * Builds the registration request of a key that exists, with the TPM's word on it over a fresh challenge. It shows that
 * the key is still there: another TPM, or this one after TPM2_Clear, does not load it.
 *
 * @throws KeyprovError `no-tpm` where a key in a TPM is to be attested and there is none; `tpm-identity-changed` or
 * `key-invalid` for a key that is not of this TPM; else as {@link provisionKey}.
 */
export async function requestForKey(
  key: ProvidedKey,
  options: Omit<ProvisionKeyOptions, 'pin' | 'previous' | 'allowDowngrade'>,
): Promise<KeyRequest> {
  const { sources, signal, tpmOptions, onEvent = () => {} } = options;
  checkRequestOptions(options);
  if (key.backend === 'software') return buildRequest(key, UNATTESTED, options);
  const { tpm: source } = sources;
  if (source === undefined) throw new KeyprovError('no-tpm', 'the key is in a TPM, and none was named');
  onEvent({ type: 'begin', step: 'attestation' });
  const tpm = source instanceof Tpm ? source : await source({ signal });
  const attested = await withCleanup(
    async () => {
      const provider = await openTpmKeyProvider(tpm, { ...tpmOptions, signal });
      // Loading it shows that it is here, whatever comes of the attestation.
      await provider.useWithoutPin(key, { signal }, async () => {});
      return await attestForRequest(provider, key, NEW_KEYS, options);
    },
    async () => {
      if (tpm !== source) await tpm.close();
    },
  );
  onEvent({ type: 'end', step: 'attestation', detail: describeAttestation(attested.outcome) });
  return buildRequest(key, attested, options);
}

function buildRequest(
  { publicKey }: ProvidedKey,
  attested: AttestedKey,
  options: Pick<ProvisionKeyOptions, 'onEvent'> & KeyRequestOptions,
): KeyRequest {
  const { onEvent = () => {} } = options;
  onEvent({ type: 'begin', step: 'request' });
  const built = requestOf(publicKey, attested, options);
  const { body, profile } = built.request;
  onEvent({ type: 'end', step: 'request', detail: `${body.length} characters, profile ${profile}` });
  return built;
}
