import { KeyprovError } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { TPM_RC } from '../tpm/tpm-rc.ts';
import { type Fault, faultyTransport } from './faulty-transport.ts';
import { SIMULATOR_MEMBERS, type SimulatorOptions } from './start-simulator.ts';
import { openTestTpm } from './with-tpm.ts';

/**
 * Conditions of a machine's TPM, for table-driven tests: new; missing; in lockout; in failure mode; and lost, whose
 * connection breaks at the first command after its start.
 */
export const TPM_CONDITIONS = ['working', 'absent', 'locked', 'failing', 'lost'] as const;
/** One of {@link TPM_CONDITIONS}. */
export type TpmCondition = (typeof TPM_CONDITIONS)[number];

/**
 * Opens a TPM in the given condition for the code under test: `provisionKey({ sources: { tpm: () => openTpmIn('locked')
 * }, … })`. The TPM ends when it is closed.
 * @throws KeyprovError `no-tpm` for `absent`, `tpm-failure-mode` for `failing`, and as `openTestTpm` does; TypeError for a
 * condition or an option that does not exist.
 */
export async function openTpmIn(condition: TpmCondition, options: SimulatorOptions = {}): Promise<Tpm> {
  if (!TPM_CONDITIONS.includes(condition))
    throw new TypeError(`openTpmIn: the condition must be one of ${TPM_CONDITIONS.join(', ')}`);
  options = checkMembers('openTpmIn', options, SIMULATOR_MEMBERS);
  if (condition === 'absent') throw new KeyprovError('no-tpm', 'the test simulates a machine without a TPM');
  const fault = FAULTS[condition];
  const { tpm } = await openTestTpm({
    ...options,
    lockout: condition === 'locked' ? 'locked' : 'default',
    wrap: (transport) => faultyTransport(transport, (_, index) => fault(index)),
  });
  return tpm;
}

const FAULTS: Readonly<Record<Exclude<TpmCondition, 'absent'>, (index: number) => Fault>> = {
  working: () => 'none',
  locked: () => 'none',
  failing: () => TPM_RC.FAILURE,
  lost: (index) => (index === 0 ? 'none' : 'lost'),
};
