import { describe, expect, it } from 'vitest';
import { definePolicy } from '../../src/policy/index.ts';
import { readTpmFacts } from '../../src/provisioning/tpm-facts.ts';
import { checkPrerequisites } from '../../src/provisioning/windows/index.ts';
import { openTpmIn } from '../../src/testing/tpm-conditions.ts';
import { asyncRefusal } from '../refusal.ts';
import { newTpm, tpmMissing } from './support/new-tpm.ts';

const missingTpm = await tpmMissing();

describe('readTpmFacts', () => {
  it('knows a machine without a TPM', async () => {
    expect(await readTpmFacts({})).toBe('none');
    expect(await readTpmFacts({ tpm: () => openTpmIn('absent') })).toBe('none');
  });

  it('does not hide other failures', async () => {
    expect(await asyncRefusal(() => readTpmFacts({ tpm: 'nonsense' }))).toMatch(/^address-invalid: /);
  });

  it.skipIf(missingTpm)('takes nothing else for sources without a TPM', async () => {
    await using tpm = await newTpm();
    for (const wrong of [tpm, 'libtpms', undefined, null])
      expect(await asyncRefusal(() => readTpmFacts(wrong as never))).toMatch(
        /^foreign: TypeError: sources (?:has no option|must be) /,
      );
  });

  it.skipIf(missingTpm)('reads kind and lockout, and leaves an open TPM open', async () => {
    await using tpm = await newTpm();
    const facts = { version: '2.0', virtual: true, lockedOut: false };
    expect([await readTpmFacts({ tpm }), await readTpmFacts({ tpm })]).toEqual([facts, facts]);
  });

  it.skipIf(missingTpm)('says when a locked TPM may be asked again, and so does the finding', async () => {
    const facts = await readTpmFacts({ tpm: () => openTpmIn('locked') });
    expect(facts).toEqual({ version: '2.0', virtual: true, lockedOut: true, retryAfterSeconds: expect.any(Number) });
    if (facts === 'none') throw new Error('no TPM');
    const { retryAfterSeconds } = facts;
    const { findings } = checkPrerequisites({}, { policy: definePolicy({ hardware: 'required' }), tpm: facts });
    expect(findings.find(({ id }) => id === 'hardware-eligible')).toMatchObject({
      ...{ status: 'fail', retryAfterSeconds },
      remedy: `wait up to ${retryAfterSeconds} s, or reset the lockout`,
    });
  });
});
