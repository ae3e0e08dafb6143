import { expect, it } from 'vitest';
import { SelectionError } from '../../../src/errors/selection-error.ts';
import { ServiceError } from '../../../src/errors/service-error.ts';
import { KeyprovError, sayError } from '../../../src/errors.ts';

const read = (error: unknown): unknown => JSON.parse(JSON.stringify({ error })).error;

it('an error as JSON says what happened, what to do, and why', () => {
  const error = new KeyprovError('store-io', 'cannot be read\u001b[2J', {
    cause: new Error('no space'),
    remedy: 'make room',
  });
  expect(read(error)).toEqual({
    ...{ name: 'KeyprovError', code: 'store-io', message: 'cannot be read\\u{1b}[2J', remedy: 'make room' },
    cause: 'no space',
  });
  error.suppressed.push(new KeyprovError('store-busy', 'held', { remedy: 'wait' }), 'text');
  expect(read(error)).toMatchObject({ suppressed: ['held; wait', 'text'] });
});

it('the cause of an error of other code is said as well, but not twice', () => {
  const refused = Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' });
  expect(sayError(new TypeError('fetch failed', { cause: refused }))).toBe('fetch failed (ECONNREFUSED)');
  expect(sayError(new TypeError('fetch failed', { cause: new Error('no\u001b') }))).toBe('fetch failed (no\\u{1b})');
  expect(sayError(new TypeError('cannot be read: bad', { cause: new Error('bad') }))).toBe('cannot be read: bad');
  expect(sayError(new TypeError('alone'))).toBe('alone');
  expect(sayError(new TypeError('', { cause: new Error('inner') }))).toBe('inner');
  expect(sayError(new TypeError('', { cause: refused }))).toBe('ECONNREFUSED');
  expect(sayError(new TypeError(''))).toBe('');
});

it('it has the members of its class', () => {
  const attempts = [{ backend: 'tpm', outcome: 'failed', code: 'no-tpm', reason: 'none' }] as const;
  const error = new SelectionError('tpm-unavailable', 'later', attempts, { retryAfterSeconds: 7 });
  expect(read(error)).toEqual({
    ...{ name: 'SelectionError', code: 'tpm-unavailable', message: 'later', attempts, retryAfterSeconds: 7 },
  });
});

it("it has Windows' code as Windows writes it", () => {
  const error = new ServiceError('service-refused', 'no', {
    status: 403,
    windowsCode: 0x801c0012,
    details: { form: 'empty' },
  });
  expect(error.windowsCode).toBe(0x801c0012);
  expect(read(error)).toEqual({
    ...{ name: 'ServiceError', code: 'service-refused', message: 'no', status: 403, details: { form: 'empty' } },
    ...{ retry: 'none', outcomeUnknown: false, windowsCode: '0x801C0012' },
  });
  expect(read(new ServiceError('service-timeout', 'late'))).not.toHaveProperty('windowsCode');
});
