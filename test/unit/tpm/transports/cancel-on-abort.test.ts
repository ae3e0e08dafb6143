import { describe, expect, it } from 'vitest';
import { KeyprovError } from '../../../../src/errors.ts';
import { cancelOnAbort } from '../../../../src/tpm/transports/cancel-on-abort.ts';

/** A promise that the test settles. */
function later<T>() {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

const settled = async (promise: Promise<unknown>): Promise<boolean> => {
  await new Promise((resolve) => setImmediate(resolve));
  return Promise.race([promise.then(() => true), Promise.resolve(false)]);
};

describe('cancelOnAbort', () => {
  it('cancels nothing without an abort, even after the answer', async () => {
    const abort = new AbortController();
    let cancels = 0;
    const cancel = async () => void cancels++;
    expect(await cancelOnAbort(Promise.resolve('answer'), abort.signal, cancel)).toBe('answer');
    abort.abort();
    expect(cancels).toBe(0);
  });

  it('settles with the answer, but not before the cancellation is at its end', async () => {
    const answer = later<string>();
    const canceling = later<void>();
    const abort = new AbortController();
    let cancels = 0;
    const result = cancelOnAbort(answer.promise, abort.signal, () => {
      cancels++;
      return canceling.promise;
    });
    abort.abort();
    abort.abort();
    answer.resolve('answer');
    expect(await settled(result)).toBe(false);
    canceling.resolve();
    expect(await result).toBe('answer');
    expect(cancels).toBe(1);
  });

  it('cancels at once when the signal has aborted before', async () => {
    let cancels = 0;
    await cancelOnAbort(Promise.resolve(), AbortSignal.abort(), async () => void cancels++);
    expect(cancels).toBe(1);
  });

  it("throws the cancellation's error if there is an answer", async () => {
    const error = new Error('switch stuck');
    await expect(cancelOnAbort(Promise.resolve(), AbortSignal.abort(), () => Promise.reject(error))).rejects.toBe(
      error,
    );
  });

  it("throws the command's error, which contains the cancellation's error", async () => {
    const error = new KeyprovError('transport-lost', 'gone');
    const second = new Error('switch stuck');
    const result = cancelOnAbort(Promise.reject(error), AbortSignal.abort(), () => Promise.reject(second));
    await expect(result).rejects.toBe(error);
    expect(error.suppressed).toEqual([second]);
  });
});
