/**
 * Makes a user's key pair in a TPM 2.0, attests it, registers it with an identity service, and uses it.
 *
 * This entry point has what most programs need; the rest is in the subpaths: `keyprov/provisioning` (each step of the
 * run), `keyprov/keys`, `keyprov/policy`, `keyprov/registration`, `keyprov/windows`, `keyprov/attestation`,
 * `keyprov/formats/…`, `keyprov/tpm`, `keyprov/webcrypto`, `keyprov/inspect`, `keyprov/testing`.
 */
export type { Bytes } from './bytes.ts';
export { encodeSpkiPem, type PublicKey } from './crypto/public-key.ts';
export { CodecError } from './errors/codec-error.ts';
export { MfaError } from './errors/mfa-error.ts';
export { PinError } from './errors/pin-error.ts';
export { PinRefusedError } from './errors/pin-refused-error.ts';
export { PolicyError } from './errors/policy-error.ts';
export { type Attempt, SelectionError } from './errors/selection-error.ts';
export { ServiceError } from './errors/service-error.ts';
export { isTpmError, TpmError } from './errors/tpm-error.ts';
export {
  type ErrorByCode,
  type ErrorCode,
  type ErrorOf,
  isKeyprovError,
  KeyprovError,
  type KeyprovErrorOptions,
  type PlainErrorCode,
} from './errors.ts';
export type { KeyRecord } from './keys/key-record.ts';
export { type KeySources, keySources, type TpmOpener, type TpmSource } from './keys/key-sources.ts';
export { KeyStore, openKeyStore } from './keys/key-store.ts';
export type { Assurance, Backend, KeyProvider, SignOptions } from './keys/provider.ts';
export { openSoftwareKeyProvider } from './keys/software-provider.ts';
export { openTpmKeyProvider, TpmKeyProvider } from './keys/tpm-provider.ts';
export {
  definePolicy,
  type KeyAlgorithm,
  type Policy,
  type PolicyInForce,
  type PolicyInForceOptions,
  type PolicySettings,
  parsePolicy,
  policyInForce,
} from './policy/index.ts';
export { createKeyPool, KeyPool } from './provisioning/key-pool.ts';
export type { AttestationOutcome, KeyRequest } from './provisioning/key-request.ts';
export type { MfaAnswer, MfaPrompt, MfaRequest } from './provisioning/mfa-gate.ts';
export { createMfaPrompt, type MfaPromptOptions } from './provisioning/mfa-prompt.ts';
export {
  type AttestUserKeyOptions,
  type ChangeKeyPinOptions,
  type KeyProof,
  type OpenKeyOptions,
  openKey,
  UserKey,
  type UserKeyCryptoOptions,
  type UserKeyRequestOptions,
} from './provisioning/open-key.ts';
export type { NewPinPrompt, NewPinRequest } from './provisioning/pin-entry.ts';
export { provision } from './provisioning/provision.ts';
export {
  type ProvisionEvent,
  type ProvisionedKey,
  type ProvisionKeyOptions,
  type ProvisionStep,
  provisionKey,
} from './provisioning/provision-key.ts';
export type { FinishedRun, ProvisionOptions, ProvisionOutcome, RunEvent, RunStep } from './provisioning/run.ts';
export { unregisterKey } from './provisioning/unregister.ts';
export type { KeyRegistrar } from './registration/key-registrar.ts';
export { type OpenKeyRegistrarOptions, openKeyRegistrar } from './registration/open-key-registrar.ts';
export { createServiceFetch, type ServiceFetch } from './registration/service-fetch.ts';
export { openTpm } from './tpm/open-tpm.ts';
export { Tpm } from './tpm/tpm.ts';
