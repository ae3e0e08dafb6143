import { equal } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { KeyprovError } from '../errors.ts';
import { encode } from './codec/index.ts';
import type { AnyCommand } from './command.ts';
import { HASHES, TPM_ALG } from './constants.ts';
import { isHashAlg, isMadeFrom, nvName, objectName } from './names.ts';
import type { TpmsNvPublic } from './structures/nv.ts';
import { TPMS_CREATION_DATA, TPMT_PUBLIC, type TpmsCreationData, type TpmtPublic } from './structures/object.ts';

/** Arguments or results of a command that describe an object. */
interface Areas {
  readonly inPublic?: TpmtPublic;
  readonly outPublic?: TpmtPublic;
  readonly name?: Uint8Array;
  readonly nvPublic?: TpmsNvPublic;
  readonly nvName?: Uint8Array;
  readonly creationData?: TpmsCreationData;
  readonly creationHash?: Uint8Array;
}

/** The error for a response that contradicts itself or the command. */
export const altered = (what: string): KeyprovError =>
  new KeyprovError('tpm-session', `${what}: it was altered in transit, or the authorization value is wrong`, {
    remedy: 'do not trust the connection to this TPM until you know the cause',
  });

/**
 * Computes what a response states, instead of believing it: the Name of a public area (Part 1, 16), and the digest of
 * creation data (Part 3, 12.1). Does not check digests of algorithms that this library does not compute.
 * @throws KeyprovError `tpm-session`.
 */
export function checkValues(command: AnyCommand, args: object, answer: object): void {
  const { inPublic }: Areas = args;
  const { outPublic, name, nvPublic, nvName: nv, creationData, creationHash }: Areas = answer;
  const differs = (field: string): KeyprovError =>
    altered(`the response to TPM2_${command.name} has a ${field} that does not match its object`);
  const area = outPublic ?? inPublic;
  if (name !== undefined && area !== undefined && isComputable(area.nameAlg) && !equal(name, objectName(area))) {
    throw differs('Name');
  }
  if (nv !== undefined && nvPublic !== undefined && isComputable(nvPublic.nameAlg) && !equal(nv, nvName(nvPublic))) {
    throw differs('Name');
  }
  if (creationData !== undefined && creationHash !== undefined && area !== undefined && isHashAlg(area.nameAlg)) {
    const computed = digest(HASHES[area.nameAlg].name, encode(TPMS_CREATION_DATA, creationData));
    if (!equal(creationHash, computed)) throw differs('creationHash');
  }
}

const isComputable = (nameAlg: number): boolean => nameAlg === TPM_ALG.NULL || isHashAlg(nameAlg);

/** Tells whether an object with the public area `found` can be the one that the command has loaded. */
export function canBeLoadedBy(command: AnyCommand, args: object, found: TpmtPublic): boolean {
  const { inPublic }: Areas = args;
  if (inPublic === undefined) return false;
  if (!command.name.startsWith('Load')) return isMadeFrom(inPublic, found);
  return equal(encode(TPMT_PUBLIC, inPublic), encode(TPMT_PUBLIC, found));
}
