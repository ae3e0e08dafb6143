/** How much to hash in one call: Node refuses 2 GiB. */
const AT_ONCE = 2 ** 26;

/** The data in pieces that can be hashed in one call. */
export function* piecesOf(data: Uint8Array, atOnce: number = AT_ONCE): Generator<Uint8Array> {
  for (let at = 0; at < data.length; at += atOnce) yield data.subarray(at, at + atOnce);
}

/** Gives all data to a hash, or to something else that hashes, in pieces. */
export function feed<To extends { update(piece: Uint8Array): unknown }>(to: To, ...parts: readonly Uint8Array[]): To {
  for (const part of parts) for (const piece of piecesOf(part)) to.update(piece);
  return to;
}
