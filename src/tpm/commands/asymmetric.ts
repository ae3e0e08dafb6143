import { type Command, command, type HandleArg } from '../command.ts';
import type { TpmsEccPoint, TpmtRsaDecrypt } from '../structures/algorithm.ts';
import { TPM2B_PUBLIC_KEY_RSA, TPM2B_PUBLIC_KEY_RSA_SECRET, TPMT_RSA_SCHEME } from '../structures/algorithm.ts';
import { TPM2B_DATA } from '../structures/base.ts';
import { TPM2B_ECC_POINT, TPM2B_ECC_POINT_SECRET } from '../structures/object.ts';

/** Arguments of {@link RSA_Decrypt}. */
export interface RsaDecryptArgs {
  keyHandle: HandleArg;
  cipherText: Uint8Array;
  /** TPM_ALG_NULL uses the key's scheme; for a key without a scheme, the result is the complete padded block. */
  inScheme: TpmtRsaDecrypt;
  /** The OAEP label, including its terminating zero byte. */
  label: Uint8Array;
}
/** Decrypts with an RSA key. TPM2_RSA_Decrypt, Part 3, 14.3. */
export const RSA_Decrypt: Command<RsaDecryptArgs, { message: Uint8Array }> = command('RSA_Decrypt', {
  handles: { keyHandle: 'user' },
  parameters: { cipherText: TPM2B_PUBLIC_KEY_RSA, inScheme: TPMT_RSA_SCHEME, label: TPM2B_DATA },
  answer: { message: TPM2B_PUBLIC_KEY_RSA_SECRET },
});

/** Multiplies a point with a private ECC key. TPM2_ECDH_ZGen, Part 3, 14.5. */
export const ECDH_ZGen: Command<{ keyHandle: HandleArg; inPoint: TpmsEccPoint }, { outPoint: TpmsEccPoint }> = command(
  'ECDH_ZGen',
  {
    handles: { keyHandle: 'user' },
    parameters: { inPoint: TPM2B_ECC_POINT },
    answer: { outPoint: TPM2B_ECC_POINT_SECRET },
  },
);
