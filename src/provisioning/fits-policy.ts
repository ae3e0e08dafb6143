import { type Attempt, SelectionError } from '../errors/selection-error.ts';
import { KeyprovError } from '../errors.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import type { Policy } from '../policy/index.ts';

/**
 * Why policy no longer allows an existing key; undefined if it does. The error has the code with which policy would
 * refuse to make such a key.
 */
export function policyProblem(
  { backend, assurance, algorithm, hasPin }: KeyRecord,
  policy: Policy,
  { wantsPin }: { readonly wantsPin: boolean },
): KeyprovError | undefined {
  const remedy = 'make a new key that meets the policy, or change the policy';
  const problem = (text: string) => `the existing key no longer meets the policy: ${text}`;
  const refused = (code: SelectionError['code'], text: string, attempt: Partial<Attempt> = {}) => {
    const reason = problem(text);
    return new SelectionError(code, reason, [{ backend, outcome: 'passed-over', code, reason, ...attempt }], {
      remedy,
    });
  };
  if (backend !== 'tpm') {
    if (policy.hardware === 'required') return refused('hardware-required', 'a TPM is now required');
    if (policy.attestation === 'required') return refused('attestation-unavailable', 'attestation is now required');
  }
  if (assurance === 'virtual' && policy.virtualTpm === 'refuse') {
    const attempt = { outcome: 'failed', code: 'virtual-tpm-refused' } as const;
    return refused('hardware-required', 'virtual TPMs are now refused', attempt);
  }
  if (!policy.allowedAlgorithms.includes(algorithm)) {
    return refused('algorithm-unsupported', `${algorithm} keys are no longer allowed`);
  }
  return wantsPin && !hasPin ? new KeyprovError('pin-required', problem('it has no PIN'), { remedy }) : undefined;
}
