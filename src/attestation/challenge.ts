/** Whether bytes can be the challenge of an attestation: 1 to 64 bytes, the most that every TPM takes as extraData. */
export const isChallenge = ({ length }: Uint8Array): boolean => length >= 1 && length <= 64;

/** Returns the challenge if its length is possible. @throws RangeError */
export function checkChallenge(challenge: Uint8Array): Uint8Array {
  if (isChallenge(challenge)) return challenge;
  throw new RangeError(`a challenge of ${challenge.length} bytes: it must have 1 to 64`);
}
