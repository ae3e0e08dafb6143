/**
 * The steps of a run, each callable alone: authentication, PIN, key, request, record; then changing and removing a key.
 */
export { MfaError, type MfaProblem, type TokenProblemCode } from '../errors/mfa-error.ts';
export { type ChangeUserPinOptions, changeUserPin, type ReplacePinOptions } from './change-pin.ts';
export { type FoundKey, findKey, findKeys, type KeyChoice } from './find-key.ts';
export { type CheckPoolOptions, createKeyPool, KeyPool, type KeyPoolOptions, type TakeKeyOptions } from './key-pool.ts';
export type {
  AttestationOutcome,
  EnrolAk,
  KeyRequest,
  KeyRequestOptions,
  RegistrationBody,
} from './key-request.ts';
export {
  checkFresh,
  isFresh,
  type MfaAnswer,
  type MfaPrompt,
  MfaProof,
  type MfaRequest,
  type PassMfaOptions,
  passMfa,
} from './mfa-gate.ts';
export { createMfaPrompt, type MfaPromptOptions } from './mfa-prompt.ts';
export { type EnterPinOptions, enterNewPin, type NewPinPrompt, type NewPinRequest } from './pin-entry.ts';
export {
  openRecoverySecret,
  type PinRecovery,
  type PinRecoveryRequest,
  type PinRecoverySetup,
  type RecoverPin,
} from './pin-recovery.ts';
export {
  type NewPinStateOptions,
  newPinState,
  type PinState,
  pinMustChangeOf,
  readPinState,
  writePinState,
} from './pin-state.ts';
export { provision } from './provision.ts';
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
} from './provision-key.ts';
export {
  listRegistrations,
  type RegisteredKey,
  type RegistrationRecord,
  readRegistration,
} from './registration-record.ts';
export { type ResetPinOptions, resetPinKeepingKey } from './reset-pin.ts';
export type { FinishedRun, ProvisionOptions, ProvisionOutcome, RunEvent, RunStep } from './run.ts';
export { listRuns, type RunOwner, type RunState, type UnfinishedRun } from './run-journal.ts';
export { readTpmFacts } from './tpm-facts.ts';
export { type UnregisterOptions, unregisterKey } from './unregister.ts';
