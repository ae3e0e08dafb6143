import { createAttestationKey } from '../attestation/attestation-key.ts';
import { attestKey } from '../attestation/certify.ts';
import type { AttestationStatement } from '../attestation/statement.ts';
import type { Bytes } from '../bytes.ts';
import { type ErrorCode, isKeyprovError, KeyprovError, withCleanup } from '../errors.ts';
import { type MadeKey, type MakeKeyOptions, makeKey } from '../keys/make-key.ts';
import type { ProviderSources } from '../keys/select-provider.ts';
import type { CreatedTpmKey, TpmKeyProvider } from '../keys/tpm-provider.ts';
import type { Policy } from '../policy/index.ts';
import { keyId } from '../request/cng-blob.ts';
import { buildKast } from '../request/kast.ts';
import { buildKeyRegistration, publicBlob } from '../request/key-registration.ts';
import { decode } from '../tpm/codec/index.ts';
import { TPM2B_PRIVATE } from '../tpm/structures/object.ts';

/** What is going on; each `begin` is followed by an `end` of the same step, or by the failure of the whole. */
export type ProvisionEvent =
  | { readonly type: 'begin'; readonly step: ProvisionStep }
  | { readonly type: 'end'; readonly step: ProvisionStep; readonly detail: string };

/** The steps of {@link provisionKey}, in their order. */
export type ProvisionStep = 'key' | 'attestation' | 'request';

/** Options of {@link provisionKey}. */
export interface ProvisionKeyOptions extends Omit<MakeKeyOptions, 'complete'> {
  readonly policy: Policy;
  readonly sources: ProviderSources;
  /** 1 to 64 bytes that the service gave out, or that stand for its nonce: they become the extraData. */
  readonly challenge: Uint8Array;
  /**
   * `strict`: the body that MS-KPP names, RSA-2048 only. `attested`: with the members of this library's own profile.
   * Default: `strict` for RSA-2048, else `attested`.
   */
  readonly profile?: 'strict' | 'attested';
  readonly onEvent?: (event: ProvisionEvent) => void;
}

/** What came of the attestation. */
export type AttestationOutcome =
  | { readonly status: 'made'; readonly statement: AttestationStatement }
  | { readonly status: 'none'; readonly code?: ErrorCode; readonly reason: string };

/** A key with its registration request, and how both came to be. */
export interface ProvisionedKey extends MadeKey {
  /** SHA-256 of the public key blob (RSA1, or ECS1 and ECS3): the KeyID of MS-ADTS 2.2.20. */
  readonly keyId: Bytes;
  readonly attestation: AttestationOutcome;
  /** The JSON body for the key registration service. */
  readonly request: { readonly profile: 'strict' | 'attested'; readonly body: string };
}

/**
 * Makes a user key as policy wants it, has the TPM attest it over the challenge, and builds the registration request.
 * Nothing is sent and nothing is stored: the result holds all that is to be kept.
 *
 * @throws SelectionError, PinError, TpmError as {@link makeKey} does; KeyprovError `attestation-unavailable` where
 * policy requires attestation and it failed; RangeError for a challenge that is not of 1 to 64 bytes.
 */
export async function provisionKey(options: ProvisionKeyOptions): Promise<ProvisionedKey> {
  const { policy, sources, challenge, onEvent = () => {}, ...rest } = options;
  const { profile = policy.algorithm === 'rsa-2048' ? 'strict' : 'attested' } = options;
  if (challenge.length < 1 || challenge.length > 64) {
    throw new RangeError(`a challenge of ${challenge.length} bytes: it must have 1 to 64`);
  }
  if (profile === 'strict' && policy.algorithm !== 'rsa-2048') {
    throw new KeyprovError('request-invalid', `the strict profile takes no ${policy.algorithm} keys`, {
      remedy: 'use RSA-2048, or the attested profile where the service knows it',
    });
  }
  let attestation: AttestationOutcome = { status: 'none', reason: 'a software key has nothing to attest it' };
  let kast: Bytes | undefined;
  onEvent({ type: 'begin', step: 'key' });
  const complete = async (provider: TpmKeyProvider, key: CreatedTpmKey): Promise<void> => {
    onEvent({ type: 'end', step: 'key', detail: `${policy.algorithm} in the TPM (${provider.assurance})` });
    onEvent({ type: 'begin', step: 'attestation' });
    [attestation, kast] = await attest(provider, key, options);
    onEvent({ type: 'end', step: 'attestation', detail: describe(attestation) });
  };
  const made = await makeKey(policy, sources, { ...rest, complete });
  if (made.key.backend === 'software') {
    attestation = { status: 'none', reason: 'a software key has nothing to attest it' };
    kast = undefined;
    onEvent({ type: 'end', step: 'key', detail: `${policy.algorithm} in software` });
  }
  onEvent({ type: 'begin', step: 'request' });
  const { publicKey } = made.key;
  const body =
    profile === 'strict'
      ? buildKeyRegistration({ profile, publicKey })
      : buildKeyRegistration({ profile, publicKey, ...(kast && { attestation: kast }) });
  onEvent({ type: 'end', step: 'request', detail: `${body.length} characters, profile ${profile}` });
  return { ...made, keyId: keyId(publicBlob(publicKey)), attestation, request: { profile, body } };
}

async function attest(
  provider: TpmKeyProvider,
  key: CreatedTpmKey,
  { policy, challenge, signal }: ProvisionKeyOptions,
): Promise<[AttestationOutcome, Bytes | undefined]> {
  if (policy.attestation === 'none') return [{ status: 'none', reason: 'policy wants none' }, undefined];
  const { tpm } = provider;
  try {
    // The Certify branch of the key's policy needs no PIN, so the PIN is not given to the TPM once more.
    return await provider.useWithoutPin(key, { signal }, async ({ object, file }) => {
      const ak = await createAttestationKey(tpm, { algorithm: 'rsa-2048', signal });
      return await withCleanup(
        async () => {
          const statement = await attestKey(tpm, {
            key: object,
            authorization: 'windows-hello-policy',
            ak,
            challenge,
            creation: key.creation,
            akCreation: true,
            signal,
          });
          return [{ status: 'made', statement }, kastOf(statement, file.privateArea, key.hasPin)];
        },
        () => ak.close(),
      );
    });
  } catch (error) {
    signal?.throwIfAborted();
    if (!isKeyprovError(error)) throw error;
    if (policy.attestation === 'required') {
      throw new KeyprovError('attestation-unavailable', `the TPM did not attest the key: ${error.message}`, {
        cause: error,
      });
    }
    return [{ status: 'none', code: error.code, reason: error.message }, undefined];
  }
}

function kastOf(statement: AttestationStatement, privatePart: Bytes, authRequired: boolean): Bytes {
  const privateArea = decode(TPM2B_PRIVATE, privatePart);
  return buildKast(statement, { claim: 'authority-and-subject', privateArea, authRequired });
}

function describe(outcome: AttestationOutcome): string {
  return outcome.status === 'made' ? 'TPM2_Certify over the challenge' : `none: ${outcome.reason}`;
}
