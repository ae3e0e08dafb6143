import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { AbortWatch, askSecret, unlessAborted, withTimeout } from '../../src/signal.ts';
import { codeOf, filesIn } from './source-files.ts';

const never = () => new Promise<never>(() => {});
const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
const late = () => new Error('late');

describe('withTimeout', () => {
  it("returns the work's result, and leaves no timer behind", async () => {
    const before = process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    expect(await withTimeout({ timeoutMs: 60_000, late }, async () => 'done')).toBe('done');
    await expect(withTimeout({ timeoutMs: 60_000, late }, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length).toBe(before);
  });

  it('aborts the work when the time is up, or the signal aborts', async () => {
    await expect(withTimeout({ timeoutMs: 1, late }, untilAborted)).rejects.toThrow('late');
    const outer = new AbortController();
    const working = withTimeout({ signal: outer.signal, timeoutMs: 60_000, late }, untilAborted);
    outer.abort(new Error('enough'));
    await expect(working).rejects.toThrow('enough');
    let began = false;
    const begin = async () => {
      began = true;
    };
    await expect(withTimeout({ signal: outer.signal, timeoutMs: 1, late }, begin)).rejects.toThrow('enough');
    expect(began).toBe(false);
  });
});

describe('askSecret', () => {
  const secret = () => Uint8Array.of(1, 2, 3);

  it('gives a copy, and wipes the answer', async () => {
    const answer = secret();
    expect(await askSecret('the answer', async () => answer, undefined)).toEqual(secret());
    expect(answer).toEqual(new Uint8Array(3));
    await expect(askSecret('the answer', async () => 'text' as never, undefined)).rejects.toThrow(
      'the answer must be a Uint8Array',
    );
  });

  it('wipes an answer that comes too late', async () => {
    const outer = new AbortController();
    const answer = secret();
    let give = (_: Uint8Array): void => {};
    const asked = new Promise<Uint8Array>((resolve) => {
      give = resolve;
    });
    const waiting = askSecret('the answer', () => asked, outer.signal);
    outer.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    give(answer);
    await asked;
    await Promise.resolve(); // askSecret hears of it after us
    expect(answer).toEqual(new Uint8Array(3));
  });
});

describe('unlessAborted', () => {
  it('stops waiting for work that knows no signal', async () => {
    const outer = new AbortController();
    const waiting = unlessAborted(never, outer.signal);
    outer.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect(unlessAborted(never, outer.signal)).rejects.toThrow('enough');
    expect(await unlessAborted(async () => 'done', undefined)).toBe('done');
  });
});

describe('AbortWatch', () => {
  it('stops waiting for the work, and listens to a signal once', async () => {
    const watch = new AbortWatch();
    const first = new AbortController();
    const second = new AbortController();
    for (let i = 0; i < 20; i++) expect(await watch.wait(Promise.resolve(i), first.signal)).toBe(i);
    await expect(watch.wait(Promise.reject(new Error('no')), first.signal)).rejects.toThrow('no');
    expect(getEventListeners(first.signal, 'abort')).toHaveLength(1);
    const waiting = watch.wait(never(), second.signal);
    expect(getEventListeners(first.signal, 'abort')).toHaveLength(0);
    first.abort(new Error('of another'));
    second.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect(watch.wait(never(), second.signal)).rejects.toThrow('enough');
    await expect(watch.wait(Promise.reject(new Error('no')), second.signal)).rejects.toThrow('enough');
    expect(await watch.wait(Promise.resolve('done'), undefined)).toBe('done');
  });
});

describe('the sources', () => {
  it('limit the time of other code in one place; everything else waits for its own events', () => {
    const timers = filesIn(['src', 'native'], '.ts').filter((path) => /(?<![.\w])setTimeout\(/.test(codeOf(path)));
    expect(timers).toEqual(['src/signal.ts', 'src/tpm/transports/socket-connection.ts', 'src/webcrypto/pin-entry.ts']);
  });
});
