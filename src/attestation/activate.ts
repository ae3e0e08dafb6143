import { type Bytes, checkObject, view } from '../bytes.ts';
import { isTpmError } from '../errors/tpm-error.ts';
import { KeyprovError, withCleanup } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import type { SignalOptions } from '../signal.ts';
import { encode } from '../tpm/codec/index.ts';
import type { HandleArg } from '../tpm/command.ts';
import { ActivateCredential } from '../tpm/commands/object.ts';
import { GetRandom } from '../tpm/commands/random.ts';
import { withHiddenAuth } from '../tpm/hidden-auth.ts';
import type { Authorization } from '../tpm/session.ts';
import { TPM2B_ENCRYPTED_SECRET } from '../tpm/structures/algorithm.ts';
import { TPM2B_ID_OBJECT } from '../tpm/structures/object.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { TPM_RC } from '../tpm/tpm-rc.ts';
import type { Credential } from './credential.ts';
import type { EndorsementKey } from './endorsement-key.ts';

/** Options of {@link activateCredential}. */
export interface ActivateCredentialOptions extends SignalOptions {
  readonly ek: EndorsementKey;
  /** The object that the credential was made for, with its authorization if it has one. */
  readonly ak: HandleArg;
  readonly credential: Credential;
}

/**
 * Recovers the secret of a credential. TPM2_ActivateCredential, Part 3, 12.5. Uses a session that is salted with the
 * endorsement key: the secret comes back encrypted, and the attestation key's authorization value is proved without
 * being sent. Nobody between this process and the TPM can read either one, if `ek` was checked against its certificate
 * or a record.
 *
 * @throws KeyprovError `credential-invalid` for a credential that was made for another endorsement key or another
 * object, or was changed; the TPM keeps working. TpmError if the TPM refuses for another reason.
 */
export async function activateCredential(tpm: Tpm, options: ActivateCredentialOptions): Promise<Bytes> {
  options = checkMembers('activateCredential', options, 'ek ak credential signal');
  checkObject(options, 'options of activateCredential', 'ek', 'ak', 'credential');
  const { ek, ak, credential, signal } = options;
  checkForm(credential);
  const { handle, publicArea, name } = ek;
  const activate = async (activateHandle: HandleArg, auth: Authorization): Promise<Bytes> => {
    const { credentialBlob, encryptedSecret: secret } = credential;
    const args = { activateHandle, keyHandle: { handle, name, auth }, credentialBlob, secret };
    try {
      return view((await tpm.run(ActivateCredential, args, { signal })).certInfo);
    } catch (error) {
      throw await refusal(tpm, error, { signal });
    }
  };
  const job = async (): Promise<Bytes> => {
    const auth = await ek.authorize({ signal });
    return await withCleanup(
      () => withHiddenAuth(tpm, ak, { saltKey: { handle, publicArea }, signal }, (hidden) => activate(hidden, auth)),
      () => auth.session.close(),
    );
  };
  return await tpm.turn(job, { signal });
}

/** Refuses a credential that cannot be sent at all. */
function checkForm({ credentialBlob, encryptedSecret }: Credential): void {
  try {
    encode(TPM2B_ID_OBJECT, credentialBlob);
    encode(TPM2B_ENCRYPTED_SECRET, encryptedSecret);
  } catch (cause) {
    throw unopenable(cause);
  }
}

/**
 * Translates an error of the command. libtpms 0.9.2 answers TPM_RC_FAILURE to an RSA secret that it cannot decrypt and
 * keeps working; a TPM in failure mode answers that to every other command too.
 */
async function refusal(tpm: Tpm, error: unknown, { signal }: SignalOptions): Promise<unknown> {
  if (!isTpmError(error)) return error;
  if (error.responseCode.position?.kind === 'parameter') return unopenable(error);
  if (error.responseCode.base !== TPM_RC.FAILURE) return error;
  try {
    await tpm.run(GetRandom, { bytesRequested: 1 }, { signal });
    return unopenable(error);
  } catch {
    // The TPM is in failure mode, as the first error says.
    return error;
  }
}

const unopenable = (cause: unknown): KeyprovError =>
  new KeyprovError('credential-invalid', 'the TPM cannot open the credential', {
    cause,
    remedy: "request a new credential for this endorsement key and this object's Name",
  });
