import { describe, expect, it } from 'vitest';
import { concat, fromHex, toHex, utf8 } from '../../src/bytes.ts';
import { derValue, TAG } from '../../src/crypto/der-write.ts';
import { inspect, MAX_SIZE, printInspection } from '../../src/inspect/index.ts';
import { buildCommonName, issue } from '../certificates.ts';
import { cpuCost } from '../cpu-cost.ts';
import { inspectSamples } from '../inspect-samples.ts';
import { Dice, mutated } from '../mutations.ts';

const SECONDS = 20;
/** After so long a run its cost is looked at. */
const SUSPECT_MS = 100;
/** Cost limit for one input, as a multiple of {@link cpuCost}'s reference. The most expensive costs 20; quadratic work costs hundreds. */
const LIMIT = 80;

const samples = await inspectSamples();

/** The cost of an input. */
const cost = (bytes: Uint8Array): Promise<number> => cpuCost(() => inspect(bytes), LIMIT);

/** Inputs that are made to be slow: deep, wide and long, each of the maximum size. */
async function craft(): Promise<[string, Uint8Array][]> {
  const nested = (levels: number, tag: number) => {
    const bytes = new Uint8Array(5 * levels);
    for (let i = 0; i < levels; i++) {
      const length = 5 * (levels - i - 1);
      bytes.set([tag, 0x83, length >>> 16, (length >>> 8) & 0xff, length & 0xff], 5 * i);
    }
    return bytes;
  };
  const json = (open: string, close: string, count: number) => utf8(`${open.repeat(count)}1${close.repeat(count)}`);
  const extension = async (value: Uint8Array) =>
    (await issue({ subject: buildCommonName('deep'), extensions: [['2.5.29.17', false, value]] })).der;
  const nulls = derValue(
    TAG.SEQUENCE,
    new Uint8Array(60_000).map((_, i) => (i % 2 === 0 ? 5 : 0)),
  );
  const primes = new Uint8Array(131_000).fill(0xff);
  primes.set(fromHex('525341320008000003000000000100000000010000000100'));
  return [
    ['nested DER', nested(13_000, 0x30)],
    ['wide DER', nulls],
    ['nested DER in an extension', await extension(nested(12_000, 0x30))],
    ['wide DER in an extension', await extension(nulls)],
    ['nested JSON objects', json('{"kty":', '}', 14_000)],
    ['nested JSON lists', utf8(`{"chain":${'['.repeat(60_000)}${']'.repeat(60_000)}}`)],
    ['wide JSON', utf8(`{"kty":1${Array.from({ length: 9000 }, (_, i) => `,"k${i}":1`).join('')}}`)],
    ['entries of a key credential', concat(fromHex('00020000'), utf8('\0\0\x01'.repeat(43_000)))],
    ['large primes', primes],
    ['CBOR list', concat(fromHex('bf9a0001fff0'), new Uint8Array(130_000).fill(0xf6))],
    ['PEM labels', utf8('-----BEGIN '.repeat(11_000))],
    ['PEM blocks', utf8('-----BEGIN A-----\nMAA=\n-----END A-----\n'.repeat(3000))],
    ['almost base64', utf8(`AAAA${'='.repeat(130_000)}!`)],
    ['digits', utf8('0'.repeat(131_072))],
    ['a JWS', utf8(`eyJ${'A'.repeat(60_000)}.${'A'.repeat(60_000)}.AA`)],
    ['dots', utf8(`eyJ${'.'.repeat(130_000)}`)],
    ['DN-Binary', utf8(`B:130000:${'0'.repeat(130_000)}:CN=a`)],
    ['zeros', new Uint8Array(MAX_SIZE)],
    ['letters', new Uint8Array(MAX_SIZE).fill(0x61)],
  ];
}

const crafted = await craft();

describe('inspect', () => {
  it.each(crafted)('reads %s in time limited by its size', async (_, bytes) => {
    await inspect(bytes.subarray(0, 1000));
    expect(await cost(bytes)).toBeLessThan(LIMIT);
  });

  it(`reads changed files for ${SECONDS} s without throwing, each in a time limited by its size`, async () => {
    const seed = Date.now() % 0x7fffffff;
    const dice = new Dice(seed);
    const counts = new Map<string, number>();
    for (const end = performance.now() + SECONDS * 1000; performance.now() < end; ) {
      const bytes = mutated(samples, dice);
      const start = performance.now();
      const found = await inspect(bytes);
      if (performance.now() - start > SUSPECT_MS) {
        expect(await cost(bytes), `seed ${seed}: ${toHex(bytes)}`).toBeLessThan(LIMIT);
      }
      const text = printInspection(found);
      // JavaScript's messages for bugs in our code, as opposed to problems in the bytes.
      expect(text + JSON.stringify(found), `seed ${seed}: ${toHex(bytes)}`).not.toMatch(
        /of undefined|Cannot (?:read|set|mix|convert)|is not (?:a function|iterable|defined)/,
      );
      counts.set(found.confidence, (counts.get(found.confidence) ?? 0) + 1);
    }
    // Changed as they are, most are found out, and many can still be read.
    expect([...counts.keys()].sort()).toEqual(['certain', 'damaged', 'likely', 'none']);
    console.log(
      `inspect: ${[...counts].map(([confidence, count]) => `${count} ${confidence}`).join(', ')}, seed ${seed}`,
    );
  });
});
