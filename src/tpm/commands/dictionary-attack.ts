import { type Command, command, type HandleArg } from '../command.ts';
import { UINT32 } from '../structures/base.ts';

/** Resets the counter of wrong authorizations to 0. TPM2_DictionaryAttackLockReset, Part 3, 25.2. */
export const DictionaryAttackLockReset: Command<{ lockHandle: HandleArg }, object> = command(
  'DictionaryAttackLockReset',
  { handles: { lockHandle: 'user' } },
);

/** Arguments of {@link DictionaryAttackParameters}. */
export interface DictionaryAttackParametersArgs {
  lockHandle: HandleArg;
  /** Wrong authorizations until lockout; 0 means always locked. */
  newMaxTries: number;
  /** Seconds until one wrong authorization is forgotten; 0 means no lockout at all. */
  newRecoveryTime: number;
  /** Seconds that the lockout authorization is blocked after a wrong try; 0 means until the next reset. */
  lockoutRecovery: number;
}
/** Sets how many wrong authorizations lock the TPM, and for how long. TPM2_DictionaryAttackParameters, Part 3, 25.3. */
export const DictionaryAttackParameters: Command<DictionaryAttackParametersArgs, object> = command(
  'DictionaryAttackParameters',
  {
    handles: { lockHandle: 'user' },
    parameters: { newMaxTries: UINT32, newRecoveryTime: UINT32, lockoutRecovery: UINT32 },
  },
);
