import { type AttestationKey, createAttestationKey } from '../attestation/attestation-key.ts';
import { attestKey } from '../attestation/certify.ts';
import { checkChallenge } from '../attestation/challenge.ts';
import type { AttestationStatement } from '../attestation/statement.ts';
import { type Bytes, checkList, copy } from '../bytes.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import { SelectionError } from '../errors/selection-error.ts';
import { causedBy, type ErrorCode, isKeyprovError, KeyprovError, sayError, withCleanup } from '../errors.ts';
import { buildKast } from '../formats/windows/kast.ts';
import { buildKeyRegistration } from '../formats/windows/key-registration.ts';
import type { CreateKeyOptions, ProvidedKey } from '../keys/provider.ts';
import type { CreatedTpmKey, TpmKeyProvider } from '../keys/tpm-provider.ts';
import type { Policy } from '../policy/index.ts';
import { cleanUnlessAborted, type SignalOptions } from '../signal.ts';
import { decode } from '../tpm/codec/index.ts';
import { TPM2B_PRIVATE } from '../tpm/structures/object.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { askService } from './ask-service.ts';

/** Result of the attestation. */
export type AttestationOutcome =
  | {
      readonly status: 'made';
      readonly statement: AttestationStatement;
      /** Why the attestation key has no certificate, although there is an `enrolAk`. */
      readonly uncertified?: { readonly code: ErrorCode; readonly reason: string } | undefined;
    }
  | { readonly status: 'none'; readonly code?: ErrorCode; readonly reason: string };

/**
 * Has an attestation CA certify the attestation key, for example with `enrolAttestationKey`. Returns X.509 certificates
 * in DER, the key's own first.
 */
export type EnrolAk = (tpm: Tpm, ak: AttestationKey, options: SignalOptions) => Promise<readonly Uint8Array[]>;

/** Options for attesting a key and building its registration request. */
export interface KeyRequestOptions extends SignalOptions {
  readonly policy: Pick<Policy, 'algorithm' | 'attestation'>;
  /** 1 to 64 bytes from the service, or derived from its nonce. They become the statement's extraData. */
  readonly challenge: Uint8Array;
  /**
   * `strict`: the body of MS-KPP, RSA-2048 only and without attestation. `attested`: also with the members that this
   * library's own profile adds. Default: `attested` if there is an attestation, or the key is not RSA-2048; else
   * `strict`. Use `strict` for a service that refuses unknown members.
   */
  readonly profile?: 'strict' | 'attested' | undefined;
  /**
   * Absent: the attestation key has no certificate. If it fails and policy does not require attestation, the key is
   * attested without a certificate.
   */
  readonly enrolAk?: EnrolAk | undefined;
}

/** The body for the key registration service, and whether it carries the attestation. */
export interface RegistrationBody {
  readonly profile: 'strict' | 'attested';
  /** JSON. */
  readonly body: string;
  readonly carriesAttestation: boolean;
  /** Why the body carries no attestation, for people; absent if it carries one. */
  readonly reason?: string | undefined;
}

/** The registration request of a key. */
export interface KeyRequest {
  readonly attestation: AttestationOutcome;
  readonly request: RegistrationBody;
}

/**
 * @throws RangeError if the challenge has a wrong length; KeyprovError `request-invalid` if the profile lacks the
 * algorithm.
 */
export function checkRequestOptions({ challenge, policy, profile }: KeyRequestOptions): void {
  checkChallenge(challenge);
  if (profile === 'strict' && policy.algorithm !== 'rsa-2048') {
    throw new KeyprovError('request-invalid', `the strict profile does not accept ${policy.algorithm} keys`, {
      remedy: 'use RSA-2048, or the attested profile if the service accepts it',
    });
  }
}

/** Keys made in advance in a TPM. */
export interface KeyStock {
  /** Takes a key and gives it this PIN; undefined if none fits. */
  takeKey(provider: TpmKeyProvider, options: CreateKeyOptions): Promise<CreatedTpmKey | undefined>;
  /** Returns the attestation key, which stays in the stock; undefined if there is none left. */
  attestationKey(tpm: Tpm, options: SignalOptions): Promise<AttestationKey | undefined>;
}

/** The attestation of a key, in the forms that requests carry. */
export interface AttestedKey {
  readonly outcome: AttestationOutcome;
  readonly kast?: Bytes;
}

export const UNATTESTED: AttestedKey = { outcome: { status: 'none', reason: 'a software key cannot be attested' } };

