import { createHmac, scryptSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/bytes.ts';
import { isKeyprovError } from '../../../src/errors.ts';
import {
  addToPinHistory,
  checkNewPin,
  definePinPolicy,
  type PinHistory,
  pinHistoryContains,
} from '../../../src/policy/index.ts';

const NONE: PinHistory = { entries: [] };
const fast = { keep: 50, cost: 16 };

async function historyOf(pins: readonly string[], keep = 50): Promise<PinHistory> {
  let history = NONE;
  for (const pin of pins) history = await addToPinHistory(history, utf8(pin), { keep, cost: 16 });
  return history;
}

describe('a PIN history', () => {
  it("contains the PIN's scrypt value with its salt and parameters", async () => {
    const { entries } = await historyOf(['258096', '258096']);
    expect(entries).toHaveLength(2);
    expect(new Set(entries.map(({ salt }) => salt)).size).toBe(2);
    for (const { kdf, cost, blockSize, parallelization, salt, hash } of entries) {
      expect([kdf, cost, blockSize, parallelization]).toEqual(['scrypt', 16, 8, 1]);
      const bytes = Buffer.from(salt, 'base64');
      expect(bytes).toHaveLength(16);
      expect(hash).toBe(scryptSync('258096', bytes, 32, { N: 16, r: 8, p: 1 }).toString('base64'));
    }
  });

  it('does 32 MiB of work by default', async () => {
    const { entries } = await addToPinHistory(NONE, utf8('258096'), { keep: 1 });
    expect(entries[0]).toMatchObject({ cost: 32768, blockSize: 8, parallelization: 1 });
  });

  it('is plain data that survives JSON', async () => {
    const history: PinHistory = JSON.parse(JSON.stringify(await historyOf(['258096'])));
    expect(await pinHistoryContains(history, utf8('258096'))).toBe(true);
    expect(await pinHistoryContains(history, utf8('258097'))).toBe(false);
  });

  it('keeps the current PIN first and the configured number of PINs, none for 0', async () => {
    const history = await historyOf(['1471', '2580', '3690'], 2);
    expect(history.entries).toHaveLength(2);
    const known = await Promise.all(['1471', '2580', '3690'].map((pin) => pinHistoryContains(history, utf8(pin))));
    expect(known).toEqual([false, true, true]);
    expect(await addToPinHistory(history, utf8('7410'), { keep: 0 })).toEqual(NONE);
  });

  it('leaves the PIN as it was, for the caller to wipe', async () => {
    const pin = utf8('258096');
    await pinHistoryContains(await addToPinHistory(NONE, pin, { ...fast, pepper: utf8('pepper') }), pin);
    expect(pin).toEqual(utf8('258096'));
  });

  it('is of no use without its pepper', async () => {
    const pepper = utf8('sealed elsewhere');
    const history = await addToPinHistory(NONE, utf8('258096'), { ...fast, pepper });
    expect(await pinHistoryContains(history, utf8('258096'))).toBe(false);
    expect(await pinHistoryContains(history, utf8('258096'), { pepper: utf8('another') })).toBe(false);
    expect(await pinHistoryContains(history, utf8('258096'), { pepper })).toBe(true);
    const [entry] = history.entries;
    const secret = createHmac('sha256', pepper).update('258096').digest();
    const salt = Buffer.from(entry?.salt ?? '', 'base64');
    expect(entry?.hash).toBe(scryptSync(secret, salt, 32, { N: 16, r: 8, p: 1 }).toString('base64'));
  });

  it('stops when it is aborted', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    const history = await historyOf(['258096']);
    await expect(pinHistoryContains(history, utf8('1'), { signal })).rejects.toThrow('enough');
    await expect(addToPinHistory(history, utf8('1'), { ...fast, signal })).rejects.toThrow('enough');
  });

  it.each([0, 15, 2 ** 21])('is not made with a cost of %d, which is an argument of the caller', async (cost) => {
    await expect(addToPinHistory(NONE, utf8('258096'), { keep: 1, cost })).rejects.toThrow(RangeError);
  });

  it.each([
    [{ kdf: 'md5' }, /its hash is not scrypt/],
    [{ cost: 15 }, /these scrypt parameters are not valid/],
    [{ cost: 0 }, /these scrypt parameters are not valid/],
    [{ blockSize: -8 }, /these scrypt parameters are not valid/],
    [{ cost: 2 ** 21 }, /these scrypt parameters exceed the limits: N = 2097152, r = 8, p = 1/],
    [{ blockSize: 33 }, /these scrypt parameters exceed the limits/],
    [{ parallelization: 17 }, /these scrypt parameters exceed the limits/],
    [{ salt: 'AAAA' }, /3 bytes instead of 16/],
    [{ hash: '*' }, /not base64/],
  ])('refuses a damaged entry: %j', async (change, message) => {
    const { entries } = await historyOf(['258096']);
    const damaged: PinHistory = JSON.parse(JSON.stringify({ entries: [{ ...entries[0], ...change }] }));
    const error = await pinHistoryContains(damaged, utf8('258096')).catch((reason: unknown) => reason);
    expect(isKeyprovError(error, 'store-invalid')).toBe(true);
    expect(String(error)).toMatch(message);
  });
});

describe('checkNewPin', () => {
  it('counts the current PIN, and as many PINs as policy says', async () => {
    const history = await historyOf(['1471', '2580', '3690']);
    const refused = async (count: number): Promise<boolean[]> => {
      const policy = definePinPolicy({ minLength: 4, history: count });
      const check = async (pin: string) => (await checkNewPin(utf8(pin), policy, { history })).length > 0;
      return await Promise.all(['1471', '2580', '3690', '9630258'].map(check));
    };
    expect(await refused(0)).toEqual([false, false, false, false]);
    expect(await refused(1)).toEqual([false, false, true, false]);
    expect(await refused(2)).toEqual([false, true, true, false]);
    expect(await refused(50)).toEqual([true, true, true, false]);
  });

  it('reports the history together with the rules', async () => {
    const history = await historyOf(['1111']);
    const problems = await checkNewPin(utf8('1111'), definePinPolicy({ history: 1 }), { history });
    expect(problems.map(({ code }) => code)).toEqual(['too-short', 'common-pattern', 'in-history']);
    expect(problems.at(-1)?.message).toBe("Your PIN can't be one that you used before.");
  });
});
