/**
 * Public areas of endorsement, storage, attestation and user keys, their public keys and policy digests, computed
 * offline.
 */
export {
  ekPolicyA,
  ekPolicyB,
  ekPolicyC,
  type PolicyStep,
  policyAuthorizeNv,
  policyAuthValue,
  policyCommandCode,
  policyDigest,
  policyNvWritten,
  policyOr,
  policyPcr,
  policySecret,
  windowsHelloBranches,
  windowsHelloPolicy,
} from './policy-digest.ts';
export { publicKeyOf } from './public-key.ts';
export {
  akTemplate,
  type EkTemplateName,
  ekTemplate,
  srkTemplate,
  type UserKeyAlgorithm,
  type UserKeyUsage,
  userKeyTemplate,
} from './templates.ts';
