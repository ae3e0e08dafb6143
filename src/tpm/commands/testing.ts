import { type Command, command } from '../command.ts';
import { TPM2B_MAX_BUFFER, TPMI_YES_NO, UINT32 } from '../structures/base.ts';

/** Runs all self-tests (1), or those not run yet (0). TPM2_SelfTest, Part 3, 10.2. */
export const SelfTest: Command<{ fullTest: 0 | 1 }, object> = command('SelfTest', {
  parameters: { fullTest: TPMI_YES_NO },
});

/** Answer of {@link GetTestResult}. */
export interface GetTestResultResult {
  /** Defined by the manufacturer. */
  outData: Uint8Array;
  /** A TPM_RC: 0 passed, TPM_RC_TESTING, TPM_RC_NEEDS_TEST or TPM_RC_FAILURE. */
  testResult: number;
}
/** Reads the result of the self-tests; works in failure mode too. TPM2_GetTestResult, Part 3, 10.4. */
export const GetTestResult: Command<object, GetTestResultResult> = command('GetTestResult', {
  answer: { outData: TPM2B_MAX_BUFFER, testResult: UINT32 },
});
