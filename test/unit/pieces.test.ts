import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { utf8 } from '../../src/bytes.ts';
import { digest, hmac } from '../../src/crypto/kdf.ts';
import { piecesOf } from '../../src/pieces.ts';

it.each([
  ['', []],
  ['abcd', ['abcd']],
  ['abcdefghij', ['abcd', 'efgh', 'ij']],
])('%j is hashed in pieces %j', (text, pieces) => {
  expect([...piecesOf(utf8(text), 4)].map((piece) => Buffer.from(piece).toString())).toEqual(pieces);
});

it('data that Node refuses in one call is hashed', () => {
  const big = new Uint8Array(2 ** 31); // never written, so it takes no memory
  expect(() => createHash('sha256').update(big)).toThrow(RangeError);
  const once = createHash('sha256');
  for (let at = 0; at < 32; at++) once.update(big.subarray(0, 2 ** 26));
  expect(Buffer.from(digest('sha256', big))).toEqual(once.digest());
  expect(hmac('sha256', utf8('key'), big)).toHaveLength(32);
}, 60_000);
