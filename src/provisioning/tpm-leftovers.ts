import type { SignalOptions } from '../signal.ts';
import { listHandles, listSessions } from '../tpm/capabilities.ts';
import { FlushContext } from '../tpm/commands/context.ts';
import { TPM_HT } from '../tpm/constants.ts';
import type { Tpm } from '../tpm/tpm.ts';

/**
 * The transient objects and sessions that a TPM without resource manager holds; undefined where there is a resource
 * manager, which clears up after a process that dies.
 */
export async function readVolatileHandles(tpm: Tpm, options: SignalOptions = {}): Promise<number[] | undefined> {
  if (tpm.transport.managed) return undefined;
  return [...(await listHandles(tpm, TPM_HT.TRANSIENT, options)), ...(await listSessions(tpm, options))];
}

/**
 * Flushes what a run of a killed process left in a TPM without resource manager: everything but `before`, which the TPM
 * held before that run. An emulator without resource manager serves one process at a time, so nobody else's is among it
 * unless another one used the same emulator in the meantime and keeps something loaded there.
 *
 * @returns how many there were. Call it before anything of one's own is in the TPM.
 */
export async function flushLeftovers(
  tpm: Tpm,
  before: readonly number[],
  options: SignalOptions = {},
): Promise<number> {
  const left = ((await readVolatileHandles(tpm, options)) ?? []).filter((handle) => !before.includes(handle));
  for (const flushHandle of left) await tpm.run(FlushContext, { flushHandle }, options);
  return left.length;
}
