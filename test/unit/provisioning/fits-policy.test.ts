import { expect, it } from 'vitest';
import { SelectionError } from '../../../src/errors/selection-error.ts';
import { definePolicy, type PolicySettings } from '../../../src/policy/index.ts';
import { policyProblem } from '../../../src/provisioning/fits-policy.ts';
import { keyRecord } from '../../key-record.ts';
import { refusal } from '../../refusal.ts';

it.each([
  [
    'a virtual TPM',
    { backend: 'tpm', assurance: 'virtual' },
    { virtualTpm: 'refuse' },
    'failed',
    'virtual-tpm-refused',
  ],
  [
    'software',
    { backend: 'software', assurance: 'software' },
    { hardware: 'required' },
    'passed-over',
    'hardware-required',
  ],
] as const)('%s that policy now refuses has the same outcome as for a new key', (_, of, policy, outcome, code) => {
  const problem = policyProblem(keyRecord('user', of), definePolicy(policy), { wantsPin: false });
  if (!(problem instanceof SelectionError)) expect.fail(String(problem));
  expect(problem).toMatchObject({ code: 'hardware-required', attempts: [{ backend: of.backend, outcome, code }] });
});

it.each<[string, Parameters<typeof keyRecord>[1], PolicySettings]>([
  ['a TPM is now required', { backend: 'software' }, { hardware: 'required' }],
  ['attestation is now required', { backend: 'software' }, { attestation: 'required' }],
  ['virtual TPMs are now refused', { assurance: 'virtual' }, { virtualTpm: 'refuse' }],
  ['p-256 keys are no longer allowed', { algorithm: 'p-256' }, { allowedAlgorithms: ['rsa-2048'] }],
  ['it has no PIN', { hasPin: false }, {}],
])('says what to do if %s', (what, of, settings) => {
  const problem = policyProblem(keyRecord('user', of), definePolicy(settings), { wantsPin: true });
  expect(
    refusal(() => {
      throw problem;
    }),
  ).toContain(
    `: the existing key no longer meets the policy: ${what}; make a new key that meets the policy, or change the policy`,
  );
});
