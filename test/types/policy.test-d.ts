import { definePolicy, type KeyAlgorithm, type Policy } from '../../src/policy/index.ts';

const policy: Policy = definePolicy({ hardware: 'required', allowedAlgorithms: ['p-256'] });
export const algorithm: KeyAlgorithm = policy.algorithm;

// @ts-expect-error settings are literal unions
definePolicy({ hardware: 'maybe' });
// @ts-expect-error unknown settings do not compile
definePolicy({ hardwear: 'required' });
// @ts-expect-error a policy does not change
policy.hardware = 'preferred';
// @ts-expect-error nor does its list
policy.allowedAlgorithms.push('p-384');
