export { isKeyAlgorithm, KEY_ALGORITHMS, type KeyAlgorithm } from './algorithm.ts';
export { definePolicy, type Policy, type PolicySettings, parsePolicy } from './define-policy.ts';
export { PolicyError, type PolicyProblem } from './policy-error.ts';
