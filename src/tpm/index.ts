/** TPM 2.0 at the level of its specification: commands as data, structures with codecs, sessions, transports. */

export { CodecError } from '../errors/codec-error.ts';
export {
  type HierarchyName,
  isTpmError,
  type ResponseCode,
  type ResponseCodeLayer,
  type ResponseCodePosition,
  TpmError,
  type TpmRefusal,
} from '../errors/tpm-error.ts';
export type { SignalOptions } from '../signal.ts';
export { parseTpmAddress, type TpmAddress } from './address.ts';
export {
  type LockoutState,
  listHandles,
  readLockout,
  readProperties,
  readVendor,
  supportsParameters,
  type TpmVendor,
} from './capabilities.ts';
export {
  type AnyCodec,
  type BitRange,
  type Codec,
  decode,
  encode,
  type FieldShapes,
  type Reader,
  type Shape,
  type Writer,
} from './codec/index.ts';
export type { AnswerHandle, Command, Entity, HandleArg, Role } from './command.ts';
export type { CommandTimeouts, TpmTimes } from './command-time.ts';
export * as commands from './commands/index.ts';
export {
  commandName,
  type HashAlg,
  handleType,
  TPM_ALG,
  TPM_CAP,
  TPM_CC,
  TPM_ECC,
  TPM_GENERATED_VALUE,
  TPM_HT,
  TPM_PT,
  TPM_RH,
  TPM_SE,
  TPM_ST,
  TPM_SU,
  type TpmAlgs,
  type TpmCaps,
  type TpmSts,
  type TpmSus,
} from './constants.ts';
export type { HierarchyAuth } from './hierarchy-auth.ts';
export { handleName, nvName, objectName, qualifiedName } from './names.ts';
export { type ReadNvOptions, readNv } from './nv.ts';
export { type OpenTpmOptions, openTpm } from './open-tpm.ts';
export { decodeResponseCode, describeResponseCode } from './response-code.ts';
export type { Authorization, Session, SessionAuthorization, SessionUse } from './session.ts';
export { type SaltKey, type StartSessionOptions, startSession } from './start-session.ts';
export * as structures from './structures/index.ts';
export { Tpm, type TpmOptions } from './tpm.ts';
export type { TpmObject } from './tpm-object.ts';
export { TPM_RC } from './tpm-rc.ts';
export type { RunOptions, TpmRunner } from './tpm-runner.ts';
export { readNature, type TpmNature } from './virtual.ts';
