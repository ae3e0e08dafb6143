import { describe, expect, it } from 'vitest';
import { nearest } from '../../src/nearest.ts';

describe('nearest', () => {
  const names = ['hardware', 'virtualTpm', 'algorithm', 'allowedAlgorithms', 'attestation'] as const;

  it.each([
    ['hardwear', 'hardware'],
    ['HARDWARE', 'hardware'],
    ['virtual-tpm', 'virtualTpm'],
    ['algorithms', 'algorithm'],
    ['allowed_algorithm', 'allowedAlgorithms'],
    ['atestation', 'attestation'],
    ['attestatoin', 'attestation'],
  ])('suggests %s for %s', (typed, meant) => {
    expect(nearest(typed, names)).toBe(meant);
  });

  it.each(['', 'pin', 'x'.repeat(100_000), '----'])('suggests nothing that is not near', (typed) => {
    expect(nearest(typed, names)).toBeUndefined();
  });

  it('does not count the beginning that all names share', () => {
    const variables = ['KEYPROV_POLICY_ALGORITHM', 'KEYPROV_POLICY_HARDWARE'];
    expect(nearest('KEYPROV_POLICY_FOO', variables)).toBeUndefined();
    expect(nearest('KEYPROV_POLICY_HARDWEAR', variables)).toBe('KEYPROV_POLICY_HARDWARE');
    expect(nearest('KEYPROV_HARDWARE', variables)).toBeUndefined();
    expect(nearest('anny', ['absent', 'any'])).toBe('any');
  });

  it('counts two swapped letters as one mistake', () => {
    expect(nearest('tmp', ['store', 'tpm'])).toBe('tpm');
  });

  it('prefers the name that is nearer', () => {
    expect(nearest('p384', ['p-256', 'p-384'])).toBe('p-384');
  });
});
