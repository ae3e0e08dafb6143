import { isKeyprovError } from '../errors.ts';
import { checkSources, type KeySources, withTpmOf } from '../keys/key-sources.ts';
import type { SignalOptions } from '../signal.ts';
import { lockoutEnds, readLockout } from '../tpm/capabilities.ts';
import { readNature } from '../tpm/virtual.ts';
import type { TpmFacts } from './windows/prerequisites.ts';

/**
 * Reads from the sources' TPM what `checkPrerequisites` needs to know about it. Closes the TPM if it opened it.
 * @returns `none` if the machine has no TPM 2.0, or the sources have none.
 * @throws the errors of `openTpm`, except `no-tpm`, and of `Tpm.run`; TypeError for anything but sources, such as a
 * `Tpm`.
 *
 * @example
 * ```ts
 * import { definePolicy, keySources } from 'keyprov';
 * import { readTpmFacts } from 'keyprov/provisioning';
 * import { checkPrerequisites, type PrerequisiteFacts } from 'keyprov/windows';
 *
 * declare const facts: PrerequisiteFacts; // from probePrerequisites
 *
 * const policy = definePolicy({ hardware: 'required' });
 * const { result } = checkPrerequisites(facts, { policy, tpm: await readTpmFacts(keySources()) });
 * console.log(result);
 * ```
 */
export async function readTpmFacts(sources: KeySources, { signal }: SignalOptions = {}): Promise<TpmFacts | 'none'> {
  checkSources(sources);
  const { tpm: source } = sources;
  if (source === undefined) return 'none';
  try {
    return await withTpmOf(source, { signal }, async (tpm) => {
      const { virtual } = await readNature(tpm, { signal });
      const lockout = await readLockout(tpm, { signal });
      const seconds = lockout.inLockout ? lockoutEnds(lockout, tpm) : undefined;
      return {
        ...{ version: '2.0', virtual, lockedOut: lockout.inLockout },
        ...(seconds !== undefined && { retryAfterSeconds: seconds }),
      };
    });
  } catch (error) {
    if (isKeyprovError(error, 'no-tpm')) return 'none';
    throw error;
  }
}
