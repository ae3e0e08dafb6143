import { type Bytes, checkBytes, concat, uint32, utf8 } from '../bytes.ts';
import { digestOf, type HashName, hmac } from '../primitives.ts';

export { type HashName, hmac } from '../primitives.ts';

/** The digest of all parts, one after the other. @throws TypeError for anything but bytes. */
export function digest(hash: HashName, ...parts: readonly Uint8Array[]): Bytes {
  for (const part of parts) checkBytes(part, 'each value to hash');
  return digestOf(hash, ...parts);
}

/** `count` blocks from `block`, cut to `bits`. Clears the highest bits if `bits` is not a multiple of 8. */
function expand(bits: number, block: (counter: Bytes) => Bytes): Bytes {
  const size = Math.ceil(bits / 8);
  const blocks: Bytes[] = [];
  for (let counter = 1, length = 0; length < size; counter++) {
    const next = block(uint32(counter));
    blocks.push(next);
    length += next.length;
  }
  const out = concat(...blocks).subarray(0, size);
  if (bits % 8 !== 0) out[0] = (out[0] as number) & ((1 << (bits % 8)) - 1);
  return out;
}

/**
 * KDFa: the counter mode of SP 800-108 with HMAC, as Part 1, 11.4.10.2 defines it.
 * Give `label` without its final zero byte; the result has `bits` / 8 bytes, rounded up.
 */
export function kdfa(
  hash: HashName,
  key: Uint8Array,
  label: string,
  contextU: Uint8Array,
  contextV: Uint8Array,
  bits: number,
): Bytes {
  const name = utf8(`${label}\0`);
  return expand(bits, (counter) => hmac(hash, key, counter, name, contextU, contextV, uint32(bits)));
}

/**
 * KDFe: the concatenation KDF of SP 800-56A, as Part 1, 11.4.10.3 defines it.
 * `z` is the x coordinate of the shared point, as long as the field; `partyU` and `partyV` are x coordinates too.
 */
export function kdfe(
  hash: HashName,
  z: Uint8Array,
  label: string,
  partyU: Uint8Array,
  partyV: Uint8Array,
  bits: number,
): Bytes {
  const name = utf8(`${label}\0`);
  return expand(bits, (counter) => digest(hash, counter, z, name, partyU, partyV));
}
