/** A test kit: a TPM, a directory or an identity service for each test, fault injection, and a CA. */
export { exportSwtpmState, importSwtpmState } from '../tpm/swtpm-state.ts';
export {
  type BoundClient,
  bindDirectory,
  type DirectoryAccount,
  type DirectoryConnection,
} from './directory/directory-connection.ts';
export {
  addKeyCredential,
  type DirectoryUser,
  removeKeyCredential,
} from './directory/key-credential-writer.ts';
export type { LdapClient, LdapWriter } from './directory/ldap-client.ts';
export { type DirectoryOptions, startDirectory, type TestDirectory } from './directory/slapd.ts';
export { type Fault, type FaultyTransport, faultyTransport } from './faulty-transport.ts';
export type { ServiceDevice } from './identity-service/device-table.ts';
export type { Intercept, RequestFault, RequestInfo } from './identity-service/intercept.ts';
export { type JoinDeviceOptions, type JoinedDevice, joinDevice } from './identity-service/join-device.ts';
export type { OutboxEntry, ServiceKey, SyncOutcome } from './identity-service/key-table.ts';
export type { RequestLogEntry } from './identity-service/listen.ts';
export type { MfaControl } from './identity-service/mfa.ts';
export type {
  AttestationPolicy,
  IdentityServiceOptions,
  MfaBehaviour,
  ServiceUser,
} from './identity-service/service-options.ts';
export {
  type IdentityService,
  type SyncTimerOptions,
  startIdentityService,
} from './identity-service/start-identity-service.ts';
export type { SyncResult } from './identity-service/sync.ts';
export { signingKeyOf } from './signing-key.ts';
export type { SimulatorOptions } from './start-simulator.ts';
export {
  createTestAuthority,
  type TestActivation,
  type TestAuthority,
  type TestAuthorityOptions,
} from './test-authority.ts';
export { openTpmIn, TPM_CONDITIONS, type TpmCondition } from './tpm-conditions.ts';
export {
  missingSimulator,
  openTestTpm,
  type TestTpm,
  type TestTpmOptions,
  type TpmWork,
  withTpm,
} from './with-tpm.ts';
