import { type Bytes, EMPTY, uint32 } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { TpmError } from '../errors/tpm-error.ts';
import { encode } from './codec/index.ts';
import { HASHES, type HashAlg, TPM_ALG, TPM_CC, TPM_RH } from './constants.ts';
import { handleName, nvName } from './names.ts';
import { TPML_PCR_SELECTION, type TpmsPcrSelection } from './structures/base.ts';
import type { TpmsNvPublic } from './structures/nv.ts';

/** One step of a policy: turns the digest so far into the next one. */
export type PolicyStep = (digestSoFar: Uint8Array, hash: HashAlg) => Bytes;

const hashOf = (hash: HashAlg, ...parts: readonly Uint8Array[]): Bytes => digest(known(hash).name, ...parts);
const zeros = (hash: HashAlg): Bytes => new Uint8Array(known(hash).size);

function known(hash: HashAlg): (typeof HASHES)[HashAlg] {
  if (!Object.hasOwn(HASHES, hash)) throw new TypeError('hash must be TPM_ALG.SHA1, SHA256, SHA384 or SHA512');
  return HASHES[hash];
}

/**
 * Computes the digest of a policy from its steps, without a TPM. Part 1, 19.7; Part 3, 23 defines each step. Without
 * steps, returns the digest of an empty policy session: zeros.
 * @throws TypeError for an argument of another kind.
 */
export function policyDigest(hash: HashAlg, ...steps: readonly PolicyStep[]): Bytes {
  return steps.reduce<Bytes>((soFar, step) => step(soFar, hash), zeros(hash));
}

/** TPM2_PolicyAuthValue and TPM2_PolicyPassword, which give the same digest. Part 3, 23.17, 23.18. */
export const policyAuthValue: PolicyStep = (soFar, hash) => hashOf(hash, soFar, uint32(TPM_CC.PolicyAuthValue));

/** TPM2_PolicyCommandCode. Part 3, 23.11. */
export function policyCommandCode(commandCode: number): PolicyStep {
  return (soFar, hash) => hashOf(hash, soFar, uint32(TPM_CC.PolicyCommandCode), uint32(commandCode));
}

/** TPM2_PolicySecret with the Name of the entity. Part 3, 23.4. */
export function policySecret(entityName: Uint8Array, policyRef: Uint8Array = EMPTY): PolicyStep {
  return (soFar, hash) => hashOf(hash, hashOf(hash, soFar, uint32(TPM_CC.PolicySecret), entityName), policyRef);
}

/** TPM2_PolicyOR; an empty digest among the branches adds nothing. Part 3, 23.6. */
export function policyOr(...branches: readonly Uint8Array[]): PolicyStep {
  return (_soFar, hash) => hashOf(hash, zeros(hash), uint32(TPM_CC.PolicyOR), ...branches);
}

/** TPM2_PolicyPCR with the digest of the selected PCRs' values. Part 3, 23.7. */
export function policyPcr(pcrs: readonly TpmsPcrSelection[], pcrDigest: Uint8Array): PolicyStep {
  return (soFar, hash) => hashOf(hash, soFar, uint32(TPM_CC.PolicyPCR), encode(TPML_PCR_SELECTION, pcrs), pcrDigest);
}

/** TPM2_PolicyAuthorizeNV with the Name of the NV index. Part 3, 23.22. */
export function policyAuthorizeNv(indexName: Uint8Array): PolicyStep {
  return (soFar, hash) => hashOf(hash, soFar, uint32(TPM_CC.PolicyAuthorizeNV), indexName);
}

/** TPM2_PolicyNvWritten. Part 3, 23.20. */
export function policyNvWritten(written: boolean): PolicyStep {
  return (soFar, hash) => hashOf(hash, soFar, uint32(TPM_CC.PolicyNvWritten), new Uint8Array([written ? 1 : 0]));
}

/**
 * PolicyA of the EK Credential Profile: knowledge of the endorsement authorization. Profile, section B.6.2.
 * @throws TypeError for an argument of another kind.
 */
export function ekPolicyA(hash: HashAlg): Bytes {
  return policyDigest(hash, policySecret(handleName(TPM_RH.ENDORSEMENT)));
}

const POLICY_C_INDEX: Readonly<Record<number, number>> = {
  [TPM_ALG.SHA256]: 0x01c07f01,
  [TPM_ALG.SHA384]: 0x01c07f02,
  [TPM_ALG.SHA512]: 0x01c07f03,
};

/**
 * PolicyC of the EK Credential Profile: the policy in the NV index for that hash. Profile, section B.6.4.
 * @throws KeyprovError `tpm-unsupported` for SHA-1, for which the profile defines no index.
 */
export function ekPolicyC(hash: HashAlg): Bytes {
  const nvIndex = POLICY_C_INDEX[hash];
  if (nvIndex === undefined) {
    throw new TpmError('tpm-unsupported', 'the EK Credential Profile has no PolicyC for SHA-1', {
      remedy: 'use SHA-256, SHA-384 or SHA-512',
    });
  }
  const index: TpmsNvPublic = {
    nvIndex,
    nameAlg: hash,
    attributes: {
      policyWrite: true,
      writeAll: true,
      ppRead: true,
      ownerRead: true,
      authRead: true,
      policyRead: true,
      noDA: true,
      written: true,
    },
    authPolicy: ekPolicyA(hash),
    dataSize: 2 + HASHES[hash].size,
  };
  return policyDigest(hash, policyAuthorizeNv(nvName(index)));
}

/**
 * PolicyB of the EK Credential Profile, for keys of the high range: PolicyA or PolicyC. Profile, section B.6.3.
 * @throws KeyprovError `tpm-unsupported` for SHA-1.
 */
export function ekPolicyB(hash: HashAlg): Bytes {
  return policyDigest(hash, policyOr(ekPolicyA(hash), ekPolicyC(hash)));
}

/**
 * Returns the six branches of the policy that Windows' Platform Crypto Provider gives to its keys (SHA-256), in its
 * order. Four need the authorization value: any use, ObjectChangeAuth, Certify, ActivateCredential. The fifth is empty
 * unless the key can be exported. The sixth allows Certify without the value. Layout: microsoft/TSS.MSR, PCPTool.
 */
export function windowsHelloBranches(): readonly Bytes[] {
  const withAuth = (commandCode: number) =>
    policyDigest(TPM_ALG.SHA256, policyCommandCode(commandCode), policyAuthValue);
  return [
    policyDigest(TPM_ALG.SHA256, policyAuthValue),
    withAuth(TPM_CC.ObjectChangeAuth),
    withAuth(TPM_CC.Certify),
    withAuth(TPM_CC.ActivateCredential),
    EMPTY,
    policyDigest(TPM_ALG.SHA256, policyCommandCode(TPM_CC.Certify)),
  ];
}

/** The policy digest of a Windows Hello key: any of {@link windowsHelloBranches} satisfies the policy. */
export function windowsHelloPolicy(): Bytes {
  return policyDigest(TPM_ALG.SHA256, policyOr(...windowsHelloBranches()));
}
