/** Whether bytes can be the challenge of an attestation: 1 to 64, the most that every TPM takes as extraData. */
export const isChallenge = ({ length }: Uint8Array): boolean => length >= 1 && length <= 64;

/** The challenge, which must have a possible length. @throws RangeError */
export function checkChallenge(challenge: Uint8Array): Uint8Array {
  if (isChallenge(challenge)) return challenge;
  throw new RangeError(`a challenge of ${challenge.length} bytes: it must have 1 to 64`);
}
