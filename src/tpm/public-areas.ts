/** Public areas of endorsement, storage, attestation and user keys, and the policy digests in them, computed offline. */
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
export {
  akTemplate,
  type EkTemplateName,
  ekTemplate,
  srkTemplate,
  type UserKeyAlgorithm,
  type UserKeyUsage,
  userKeyTemplate,
} from './templates.ts';
