import { EMPTY } from '../bytes.ts';
import { withCleanup } from '../errors.ts';
import type { Policy } from '../policy/index.ts';
import type { HandleArg } from '../tpm/command.ts';
import { PolicySecret } from '../tpm/commands/policy.ts';
import { TPM_RH } from '../tpm/constants.ts';
import { withHiddenAuth } from '../tpm/hidden-auth.ts';
import { startSession } from '../tpm/start-session.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { srkForNewKey } from './storage-parent.ts';
import type { TpmKeyProviderOptions } from './tpm-provider.ts';

/** The bits in which a TPM says that these hierarchies have a password. TPMA_PERMANENT, Part 2, 8.6. */
const [OWNER_SET, ENDORSEMENT_SET] = [1, 2];

/**
 * Proves the passwords of the hierarchies that a new key needs. Changes nothing, and no wrong one counts: dictionary
 * attack protection does not cover these hierarchies. `permanent` is TPM_PT_PERMANENT.
 * @throws TpmError `tpm-auth-failed` if one is missing or wrong.
 */
export async function provePasswords(
  tpm: Tpm,
  permanent: number,
  { attestation }: Policy,
  { ownerAuth, endorsementAuth, ...options }: TpmKeyProviderOptions,
): Promise<void> {
  if (permanent & OWNER_SET && (await srkForNewKey(tpm, options)) === undefined) {
    await prove(tpm, { handle: TPM_RH.OWNER, ...(ownerAuth && { auth: ownerAuth }) }, options);
  }
  if (permanent & ENDORSEMENT_SET && attestation === 'required') {
    await prove(tpm, { handle: TPM_RH.ENDORSEMENT, ...(endorsementAuth && { auth: endorsementAuth }) }, options);
  }
}

/** Needs the password for the policy of a trial session, which is closed. TPM2_PolicySecret, Part 3, 23.4. */
async function prove(tpm: Tpm, hierarchy: HandleArg, { saltKey, signal }: TpmKeyProviderOptions): Promise<void> {
  const session = await startSession(tpm, { type: 'trial', signal });
  const { sessionHandle: policySession } = session;
  const secret = { policySession, nonceTPM: EMPTY, cpHashA: EMPTY, policyRef: EMPTY, expiration: 0 };
  const run = (authHandle: HandleArg) => tpm.run(PolicySecret, { authHandle, ...secret }, { signal });
  await withCleanup(
    () => withHiddenAuth(tpm, hierarchy, { saltKey, signal }, run),
    () => session.close(),
  );
}
