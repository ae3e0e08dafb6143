/** A kit for tests: TPMs of their own, faults, and an authority for their certificates. */
export { exportSwtpmState, importSwtpmState } from '../tpm/swtpm-state.ts';
export { type Fault, type FaultyTransport, faultyTransport } from './faulty-transport.ts';
export type { SimulatorOptions } from './start-simulator.ts';
export {
  createTestAuthority,
  type TestActivation,
  type TestAuthority,
  type TestAuthorityOptions,
} from './test-authority.ts';
export { openTpmIn, TPM_CONDITIONS, type TpmCondition } from './tpm-conditions.ts';
export {
  missingSimulator,
  openTestTpm,
  type TestTpm,
  type TestTpmOptions,
  type TpmWork,
  withTpm,
} from './with-tpm.ts';
