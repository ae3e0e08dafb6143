export { ECDH_ZGen, RSA_Decrypt, type RsaDecryptArgs } from './asymmetric.ts';
export {
  Certify,
  type CertifyArgs,
  CertifyCreation,
  type CertifyCreationArgs,
  type CertifyResult,
  Quote,
  type QuoteArgs,
} from './attestation.ts';
export { GetCapability, type GetCapabilityArgs, type GetCapabilityResult, TestParms } from './capability.ts';
export { ReadClock } from './clock.ts';
export { ContextLoad, ContextSave, EvictControl, type EvictControlArgs, FlushContext } from './context.ts';
export {
  DictionaryAttackLockReset,
  DictionaryAttackParameters,
  type DictionaryAttackParametersArgs,
} from './dictionary-attack.ts';
export {
  Clear,
  CreatePrimary,
  type CreatePrimaryArgs,
  type CreatePrimaryResult,
  HierarchyChangeAuth,
} from './hierarchy.ts';
export { PCR_Extend, PCR_Read, type PcrReadResult } from './integrity.ts';
export {
  NV_Certify,
  NV_DefineSpace,
  NV_Read,
  NV_ReadPublic,
  NV_UndefineSpace,
  NV_Write,
  type NvCertifyArgs,
  type NvDefineSpaceArgs,
  type NvReadArgs,
  type NvWriteArgs,
} from './nv.ts';
export {
  ActivateCredential,
  type ActivateCredentialArgs,
  Create,
  type CreateArgs,
  CreateLoaded,
  type CreateLoadedArgs,
  type CreateLoadedResult,
  type CreateResult,
  Load,
  type LoadArgs,
  LoadExternal,
  type LoadExternalArgs,
  MakeCredential,
  type MakeCredentialArgs,
  ObjectChangeAuth,
  type ObjectChangeAuthArgs,
  ReadPublic,
  type ReadPublicResult,
} from './object.ts';
export {
  PolicyAuthorize,
  type PolicyAuthorizeArgs,
  PolicyAuthorizeNV,
  PolicyAuthValue,
  PolicyCommandCode,
  PolicyCounterTimer,
  type PolicyCounterTimerArgs,
  PolicyCpHash,
  PolicyDuplicationSelect,
  type PolicyDuplicationSelectArgs,
  PolicyGetDigest,
  PolicyLocality,
  PolicyNameHash,
  PolicyNV,
  type PolicyNvArgs,
  PolicyNvWritten,
  PolicyOR,
  PolicyPassword,
  PolicyPCR,
  PolicyPhysicalPresence,
  PolicySecret,
  type PolicySecretArgs,
  type PolicySession,
  PolicySigned,
  type PolicySignedArgs,
  PolicyTemplate,
  PolicyTicket,
  type PolicyTicketArgs,
  type PolicyTicketResult,
} from './policy.ts';
export { GetRandom, StirRandom } from './random.ts';
export { PolicyRestart, StartAuthSession, type StartAuthSessionArgs, type StartAuthSessionResult } from './session.ts';
export { Sign, type SignArgs, VerifySignature, type VerifySignatureArgs } from './signing.ts';
export { Shutdown, Startup } from './start-up.ts';
export { Hash, type HashArgs } from './symmetric.ts';
export { GetTestResult, type GetTestResultResult, SelfTest } from './testing.ts';
