/**
 * Identity services and directories: sign-in, key registration, Microsoft Graph, LDAP, synchronization; TPM makers'
 * roots.
 */

export type { ErrorDetails } from '../errors/service-error.ts';
export { type MisplacedKey, type RetryClass, ServiceError, type ServiceErrorOptions } from '../errors/service-error.ts';
export {
  attestationCaEnrolment,
  type EnrolAttestationKeyOptions,
  enrolAttestationKey,
} from './attestation-ca.ts';
export {
  type AuthorizeDemand,
  authorizeUrl,
  type DeviceCodeDemand,
  deviceCodeRequest,
  NGC_CLAIMS,
  type SignInDemand,
} from './authorize-request.ts';
export { authenticateWithDeviceCode, type DeviceCodeOptions, type DeviceCodePrompt } from './device-code.ts';
export { type DiscoverServicesOptions, discoverServices, parseDiscovery } from './discovery.ts';
export type { DiscoveredService, DiscoveredServices } from './discovery-document.ts';
export { type EkCertificateServiceOptions, ekCertificateService } from './ek-certificate-service.ts';
export { TRUSTED_HOSTS } from './entra-hosts.ts';
export {
  deleteHelloMethod,
  type GraphOptions,
  type GraphReaderOptions,
  graphReader,
  type HelloMethod,
  listHelloMethods,
  readMethodDevice,
} from './graph.ts';
export type { ChallengeRequest, KeyRegistrar } from './key-registrar.ts';
export { type LdapReaderOptions, ldapReader } from './ldap-reader.ts';
export type { LdapEntry, LdapSearcher } from './ldap-user.ts';
export { type OpenKeyRegistrarOptions, openKeyRegistrar } from './open-key-registrar.ts';
export {
  type RegisterKeyOptions,
  type RegistrationAnswer,
  type RegistrationRequest,
  type RegistrationRetry,
  type RegistrationService,
  registerKey,
} from './register-key.ts';
export {
  KEY_METHODS,
  MFA_METHODS,
  readTokenClaims,
  type TokenClaims,
  type TokenExpectations,
  type TokenProblem,
  tokenProblems,
} from './registration-token.ts';
export { createServiceFetch, type ServiceFetch, type ServiceFetchOptions } from './service-fetch.ts';
export type { ServiceOptions } from './service-message.ts';
export { type SignIn, type SignInOptions, type SignInRequest, signInWithKey } from './sign-in.ts';
export type { Sleep } from './sleep.ts';
export {
  type DirectoryReader,
  describeSyncStatus,
  type ExpectedKey,
  forecastSync,
  type SyncForecast,
  type SyncStatus,
  type SyncStatusOptions,
  syncStatus,
  type WaitForSyncOptions,
  waitForSync,
} from './sync-status.ts';
export { type RegisteredKeyId, takeBackKey } from './take-back.ts';
export type { IssuedTokens } from './token-endpoint.ts';
export { loadTpmRoots, type TpmAuthority, type TpmRoots } from './tpm-roots.ts';
export type { TlsTrust } from './verified-tls.ts';
