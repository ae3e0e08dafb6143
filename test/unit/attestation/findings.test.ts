import { expect, it } from 'vitest';
import { Findings } from '../../../src/attestation/findings.ts';

it('a result is returned, and a failure is a finding', () => {
  const findings = new Findings();
  expect(findings.make('structures', () => 5)).toBe(5);
  const broken = findings.make('structures', () => {
    throw new RangeError('cut off');
  });
  expect(broken).toBeUndefined();
  expect(findings.list.map(({ status, detail }) => `${status}: ${detail}`)).toEqual([
    'pass: every structure can be read, and has no bytes left over',
    'fail: cut off',
  ]);
});
