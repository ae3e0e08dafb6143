import { expect, it } from 'vitest';
import { manufacturerProblem } from '../../../src/attestation/tpm-manufacturers.ts';
import { makerAdvice } from '../../../src/cli/options/maker-option.ts';

it.each([
  ['id:00000000', 1],
  [undefined, 0],
  ['INTC', 0],
])('advises --allow-maker only if it can accept the maker: %s', (maker, count) => {
  const detail = manufacturerProblem(maker, []) ?? '';
  const finding = { id: 'ek-manufacturer', status: 'fail', title: 'x', detail } as const;
  expect(makerAdvice([finding])).toHaveLength(count);
});
