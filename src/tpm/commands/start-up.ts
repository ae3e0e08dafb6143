import { oneOf } from '../codec/index.ts';
import { type Command, command } from '../command.ts';
import { TPM_SU, type TpmSus } from '../constants.ts';

const TPM_SU_CODE = oneOf('TPM_SU', 2, TPM_SU.CLEAR, TPM_SU.STATE);

/** Starts operation after power-on. TPM2_Startup, Part 3, 9.3. */
export const Startup: Command<{ startupType: TpmSus[keyof TpmSus] }, object> = command('Startup', {
  parameters: { startupType: TPM_SU_CODE },
});

/** Prepares for a loss of power. TPM2_Shutdown, Part 3, 9.4. */
export const Shutdown: Command<{ shutdownType: TpmSus[keyof TpmSus] }, object> = command('Shutdown', {
  parameters: { shutdownType: TPM_SU_CODE },
});
