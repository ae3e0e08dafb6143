import { checkBytes } from '../bytes.ts';

/** Whether bytes can be the challenge of an attestation: 1 to 64 bytes, the most that every TPM takes as extraData. */
export const isChallenge = ({ length }: Uint8Array): boolean => length >= 1 && length <= 64;

/** Returns the challenge if its length is possible. @throws RangeError; TypeError if it is not bytes. */
export function checkChallenge(challenge: Uint8Array): Uint8Array {
  checkBytes(challenge, 'a challenge');
  if (isChallenge(challenge)) return challenge;
  throw new RangeError(`a challenge must have 1 to 64 bytes, not ${challenge.length}`);
}
