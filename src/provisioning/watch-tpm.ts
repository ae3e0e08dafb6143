import { isKeyprovError, withCleanup } from '../errors.ts';
import { type KeySources, leaseTpm, withTpmOf } from '../keys/key-sources.ts';
import type { SignalOptions } from '../signal.ts';
import { Tpm } from '../tpm/tpm.ts';
import type { RunJournal } from './run-journal.ts';
import { flushLeftovers, readVolatileHandles } from './tpm-leftovers.ts';

/**
 * The same sources, where the TPM is cleared of what a killed process of the same run left in it, and the journal has
 * what it held before this one.
 */
export async function watchTpm(
  sources: KeySources,
  journal: RunJournal,
  { signal }: SignalOptions,
): Promise<KeySources> {
  const { tpm } = sources;
  if (tpm === undefined) return sources;
  if (tpm instanceof Tpm) {
    await note(tpm, journal, { signal }).catch((error: unknown) => {
      // A TPM that cannot even say what it holds fails the key too, and there policy decides what that means.
      if (signal?.aborted || !isKeyprovError(error) || isKeyprovError(error, 'store-io')) throw error;
    });
    return sources;
  }
  const open = async (options: SignalOptions): Promise<Tpm> => {
    const { tpm: opened, release } = await leaseTpm(tpm, options);
    try {
      await note(opened, journal, options);
      return opened;
    } catch (error) {
      return await withCleanup(() => Promise.reject(error), release);
    }
  };
  return { ...sources, tpm: open };
}

/**
 * Clears the TPM of what a killed process of the same run left in it, before anything else is done.
 * @returns false where that cannot be done now, since the TPM cannot be reached.
 */
export async function sweepTpm(
  { tpm: source }: KeySources,
  journal: RunJournal,
  { signal }: SignalOptions,
): Promise<boolean> {
  const earlier = journal.state.tpm;
  if (earlier === undefined) return true;
  if (source === undefined) return false;
  try {
    return await withTpmOf(source, { signal }, async (tpm) => {
      if (tpm.transport.address !== earlier.address) return false;
      await flushLeftovers(tpm, earlier.handles, { signal });
      await journal.write({ tpm: undefined });
      return true;
    });
  } catch (error) {
    signal?.throwIfAborted();
    if (!isKeyprovError(error) || isKeyprovError(error, 'store-io')) throw error;
    return false;
  }
}

async function note(tpm: Tpm, journal: RunJournal, options: SignalOptions): Promise<void> {
  const { address } = tpm.transport;
  const earlier = journal.state.tpm;
  if (earlier?.address === address) await flushLeftovers(tpm, earlier.handles, options);
  const handles = await readVolatileHandles(tpm, options);
  if (handles !== undefined) await journal.write({ tpm: { address, handles } });
}
