import { countDown } from '../signal.ts';
import { type OpenTpmOptions, openTpm } from '../tpm/open-tpm.ts';
import type { Tpm } from '../tpm/tpm.ts';
import type { NamedTpm } from './options/tpm-option.ts';

/** How long opening takes before it counts as waiting, in milliseconds. */
const WAIT_MS = 2_000;

/** Opens the named TPM, and says so if that has to wait for other programs. */
export async function openNamed(
  { address, hierarchyAuth, onWait = () => {} }: NamedTpm,
  options: OpenTpmOptions,
): Promise<Tpm> {
  const stop = countDown(WAIT_MS, onWait);
  try {
    return await openTpm(address, { ...options, lifetime: options.signal, hierarchyAuth });
  } finally {
    stop();
  }
}
