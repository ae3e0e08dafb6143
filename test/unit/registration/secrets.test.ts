import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { redactError, redactor } from '../../../src/registration/secrets.ts';

const JWT = 'eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJ1cG4iOiJhZGEifQ12345.c2lnbmF0dXJl';

describe('redactor', () => {
  it.each([
    [`a ${JWT} b ${JWT}`, 'a [secret] b [secret]'],
    ['eyJ1cG4iOiJhZGEifQ12345', '[secret]'],
    ['code=a%2Bb%2F%3D', 'code=[secret]'],
    ['code=a+b/=', 'code=[secret]'],
    ['the abc stays', 'the abc stays'],
    ['c2lnbmF0dXJl is too short for a part', 'c2lnbmF0dXJl is too short for a part'],
  ])('removes the secrets from %j', (text, expected) => {
    expect(redactor([JWT, 'a+b/=', 'abc', ''])(text)).toBe(expected);
  });

  it('removes a secret that contains another one', () => {
    expect(redactor(['secret-one', 'one-secret-one-more'])('one-secret-one-more secret-one')).toBe('[secret] [secret]');
  });
});

describe('redactError', () => {
  const redact = redactor(['s3cret']);

  it('copies only name, message, code, stack and causes', () => {
    const cause = Object.assign(new RangeError('within s3cret'), { code: 'E_s3cret', headers: { a: 's3cret' } });
    const error = new TypeError('outside s3cret', { cause });
    const copied = redactError(error, redact);
    expect([copied.name, copied.message]).toEqual(['TypeError', 'outside [secret]']);
    expect(copied.cause).toMatchObject({ name: 'RangeError', message: 'within [secret]', code: 'E_[secret]' });
    expect(copied.stack?.split('\n')[1]).toBe(error.stack?.split('\n')[1]);
    expect(inspect(copied, { depth: null, showHidden: true })).not.toContain('s3cret');
  });

  it('accepts values that are not errors, and endless causes', () => {
    expect(redactError('s3cret', redact).message).toBe('[secret]');
    const circle = new Error('s3cret');
    circle.cause = circle;
    expect(inspect(redactError(circle, redact), { depth: null })).not.toContain('s3cret');
  });
});
