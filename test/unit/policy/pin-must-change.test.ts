import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/bytes.ts';
import {
  checkPin,
  definePinPolicy,
  type PinRecord,
  type PinSettings,
  pinMustChange,
  recheckPin,
} from '../../../src/policy/index.ts';

const DAY = 86_400_000;
const reasonsAfter = (before: PinSettings, after: PinSettings, days = 0) =>
  pinMustChange({ setAt: 1000, met: definePinPolicy(before) }, definePinPolicy(after), 1000 + days * DAY).map(
    ({ code, setting }) => [code, setting],
  );

describe('pinMustChange', () => {
  it('lets a PIN be while its rules stay or loosen', () => {
    expect(reasonsAfter({}, {}, 10_000)).toEqual([]);
    const strict: PinSettings = { minLength: 8, maxLength: 20, digits: 'required', special: 'not-allowed', history: 5 };
    expect(reasonsAfter(strict, {})).toEqual([]);
    expect(reasonsAfter(strict, strict)).toEqual([]);
    expect(reasonsAfter({}, { history: 50 })).toEqual([]);
  });

  it.each([
    ['minLength', { minLength: 7 }],
    ['maxLength', { maxLength: 126 }],
    ['uppercase', { uppercase: 'required' }],
    ['lowercase', { lowercase: 'not-allowed' }],
    ['special', { special: 'required' }],
    ['digits', { digits: 'not-allowed' }],
  ] as const)('asks for a new PIN when %s tightens', (setting, after) => {
    expect(reasonsAfter({}, after)).toEqual([['policy-tightened', setting]]);
  });

  it('asks for a new PIN if required characters are no longer allowed, or the other way round', () => {
    expect(reasonsAfter({ special: 'required' }, { special: 'not-allowed' })).toEqual([
      ['policy-tightened', 'special'],
    ]);
    expect(reasonsAfter({ special: 'not-allowed' }, { special: 'required' })).toEqual([
      ['policy-tightened', 'special'],
    ]);
  });

  it('asks for a new PIN after its days, not before', () => {
    expect(reasonsAfter({}, { expirationDays: 30 }, 29.999)).toEqual([]);
    expect(reasonsAfter({}, { expirationDays: 30 }, 30)).toEqual([['expired', 'expirationDays']]);
    expect(reasonsAfter({}, { expirationDays: 0 }, 100_000)).toEqual([]);
    expect(reasonsAfter({}, { expirationDays: 30 }, -5)).toEqual([]);
  });

  it('gives every reason', () => {
    const after: PinSettings = { minLength: 8, special: 'required', expirationDays: 1 };
    expect(reasonsAfter({}, after, 2)).toEqual([
      ['expired', 'expirationDays'],
      ['policy-tightened', 'minLength'],
      ['policy-tightened', 'special'],
    ]);
  });
});

describe('recheckPin', () => {
  const record: PinRecord = { setAt: 5, met: definePinPolicy() };
  const tighter = definePinPolicy({ minLength: 8 });

  it('clears a PIN that meets the new rules after all', () => {
    const checked = recheckPin(record, utf8('25809631'), tighter);
    expect(checked).toEqual({ record: { setAt: 5, met: tighter }, problems: [] });
    expect(pinMustChange(checked.record, tighter, 6)).toEqual([]);
  });

  it('explains the problem with one that does not', () => {
    const checked = recheckPin(record, utf8('258096'), tighter);
    expect(checked.record).toBe(record);
    expect(checked.problems).toEqual(checkPin(utf8('258096'), tighter));
    expect(pinMustChange(checked.record, tighter, 6)).toHaveLength(1);
  });
});
