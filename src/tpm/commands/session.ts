import { oneOf } from '../codec/index.ts';
import { type Command, command, type HandleArg } from '../command.ts';
import { TPM_SE } from '../constants.ts';
import { TPM2B_ENCRYPTED_SECRET, TPMT_SYM_DEF, type TpmtSymDef } from '../structures/algorithm.ts';
import { TPM2B_NONCE, TPMI_ALG_HASH, type TpmiAlgHash } from '../structures/base.ts';

/** Arguments of {@link StartAuthSession}. */
export interface StartAuthSessionArgs {
  /** The key that decrypts the salt, or TPM_RH_NULL. */
  tpmKey: HandleArg;
  /** The entity to bind to, or TPM_RH_NULL. */
  bind: HandleArg;
  nonceCaller: Uint8Array;
  encryptedSalt: Uint8Array;
  sessionType: (typeof TPM_SE)[keyof typeof TPM_SE];
  symmetric: TpmtSymDef;
  authHash: TpmiAlgHash;
}
/** Answer of {@link StartAuthSession}. */
export interface StartAuthSessionResult {
  sessionHandle: number;
  nonceTPM: Uint8Array;
}
/** Starts an HMAC, policy or trial session. TPM2_StartAuthSession, Part 3, 11.1. */
export const StartAuthSession: Command<StartAuthSessionArgs, StartAuthSessionResult> = command('StartAuthSession', {
  handles: { tpmKey: 'none', bind: 'none' },
  parameters: {
    nonceCaller: TPM2B_NONCE,
    encryptedSalt: TPM2B_ENCRYPTED_SECRET,
    sessionType: oneOf('TPM_SE', 1, TPM_SE.HMAC, TPM_SE.POLICY, TPM_SE.TRIAL),
    symmetric: TPMT_SYM_DEF,
    authHash: TPMI_ALG_HASH,
  },
  answerHandle: { sessionHandle: 'session' },
  answer: { nonceTPM: TPM2B_NONCE },
});

/** Resets a policy session to its start. TPM2_PolicyRestart, Part 3, 11.2. */
export const PolicyRestart: Command<{ sessionHandle: HandleArg }, object> = command('PolicyRestart', {
  handles: { sessionHandle: 'none' },
});
