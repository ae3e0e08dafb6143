import { createCipheriv } from 'node:crypto';

const BLOCK = 16;

/**
 * AES in CFB mode with full blocks (NIST SP 800-38A, 6.3), built from ECB, for runtimes without CFB: Deno 2.9 has none,
 * and Bun 1.4 lacks it for AES-192.
 */
export function aesCfbByBlocks(
  direction: 'encrypt' | 'decrypt',
  key: Uint8Array,
  iv: Uint8Array,
  data: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const cipher = createCipheriv(`aes-${key.length * 8}-ecb`, key, null).setAutoPadding(false);
  const output = new Uint8Array(data);
  const encrypted = direction === 'encrypt' ? output : data;
  let before: Uint8Array = iv;
  for (let at = 0; at < data.length; at += BLOCK) {
    const mask = cipher.update(before);
    const block = output.subarray(at, at + BLOCK);
    for (const [i, byte] of block.entries()) block[i] = byte ^ (mask[i] as number);
    mask.fill(0);
    before = encrypted.subarray(at, at + BLOCK);
  }
  return output;
}
