import { type Bytes, checkObject, EMPTY, equal } from '../bytes.ts';
import { KeyprovError, withCleanup } from '../errors.ts';
import type { SignalOptions } from '../signal.ts';
import { ReadClock } from '../tpm/commands/clock.ts';
import { CreatePrimary } from '../tpm/commands/hierarchy.ts';
import { TPM_RH } from '../tpm/constants.ts';
import { firstSupported } from '../tpm/first-supported.ts';
import type { TpmtPublic } from '../tpm/structures/object.ts';
import { EK_TEMPLATES, ekTemplate, STORAGE_ALGORITHMS, srkTemplate } from '../tpm/templates.ts';
import type { Tpm } from '../tpm/tpm.ts';

/** Identifies a TPM, and a point in its life. Plain data to keep with a key. */
export interface TpmIdentity {
  /** Name of a primary of the endorsement seed (P-256 if supported): stays the same for the life of a TPM. */
  readonly endorsementName: Bytes;
  /** Name of a primary of the storage seed: stays the same until TPM2_Clear. */
  readonly storageName: Bytes;
  /** Number of TPM resets since the last Clear. TPMS_CLOCK_INFO, Part 2, 10.11. */
  readonly resetCount: number;
  /** Milliseconds of power since the last Clear. */
  readonly clock: bigint;
}

/**
 * How far the clock of a TPM may fall behind if it loses power without TPM2_Shutdown, in milliseconds: it must save the
 * clock at least every 2^22 ms (Part 1, 36.3.2).
 */
const CLOCK_SLACK_MS = 2n ** 22n;

/**
 * Reads the identity. Makes two primaries, which takes some milliseconds, and flushes them.
 * @throws TpmError `tpm-response` if the TPM supports none of the usual keys; else like {@link Tpm.run}.
 */
export async function readTpmIdentity(tpm: Tpm, options: SignalOptions = {}): Promise<TpmIdentity> {
  checkObject(tpm, 'tpm', 'turn:function');
  return await tpm.turn(async () => {
    const endorsementName = await firstSupported('endorsement key', EK_TEMPLATES, (name) =>
      primaryName(tpm, TPM_RH.ENDORSEMENT, ekTemplate(name), options),
    );
    const storageName = await firstSupported('storage key', STORAGE_ALGORITHMS, (algorithm) =>
      primaryName(tpm, TPM_RH.OWNER, srkTemplate(algorithm), options),
    );
    const { currentTime } = await tpm.run(ReadClock, {}, options);
    const { resetCount, clock } = currentTime.clockInfo;
    return { endorsementName, storageName, resetCount, clock };
  }, options);
}

async function primaryName(
  tpm: Tpm,
  primaryHandle: number,
  inPublic: TpmtPublic,
  options: SignalOptions,
): Promise<Bytes> {
  const inSensitive = { userAuth: EMPTY, data: EMPTY };
  const args = { primaryHandle, inSensitive, inPublic, outsideInfo: EMPTY, creationPCR: [] };
  const { objectHandle } = await tpm.run(CreatePrimary, args, options);
  return await withCleanup(
    async () => objectHandle.name,
    () => objectHandle.flush(),
  );
}

/**
 * Checks that `now` is the TPM of `recorded`, at a later time. Each time it passes, record the newer identity: an old
 * copy of the TPM's state is detected only if it is older than the record.
 *
 * @throws KeyprovError `tpm-replaced` for another TPM, `tpm-cleared` for the same one after TPM2_Clear, and
 * `tpm-rolled-back` if its counters went back: its state was restored from an older copy, as in a cloned virtual
 * machine.
 */
export function checkTpmIdentity(recorded: TpmIdentity, now: TpmIdentity): void {
  const names = ['endorsementName:bytes', 'storageName:bytes'] as const;
  checkObject(recorded, 'the recorded identity', ...names);
  checkObject(now, 'the present identity', ...names);
  if (!equal(recorded.endorsementName, now.endorsementName)) {
    throw new KeyprovError('tpm-replaced', 'this is another TPM: its endorsement seed is not the recorded one', {
      remedy: `use the recorded TPM, or ${NEW_KEY}`,
    });
  }
  if (!equal(recorded.storageName, now.storageName)) {
    throw new KeyprovError('tpm-cleared', 'the TPM was cleared: its storage seed is not the recorded one', {
      remedy: `${NEW_KEY}; the TPM's old keys are lost`,
    });
  }
  if (now.resetCount < recorded.resetCount) {
    const counts = `${now.resetCount} resets, but ${recorded.resetCount} were recorded`;
    throw rolledBack(`it has counted ${counts}`);
  }
  const slack = now.resetCount > recorded.resetCount ? CLOCK_SLACK_MS : 0n;
  if (now.clock + slack < recorded.clock) {
    const clocks = `${now.clock} ms, but ${recorded.clock} ms were recorded`;
    throw rolledBack(`its clock is at ${clocks}`);
  }
}

const NEW_KEY = 'provision a new key, and unregister the old one';

const rolledBack = (how: string): KeyprovError =>
  new KeyprovError('tpm-rolled-back', `the TPM's state is older than the record: ${how}`, {
    remedy: `find out who restored or copied it, since there may be two copies; ${NEW_KEY}`,
  });