export function requestOf(
  publicKey: PublicKey,
  { outcome, kast: attestation }: AttestedKey,
  { policy, profile: wanted }: Pick<KeyRequestOptions, 'policy' | 'profile'>,
): KeyRequest {
  const profile = wanted ?? (attestation === undefined && policy.algorithm === 'rsa-2048' ? 'strict' : 'attested');
  if (profile === 'strict') {
    const reason = outcome.status === 'made' ? 'the strict profile has no member for an attestation' : outcome.reason;
    const body = buildKeyRegistration({ profile, publicKey });
    return { attestation: outcome, request: { profile, body, carriesAttestation: false, reason } };
  }
  const certificate = outcome.status === 'made' ? outcome.statement.ak.certificates?.[0] : undefined;
  const body = buildKeyRegistration({
    ...{ profile, publicKey },
    ...(attestation && { attestation }),
    ...(certificate && { aikCertificate: copy(certificate) }),
  });
  const carriesAttestation = attestation !== undefined;
  const reason = outcome.status === 'none' ? { reason: outcome.reason } : {};
  return { attestation: outcome, request: { profile, body, carriesAttestation, ...reason } };
}

/**
 * Has the TPM attest a key over the challenge, without its PIN. `creation` is the TPM's creation data of the key.
 * @throws KeyprovError `attestation-unavailable` if policy requires attestation and it failed.
 */
export async function attestForRequest(
  provider: TpmKeyProvider,
  key: ProvidedKey & Partial<Pick<CreatedTpmKey, 'creation'>>,
  { policy, challenge, enrolAk, signal }: KeyRequestOptions,
  stock: KeyStock | undefined,
): Promise<AttestedKey> {
  if (policy.attestation === 'none') return { outcome: { status: 'none', reason: 'policy turns attestation off' } };
  const { tpm } = provider;
  try {
    const attest = () => attestInTpm(provider, key, { policy, challenge, enrolAk, signal }, stock);
    // The attestation CA is asked in between: other users of the TPM must not wait for it.
    return enrolAk === undefined ? await tpm.turn(attest, { signal }) : await attest();
  } catch (error) {
    signal?.throwIfAborted();
    if (!isKeyprovError(error)) throw error;
    if (policy.attestation === 'required') {
      const reason = `the key was not attested: ${error.message}`;
      const attempt = { backend: 'tpm', outcome: 'failed', code: error.code, reason } as const;
      throw new SelectionError('attestation-unavailable', reason, [attempt], causedBy(error));
    }
    return { outcome: { status: 'none', code: error.code, reason: sayError(error) } };
  }
}

async function attestInTpm(
  provider: TpmKeyProvider,
  key: Parameters<typeof attestForRequest>[1],
  options: KeyRequestOptions,
  stock: KeyStock | undefined,
): Promise<AttestedKey> {
  const { challenge, signal } = options;
  const { tpm, endorsementAuth, saltKey } = provider;
  const stocked = await stock?.attestationKey(tpm, { signal });
  const ak = stocked ?? (await createAttestationKey(tpm, { algorithm: 'auto', endorsementAuth, saltKey, signal }));
  const release = stocked === undefined ? () => ak.close() : async () => {};
  return await withCleanup(async () => {
    const { akCertificates, uncertified } = await certificatesFor(tpm, ak, options);
    // The Certify branch of the key's policy needs no PIN, so the TPM does not get the PIN again.
    return await provider.useWithoutPin(key, { signal }, async ({ object, file }) => {
      const statement = await attestKey(tpm, {
        ...{ key: object, authorization: 'windows-hello-policy', ak, challenge, akCreation: true, signal },
        creation: key.creation,
        akCertificates,
      });
      const privateArea = decode(TPM2B_PRIVATE, file.privateArea);
      const kast = buildKast(statement, { claim: 'authority-and-subject', privateArea, authRequired: key.hasPin });
      return { outcome: { status: 'made', statement, ...(uncertified && { uncertified }) }, kast };
    });
  }, release);
}

/** The certificates of the attestation key. A service may accept it without, unless policy requires attestation. */
async function certificatesFor(tpm: Tpm, ak: AttestationKey, { policy, enrolAk, signal }: KeyRequestOptions) {
  if (enrolAk === undefined) return {};
  const enrol = () => cleanUnlessAborted(() => enrolAk(tpm, ak, { signal }), signal);
  try {
    const certificates = await askService(enrol, { name: 'enrolAk', outcomeUnknown: false, signal });
    return { akCertificates: checkList(certificates, 'the result of enrolAk') };
  } catch (error) {
    signal?.throwIfAborted();
    if (policy.attestation === 'required' || !isKeyprovError(error)) throw error;
    // Without the remedy: once the key is registered, to try again does not help.
    return { uncertified: { code: error.code, reason: error.message } };
  }
}

export function describeAttestation(outcome: AttestationOutcome): string {
  if (outcome.status === 'none') return `none: ${outcome.reason}`;
  const isCertified = (outcome.statement.ak.certificates?.length ?? 0) > 0;
  const { uncertified } = outcome;
  const by = uncertified
    ? `; ${describeUncertified(uncertified)}`
    : isCertified
      ? ', by a certified attestation key'
      : '';
  return `TPM2_Certify over the challenge${by}`;
}

/** That the attestation key has no certificate, and why. */
export function describeUncertified({ reason }: { readonly reason: string }): string {
  return `the attestation key has no certificate: ${reason}`;
}
