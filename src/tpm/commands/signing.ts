import { type Command, command, type HandleArg } from '../command.ts';
import { TPMT_SIG_SCHEME, TPMT_SIGNATURE, type TpmtSignature, type TpmtSigScheme } from '../structures/algorithm.ts';
import {
  TPM2B_DIGEST,
  TPMT_TK_HASHCHECK,
  TPMT_TK_VERIFIED,
  type TpmtTkHashcheck,
  type TpmtTkVerified,
} from '../structures/base.ts';

/** Arguments of {@link VerifySignature}. */
export interface VerifySignatureArgs {
  keyHandle: HandleArg;
  digest: Uint8Array;
  signature: TpmtSignature;
}
/** Verifies a signature with a loaded public key. TPM2_VerifySignature, Part 3, 20.1. */
export const VerifySignature: Command<VerifySignatureArgs, { validation: TpmtTkVerified }> = command(
  'VerifySignature',
  {
    handles: { keyHandle: 'none' },
    parameters: { digest: TPM2B_DIGEST, signature: TPMT_SIGNATURE },
    answer: { validation: TPMT_TK_VERIFIED },
  },
);

/** Arguments of {@link Sign}. */
export interface SignArgs {
  keyHandle: HandleArg;
  digest: Uint8Array;
  /** TPM_ALG_NULL uses the scheme of the key. */
  inScheme: TpmtSigScheme;
  /** For a restricted key the ticket of TPM2_Hash, else the NULL ticket. */
  validation: TpmtTkHashcheck;
}
/** Signs a digest. TPM2_Sign, Part 3, 20.2. */
export const Sign: Command<SignArgs, { signature: TpmtSignature }> = command('Sign', {
  handles: { keyHandle: 'user' },
  parameters: { digest: TPM2B_DIGEST, inScheme: TPMT_SIG_SCHEME, validation: TPMT_TK_HASHCHECK },
  answer: { signature: TPMT_SIGNATURE },
});
