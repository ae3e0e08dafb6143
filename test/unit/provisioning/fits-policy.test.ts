import { expect, it } from 'vitest';
import { SelectionError } from '../../../src/errors/selection-error.ts';
import { definePolicy } from '../../../src/policy/index.ts';
import { policyProblem } from '../../../src/provisioning/fits-policy.ts';
import { keyRecord } from '../../key-record.ts';

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
