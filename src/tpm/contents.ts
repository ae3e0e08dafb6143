import { readOr } from '../errors.ts';
import type { SignalOptions } from '../signal.ts';
import { listHandles, listSessionStates } from './capabilities.ts';
import { FlushContext } from './commands/context.ts';
import { ReadPublic } from './commands/object.ts';
import { handleType, TPM_ALG, TPM_HT } from './constants.ts';
import { defaultMarksDirectory, Marks } from './marks.ts';
import { publicKeyOf } from './public-key.ts';
import { findDead } from './recover.ts';
import type { TpmtPublic } from './structures/object.ts';
import type { Tpm } from './tpm.ts';

/** An object or session that occupies one of the TPM's few slots until it is flushed. */
export interface VolatileEntry {
  readonly handle: number;
  readonly kind: 'object' | 'loaded session' | 'saved session';
  /** Its description for people: `P-256 storage key`. */
  readonly what: string;
  /** Whether a keyprov process left it behind. The next keyprov process that needs the slot flushes it. */
  readonly ours: boolean;
}

export interface VolatileOptions extends SignalOptions {
  /** The directory where connections to this TPM record what they have in it; see `TpmOptions`. */
  readonly marksDirectory?: string | undefined;
}

/** Lists the transient objects and sessions in a TPM. With a resource manager, lists only those of this connection. */
export async function readVolatile(tpm: Tpm, options: VolatileOptions = {}): Promise<VolatileEntry[]> {
  const dead = marksOf(tpm, options).readDead();
  const marked = await findDead((command, args) => tpm.run(command, args, options), dead);
  const entry = (handle: number, kind: VolatileEntry['kind'], what: string): VolatileEntry => ({
    ...{ handle, kind, what, ours: marked.includes(handle) },
  });
  const entries: VolatileEntry[] = [];
  for (const handle of await listHandles(tpm, TPM_HT.TRANSIENT, options)) {
    const { outPublic } = await tpm.run(ReadPublic, { objectHandle: handle }, options);
    entries.push(entry(handle, 'object', describeArea(outPublic)));
  }
  for (const { handle, isSaved } of await listSessionStates(tpm, options)) {
    const what = handleType(handle) === TPM_HT.HMAC_SESSION ? 'HMAC' : 'policy';
    entries.push(isSaved ? entry(handle, 'saved session', 'HMAC or policy') : entry(handle, 'loaded session', what));
  }
  return entries;
}

/** Flushes these entries, and records that nothing is left of the dead connections that they came from. */
export async function flushVolatile(
  tpm: Tpm,
  handles: readonly number[],
  options: VolatileOptions = {},
): Promise<void> {
  const dead = marksOf(tpm, options).readDead();
  for (const flushHandle of handles) {
    await tpm.run(FlushContext, { flushHandle }, options);
    for (const file of dead) file.gone(flushHandle);
  }
}

const marksOf = ({ transport }: Tpm, { marksDirectory = defaultMarksDirectory() }: VolatileOptions): Marks =>
  new Marks(transport.address, marksDirectory);

function describeArea(area: TpmtPublic): string {
  const { restricted, decrypt, sign } = area.objectAttributes;
  if (area.type === TPM_ALG.KEYEDHASH) return sign ? 'HMAC key' : 'sealed data';
  const role = restricted ? (decrypt ? 'storage key' : 'attestation key') : sign ? 'signing key' : 'decryption key';
  return `${algorithmName(area)} ${role}`;
}

function algorithmName(area: TpmtPublic): string {
  if (area.type === TPM_ALG.SYMCIPHER) return 'symmetric';
  return readOr(`0x${area.type.toString(16)}`, () => {
    const key = publicKeyOf(area);
    return key.kty === 'RSA' ? `RSA-${key.n.length * 8}` : key.crv;
  });
}
