import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { toHex, utf8 } from '../../../src/bytes.ts';
import { PinError } from '../../../src/errors/pin-error.ts';
import { TpmError } from '../../../src/errors/tpm-error.ts';
import { PinEntry, type PinPrompt, type PinRequest } from '../../../src/webcrypto/pin-entry.ts';
import { keyRecord } from '../../key-record.ts';

const key = keyRecord('key');
const other = keyRecord('other', { privateKey: 'of another key' });

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A prompt that gives `pins` one after the other, and the bytes that it gave. */
function promptOf(...pins: readonly string[]) {
  const requests: PinRequest[] = [];
  const given: Uint8Array[] = [];
  const prompt: PinPrompt = async (request) => {
    const pin = utf8(pins[requests.length] ?? 'none left');
    requests.push(request);
    given.push(pin);
    return pin;
  };
  return { prompt, requests, given };
}

/** A use of the key that knows its PIN, and counts the wrong ones down. */
function lockOf(right: string, tries = 9) {
  let left = tries;
  return async (pin: Uint8Array | undefined): Promise<string> => {
    if (pin !== undefined && Buffer.from(pin).toString() === right) return 'done';
    left--;
    throw new PinError('pin-wrong', 'wrong', { triesLeft: left });
  };
}
const never = () => new AbortController().signal;

