import { KeyprovError } from '../errors.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import type { Policy } from '../policy/index.ts';

/**
 * Why a key that was made earlier is not one that policy allows now; undefined where it is one. Codes are those with
 * which such a key is refused when it is made.
 */
export function policyProblem(
  { backend, assurance, algorithm, hasPin }: KeyRecord,
  policy: Policy,
  { wantsPin }: { readonly wantsPin: boolean },
): KeyprovError | undefined {
  const wrong = (code: KeyprovError['code'], problem: string) =>
    new KeyprovError(code, `the key that was made before does not fit any more: ${problem}`);
  if (backend !== 'tpm') {
    if (policy.hardware === 'required') return wrong('hardware-required', 'policy requires a TPM now');
    if (policy.attestation === 'required') return wrong('attestation-unavailable', 'policy requires attestation now');
  }
  if (assurance === 'virtual' && policy.virtualTpm === 'refuse') {
    return wrong('virtual-tpm-refused', 'policy refuses virtual TPMs now');
  }
  if (!policy.allowedAlgorithms.includes(algorithm)) {
    return wrong('algorithm-unsupported', `policy allows no ${algorithm} keys now`);
  }
  return wantsPin && !hasPin ? wrong('pin-required', 'it has no PIN') : undefined;
}
