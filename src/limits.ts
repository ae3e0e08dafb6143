/**
 * How much of an input from outside is read, by family: bytes, or characters of a text. What is longer is refused, with
 * the limit and its size, before anything of it is looked at. docs/verification.md has what they are for.
 */
export const LIMIT = {
  /** A text of one line: an address, a GUID, a Name in text, a public key of SSH. */
  line: 16_384,
  /** Structures of TPM 2.0 and what is made of a few of them: statements, key blobs, key credentials. */
  structure: 131_072,
  /** One certificate. */
  certificate: 65_536,
  /** Keys, requests and messages in DER, CBOR and JWS. */
  message: 262_144,
  /** JSON of a client, and the output of other programs. */
  document: 1_048_576,
  /** Several certificates in one file, answers of services, policies in JSON and XML. */
  file: 4_194_304,
  /** Registry exports and recordings of the traffic with a TPM. */
  export: 16_777_216,
} as const;

/** Checks that an input is not longer than its limit. @throws the error of `refuse`, which gets limit and size in words. */
export function checkSize(input: Uint8Array | string, limit: number, refuse: (problem: string) => Error): void {
  if (input.length <= limit) return;
  const unit = typeof input === 'string' ? 'characters' : 'bytes';
  throw refuse(`${input.length} ${unit}, at most ${limit} are read`);
}
