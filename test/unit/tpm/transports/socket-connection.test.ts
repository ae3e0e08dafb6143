import { describe, expect, it } from 'vitest';
import { toHex, uint32s } from '../../../../src/bytes.ts';
import { fixedSize, formatTarget, withinLimit } from '../../../../src/tpm/transports/socket-connection.ts';

const names = { address: 'swtpm:unix:/x', remedy: 'start it' };

describe('withinLimit', () => {
  it('returns the opened connection, and ignores its signal afterwards', async () => {
    const limit = await withinLimit({ ...names, timeoutMs: 5 }, async (signal) => signal);
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(limit.aborted).toBe(false);
  });

  it('aborts with transport-timeout when the time is over', async () => {
    const opening = withinLimit({ ...names, timeoutMs: 5 }, (limit) => aborted(limit));
    await expect(opening).rejects.toMatchObject({
      code: 'transport-timeout',
      message: 'swtpm:unix:/x: no response within 5 ms',
      remedy: 'start it',
    });
  });

  it("aborts with the caller's own reason when that comes first", async () => {
    const abort = new AbortController();
    const opening = withinLimit({ ...names, timeoutMs: 60_000, signal: abort.signal }, (limit) => aborted(limit));
    abort.abort('enough');
    await expect(opening).rejects.toBe('enough');
  });
});

const aborted = (limit: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    limit.addEventListener('abort', () => reject(limit.reason));
  });

describe('formatTarget', () => {
  it('writes addresses as openTpm reads them', () => {
    expect(formatTarget({ path: '/run/tpm sock' })).toBe('unix:/run/tpm sock');
    expect(formatTarget({ host: '127.0.0.1', port: 2321 })).toBe('127.0.0.1:2321');
    expect(formatTarget({ host: '::1', port: 2321 })).toBe('[::1]:2321');
  });
});

describe('uint32s', () => {
  it('are big endian, one after the other', () => {
    expect(toHex(uint32s(2, 0xfffffffe))).toBe('00000002fffffffe');
    expect(toHex(uint32s())).toBe('');
  });
});

describe('fixedSize', () => {
  it('needs the complete answer to know that it is complete', () => {
    const framing = fixedSize(12);
    expect([framing.headSize, framing.lengthOf(new Uint8Array(12))]).toEqual([12, 12]);
  });
});
