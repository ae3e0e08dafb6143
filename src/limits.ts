/**
 * The largest accepted input by family, in bytes, or in characters of a text. Longer input is refused before it is
 * read; the error has the limit and the size. docs/verification.md explains each limit.
 */
export const LIMIT = {
  /** One line of text: an address, a GUID, a Name as text, an SSH public key. */
  line: 16_384,
  /** TPM 2.0 structures and small combinations of them: statements, key blobs, key credentials. */
  structure: 131_072,
  /** One certificate. */
  certificate: 65_536,
  /** Keys, requests and messages in DER, CBOR and JWS. */
  message: 262_144,
  /** JSON from a client, and output of other programs. */
  document: 1_048_576,
  /** Several certificates in one file, responses of services, policies in XML. */
  file: 4_194_304,
  /** Registry exports and recordings of TPM traffic. */
  export: 16_777_216,
} as const;

/**
 * Checks that an input is bytes, and within their limit.
 * @throws the error of `refuse`, which gets limit and size in words; TypeError with its message for anything but bytes.
 */
export function checkSize(input: Uint8Array, limit: number, refuse: (problem: string) => Error): void {
  if (!ArrayBuffer.isView(input) || input.BYTES_PER_ELEMENT !== 1)
    throw new TypeError(refuse('it must be a Uint8Array').message);
  if (input.length > limit) throw refuse(`${input.length} bytes; the limit is ${limit}`);
}

/** Does for a text what {@link checkSize} does for bytes. */
export function checkTextSize(input: string, limit: number, refuse: (problem: string) => Error): void {
  if (typeof input !== 'string') throw new TypeError(refuse('it must be a string').message);
  if (input.length > limit) throw refuse(`${input.length} characters; the limit is ${limit}`);
}
