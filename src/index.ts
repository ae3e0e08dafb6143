/** Get a user's key pair out of a TPM 2.0, attest it, and build its registration request. */
export { type ActivateCredentialOptions, activateCredential } from './attestation/activate.ts';
export { answerActivationChallenge } from './attestation/activation-challenge.ts';
export {
  AttestationKey,
  type CreateAttestationKeyOptions,
  createAttestationKey,
  loadAttestationKey,
  type SavedAttestationKey,
} from './attestation/attestation-key.ts';
export {
  type AttestKeyOptions,
  attestKey,
  type CertifyCreationOptions,
  type CertifyKeyOptions,
  certifyCreation,
  certifyKey,
} from './attestation/certify.ts';
export {
  type EndorsementKey,
  type OpenEndorsementKeyOptions,
  openEndorsementKey,
} from './attestation/endorsement-key.ts';
export {
  type EkCertificateFetcher,
  type EkCertificateProblem,
  type EkCertificates,
  type EkInfo,
  type FoundEkCertificate,
  type ReadEkCertificatesOptions,
  readEkCertificates,
} from './attestation/read-ek-certificates.ts';
export type { Bytes } from './bytes.ts';
export { type EcPublicKey, encodeSpkiPem, type PublicKey, type RsaPublicKey } from './crypto/public-key.ts';
export { MfaError, type MfaProblem, type TokenProblemCode } from './errors/mfa-error.ts';
export { PinError } from './errors/pin-error.ts';
export { PolicyError } from './errors/policy-error.ts';
export { type Attempt, type AttemptCode, SelectionError } from './errors/selection-error.ts';
export type { ErrorDetails } from './errors/service-error.ts';
export { type RetryClass, ServiceError } from './errors/service-error.ts';
export { isTpmError, TpmError, type TpmRefusal } from './errors/tpm-error.ts';
export {
  type ErrorByCode,
  type ErrorCode,
  type ErrorOf,
  isKeyprovError,
  KeyprovError,
  type KeyprovErrorOptions,
  type PlainErrorCode,
} from './errors.ts';
export { FALLBACK_REASONS, type FallbackClass, type FallbackReason, fallbackClassOf } from './keys/fallback.ts';
export type { AppliedPolicy, KeyRecord, RecordedAttempt, RecordedTpm } from './keys/key-record.ts';
export { type KeySources, keySources, type TpmOpener, type TpmSource } from './keys/key-sources.ts';
export { type KeyList, KeyStore, openKeyStore } from './keys/key-store.ts';
export { deriveAuthValue } from './keys/pin-derivation.ts';
export { openPinTryLog, type PinTryCount, PinTryLog, type PinTryLogOptions } from './keys/pin-try-log.ts';
export type { PreparedTpmKey } from './keys/prepared-key.ts';
export type {
  Assurance,
  Backend,
  ChangePinOptions,
  CreateKeyOptions,
  KeyProvider,
  PinDerivation,
  ProvidedKey,
  SignOptions,
} from './keys/provider.ts';
export {
  type Selection,
  type SelectionOptions,
  selectKeyProvider,
} from './keys/select-provider.ts';
export { openSoftwareKeyProvider, type SoftwareKeyProviderOptions } from './keys/software-provider.ts';
export { checkTpmIdentity, readTpmIdentity, type TpmIdentity } from './keys/tpm-identity.ts';
export {
  type CreatedTpmKey,
  type CreateTpmKeyOptions,
  openTpmKeyProvider,
  TpmKeyProvider,
  type TpmKeyProviderOptions,
} from './keys/tpm-provider.ts';
export { readWrappingSecret } from './keys/wrapping-secret.ts';
export { definePolicy, type KeyAlgorithm, type Policy, parsePolicy } from './policy/index.ts';
export { type ChangeUserPinOptions, changeUserPin, type ReplacePinOptions } from './provisioning/change-pin.ts';
export { type FoundKey, findKey, findKeys, type KeyChoice } from './provisioning/find-key.ts';
export { createKeyPool, KeyPool, type KeyPoolOptions, type TakeKeyOptions } from './provisioning/key-pool.ts';
export type {
  AttestationOutcome,
  EnrolAk,
  KeyRequest,
  KeyRequestOptions,
  RegistrationBody,
} from './provisioning/key-request.ts';
export {
  checkFresh,
  isFresh,
  type MfaAnswer,
  type MfaPrompt,
  MfaProof,
  type MfaRequest,
  type PassMfaOptions,
  passMfa,
} from './provisioning/mfa-gate.ts';
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
export {
  type EnterPinOptions,
  enterNewPin,
  type NewPinPrompt,
  type NewPinRequest,
} from './provisioning/pin-entry.ts';
export {
  openRecoverySecret,
  type PinRecovery,
  type PinRecoveryRequest,
  type PinRecoverySetup,
  type RecoverPin,
} from './provisioning/pin-recovery.ts';
export {
  type NewPinStateOptions,
  newPinState,
  type PinState,
  pinMustChangeOf,
  pinRulesFor,
  readPinState,
  writePinState,
} from './provisioning/pin-state.ts';
export {
  dsregcmdProbe,
  type PrerequisiteFacts,
  type PrerequisiteProbe,
  probePrerequisites,
  valuesProbe,
} from './provisioning/prerequisite-probe.ts';
export { ngcPrerequisiteSection, provisioningEvent } from './provisioning/prerequisite-report.ts';
export {
  checkPrerequisites,
  PREREQUISITE_ERROR_STATES,
  type PrerequisiteFinding,
  type PrerequisiteResult,
  type TpmFacts,
} from './provisioning/prerequisites.ts';
export { provision } from './provisioning/provision.ts';
export {
  type MadeKey,
  type MakeKeyOptions,
  makeKey,
  type ProvisionEvent,
  type ProvisionedKey,
  type ProvisionKeyOptions,
  type ProvisionStep,
  provisionKey,
  requestForKey,
} from './provisioning/provision-key.ts';
export {
  listRegistrations,
  type RegisteredRecord,
  type RegistrationRecord,
  readRegistration,
  registeredKeyOf,
} from './provisioning/registration-record.ts';
export { type ResetPinOptions, resetPinKeepingKey } from './provisioning/reset-pin.ts';
export type { FinishedRun, ProvisionOptions, ProvisionOutcome, RunEvent, RunStep } from './provisioning/run.ts';
export { listRuns, type RunOwner, type RunState, type UnfinishedRun } from './provisioning/run-journal.ts';
export { type UnregisterOptions, unregisterKey } from './provisioning/unregister.ts';
export {
  findWindowsError,
  formatWindowsCode,
  tpmHresult,
  type WindowsError,
  windowsErrorOf,
} from './provisioning/windows-errors.ts';
export {
  type AdSyncScheduler,
  parseAdSyncScheduler,
  type SyncSchedule,
  scheduleOf,
} from './registration/ad-sync-scheduler.ts';
export {
  attestationCaEnrolment,
  type EnrolAttestationKeyOptions,
  enrolAttestationKey,
} from './registration/attestation-ca.ts';
export {
  type AuthorizeDemand,
  authorizeUrl,
  type DeviceCodeDemand,
  deviceCodeRequest,
  NGC_CLAIMS,
  type SignInDemand,
} from './registration/authorize-request.ts';
export {
  authenticateWithDeviceCode,
  type DeviceCodeOptions,
  type DeviceCodePrompt,
} from './registration/device-code.ts';
export {
  type DiscoverServicesOptions,
  discoverServices,
  parseDiscovery,
  TRUSTED_HOSTS,
} from './registration/discovery.ts';
export type { DiscoveredService, DiscoveredServices } from './registration/discovery-document.ts';
export { deleteHelloMethod, graphReader, listHelloMethods } from './registration/graph.ts';
export { ldapReader } from './registration/ldap-reader.ts';
export type { LdapSearcher } from './registration/ldap-user.ts';
export { type OpenKeyRegistrarOptions, openKeyRegistrar } from './registration/open-key-registrar.ts';
export {
  type RegisterKeyOptions,
  type Registration,
  type RegistrationRequest,
  type RegistrationRetry,
  type RegistrationService,
  registerKey,
} from './registration/register-key.ts';
export {
  KEY_METHODS,
  MFA_METHODS,
  readTokenClaims,
  type TokenClaims,
  type TokenExpectations,
  type TokenProblem,
  tokenProblems,
} from './registration/registration-token.ts';
export { createServiceFetch, type ServiceFetch, type ServiceFetchOptions } from './registration/service-fetch.ts';
export type { ServiceOptions } from './registration/service-message.ts';
export { type SignIn, type SignInOptions, type SignInRequest, signInWithKey } from './registration/sign-in.ts';
export {
  type DirectoryReader,
  describeSyncStatus,
  type RegisteredKey,
  type SyncStatus,
  syncStatus,
  waitForSync,
} from './registration/sync-status.ts';
export type { IssuedTokens } from './registration/token-endpoint.ts';
export { type OpenTpmOptions, openTpm } from './tpm/open-tpm.ts';
export { Tpm } from './tpm/tpm.ts';