describe('PinEntry', () => {
  it('gives the PIN that it was given, and overwrites it', async () => {
    const { prompt, given, requests } = promptOf('1234');
    const entry = new PinEntry(prompt, 0, never());
    expect(await entry.use(key, 'sign', lockOf('1234'))).toBe('done');
    expect(requests).toEqual([{ operation: 'sign', key, triesLeft: undefined, lastError: undefined }]);
    expect(given.map(toHex)).toEqual(['00000000']);
  });

  it('asks nothing for a key without a PIN, and nobody if nobody can be asked', async () => {
    const { prompt, requests } = promptOf();
    const seen: unknown[] = [];
    const look = async (pin: unknown) => seen.push(pin);
    await new PinEntry(prompt, 0, never()).use({ ...key, hasPin: false }, 'sign', look);
    await new PinEntry(undefined, 0, never()).use(key, 'sign', look);
    expect([seen, requests]).toEqual([[undefined, undefined], []]);
    await expect(new PinEntry(undefined, 0, never()).useNew(look)).rejects.toThrow(TypeError);
  });

  it('asks again after a wrong PIN, with the problem and the tries left', async () => {
    const { prompt, given, requests } = promptOf('1', '2', '3');
    const entry = new PinEntry(prompt, 60_000, never());
    expect(await entry.use(key, 'decrypt', lockOf('3'))).toBe('done');
    expect(requests.map(({ triesLeft, lastError }) => [triesLeft, lastError?.code])).toEqual([
      [undefined, undefined],
      [8, 'pin-wrong'],
      [7, 'pin-wrong'],
    ]);
    expect(given.map(toHex)).toEqual(['00', '00', '00']);
  });

  it.each([
    ['tpm', 3, false, 2],
    ['tpm', 3, true, 3],
    ['software', 3, false, 3],
  ] as const)('does not ask for a PIN that the %s provider would not try', async (backend, tries, force, asked) => {
    const { prompt, requests } = promptOf();
    const use = new PinEntry(prompt, 0, never(), force).use({ ...key, backend }, 'sign', lockOf('right', tries));
    await expect(use).rejects.toMatchObject({ code: 'pin-wrong', triesLeft: tries - asked });
    expect(requests.length).toBe(asked);
  });

  it('passes on errors of the use and the prompt, without asking again', async () => {
    const { prompt, given, requests } = promptOf('1234');
    const failing = async () => Promise.reject(new TpmError('tpm-lockout', 'locked'));
    await expect(new PinEntry(prompt, 0, never()).use(key, 'sign', failing)).rejects.toMatchObject({
      code: 'tpm-lockout',
    });
    expect([requests.length, toHex(given[0] ?? utf8('x'))]).toEqual([1, '00000000']);
    const gaveUp = new Error('the user closed the window');
    const refusing = new PinEntry(() => Promise.reject(gaveUp), 0, never());
    await expect(refusing.use(key, 'sign', lockOf('1'))).rejects.toBe(gaveUp);
    const thrown = new PinEntry(
      () => {
        throw gaveUp;
      },
      0,
      never(),
    );
    await expect(thrown.use(key, 'sign', lockOf('1'))).rejects.toBe(gaveUp);
  });

  it('refuses a PIN that is none', async () => {
    for (const pin of ['1234', new Uint8Array(0), undefined]) {
      const prompt = (() => Promise.resolve(pin)) as unknown as PinPrompt;
      await expect(new PinEntry(prompt, 0, never()).use(key, 'sign', lockOf('1'))).rejects.toThrow(TypeError);
    }
  });

  it('keeps no PIN unless told to', async () => {
    const { prompt, requests } = promptOf('1234', '1234');
    const entry = new PinEntry(prompt, 0, never());
    await entry.use(key, 'sign', lockOf('1234'));
    await entry.use(key, 'sign', lockOf('1234'));
    expect(requests.length).toBe(2);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('keeps a right PIN for its key and its time, counted from the first use', async () => {
    const { prompt, requests } = promptOf('1234', '99', '1234');
    const entry = new PinEntry(prompt, 1000, never());
    await entry.use(key, 'sign', lockOf('1234'));
    vi.advanceTimersByTime(999);
    await entry.use(key, 'sign', lockOf('1234'));
    expect(requests.length).toBe(1);
    await entry.use(other, 'sign', lockOf('99'));
    expect(requests.length).toBe(2);
    vi.advanceTimersByTime(1);
    await entry.use(key, 'sign', lockOf('1234'));
    expect(requests.length).toBe(3);
  });

  it('overwrites the PIN that it keeps when its time is over, when it is wrong, and at the end', async () => {
    const copies: Uint8Array[] = [];
    const set = Uint8Array.prototype.set;
    const spy = vi.spyOn(Uint8Array.prototype, 'set').mockImplementation(function (this: Uint8Array, ...given) {
      set.apply(this, given);
      copies.push(this);
    });
    const kept = () => copies.map(toHex).filter((hex) => hex !== '00000000');
    const { prompt, requests } = promptOf('1111', '2222', '3333');
    const ended = new AbortController();
    const entry = new PinEntry(prompt, 1000, ended.signal);
    await entry.use(key, 'sign', lockOf('1111'));
    expect(kept()).toEqual(['31313131']);
    vi.advanceTimersByTime(1000);
    expect(kept()).toEqual([]);

    await entry.use(key, 'sign', lockOf('2222'));
    await entry.use(key, 'sign', lockOf('3333'));
    expect(requests.length).toBe(3);
    expect(kept()).toEqual(['33333333']);
    ended.abort();
    expect(kept()).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
    spy.mockRestore();
  });

  it('asks one at a time, and the next one finds the PIN that was kept', async () => {
    let open = 0;
    let most = 0;
    const answers: (() => void)[] = [];
    const prompt: PinPrompt = async () => {
      most = Math.max(most, ++open);
      await new Promise<void>((resolve) => answers.push(resolve));
      open--;
      return utf8('1234');
    };
    const entry = new PinEntry(prompt, 1000, never());
    const uses = [key, key, other].map((one) => entry.use(one, 'sign', lockOf('1234')));
    for (let asked = 1; asked <= 2; asked++) {
      await vi.waitUntil(() => answers.length === asked);
      answers.at(-1)?.();
    }
    expect(await Promise.all(uses)).toEqual(['done', 'done', 'done']);
    expect([most, answers.length]).toEqual([1, 2]);
  });

  it('ends with the signal, does not wait for the prompt, and overwrites a late answer', async () => {
    const ended = new AbortController();
    const late = utf8('1234');
    let answer: (pin: Uint8Array) => void = () => undefined;
    let seen: AbortSignal | undefined;
    const entry = new PinEntry(
      (_, { signal }) => {
        seen = signal;
        return new Promise((resolve) => {
          answer = resolve;
        });
      },
      1000,
      ended.signal,
    );
    const uses = [entry.use(key, 'sign', lockOf('1234')), entry.use(other, 'sign', lockOf('1234'))];
    await vi.waitUntil(() => seen !== undefined);
    const reason = new Error('closed');
    ended.abort(reason);
    for (const use of uses) await expect(use).rejects.toBe(reason);
    expect(seen?.aborted).toBe(true);
    answer(late);
    await Promise.resolve();
    expect(toHex(late)).toBe('00000000');
    await expect(entry.useNew(async () => 'made')).rejects.toBe(reason);
  });

  it('ends waiting uses with the signal, even while the work of the first one goes on', async () => {
    const ended = new AbortController();
    const entry = new PinEntry(promptOf('1234', '1234').prompt, 0, ended.signal);
    let finish: (result: string) => void = () => undefined;
    const work = vi.fn(() => new Promise<string>((resolve) => (finish = resolve)));
    const first = entry.use(key, 'sign', work);
    await vi.waitUntil(() => work.mock.calls.length > 0);
    const waiting = [entry.use(other, 'sign', lockOf('1234')), entry.useNew(async () => 'made')];
    const reason = new Error('closed');
    ended.abort(reason);
    for (const one of waiting) await expect(one).rejects.toBe(reason);
    finish('done');
    expect(await first).toBe('done');
  });

  it('gets the PIN of a new key, and overwrites it also when the key is not made', async () => {
    const { prompt, given, requests } = promptOf('12', '34');
    const entry = new PinEntry(prompt, 1000, never());
    expect(await entry.useNew(async (pin) => toHex(pin))).toBe('3132');
    await expect(entry.useNew(() => Promise.reject(new Error('no room')))).rejects.toThrow('no room');
    expect(requests).toEqual([
      { operation: 'generateKey', key: undefined },
      { operation: 'generateKey', key: undefined },
    ]);
    expect(given.map(toHex)).toEqual(['0000', '0000']);
    expect(vi.getTimerCount()).toBe(0);
  });
});
