import { describe, expect, it } from 'vitest';
import { definePinPolicy, definePolicy, parsePolicy } from '../../../src/policy/index.ts';
import { problemsOf } from './problems-of.ts';

const NUMERIC = { uppercase: 'not-allowed', lowercase: 'not-allowed', special: 'not-allowed', digits: 'required' };
const ALLOWED = { uppercase: 'allowed', lowercase: 'allowed', special: 'allowed', digits: 'allowed' };

describe('definePinPolicy', () => {
  it('has the defaults of both generations of documents', () => {
    const rest = { maxLength: 127, history: 0, expirationDays: 0 };
    expect(definePinPolicy()).toEqual({ minLength: 6, ...rest, ...ALLOWED });
    expect(definePinPolicy({}, '2016')).toEqual({ minLength: 4, ...rest, ...NUMERIC });
  });

  it('makes a PIN numeric if numericOnlyStrict is set and no set of characters requires more', () => {
    expect(definePinPolicy({ numericOnlyStrict: true })).toMatchObject(NUMERIC);
    expect(definePinPolicy({ numericOnlyStrict: false }, '2016')).toMatchObject(ALLOWED);
    expect(definePinPolicy({ numericOnlyStrict: true, uppercase: 'allowed' })).toMatchObject({
      ...NUMERIC,
      uppercase: 'allowed',
    });
    const all = { uppercase: 'allowed', lowercase: 'allowed', special: 'allowed', digits: 'allowed' } as const;
    expect(definePinPolicy({ ...all, numericOnlyStrict: true })).toMatchObject(NUMERIC);
    expect(definePinPolicy({ ...all, digits: 'required', numericOnlyStrict: true })).toMatchObject({
      ...ALLOWED,
      digits: 'required',
    });
  });

  it('is frozen and its own definition', () => {
    const policy = definePinPolicy({ minLength: 8, digits: 'required', history: 5, expirationDays: 90 }, '2016');
    expect(Object.isFrozen(policy)).toBe(true);
    expect(definePinPolicy(policy)).toEqual(policy);
  });

  it('reports every wrong setting at once', () => {
    const wrong = JSON.parse(
      '{"minLength":3,"maxLength":128,"history":51,"expirationDays":-1,"uppercase":1,"lenght":8,"numericOnlyStrict":0}',
    );
    const uses = "'allowed' | 'required' | 'not-allowed'";
    expect(problemsOf(() => definePinPolicy(wrong))).toEqual([
      {
        setting: 'pin.lenght',
        problem: 'unknown setting',
        expected:
          "'minLength' | 'maxLength' | 'history' | 'expirationDays' | 'uppercase' | 'lowercase' | 'special' | 'digits' | 'numericOnlyStrict'",
      },
      { setting: 'pin.minLength', problem: 'is 3', expected: 'an integer from 4 to 127' },
      { setting: 'pin.maxLength', problem: 'is 128', expected: 'an integer from 4 to 127' },
      { setting: 'pin.history', problem: 'is 51', expected: 'an integer from 0 to 50' },
      { setting: 'pin.expirationDays', problem: 'is -1', expected: 'an integer from 0 to 730' },
      { setting: 'pin.uppercase', problem: 'is 1', expected: uses },
      { setting: 'pin.numericOnlyStrict', problem: 'is 0', expected: 'true or false' },
    ]);
  });

  it('refuses lengths that do not go together, and rules that allow nothing', () => {
    expect(problemsOf(() => definePinPolicy({ minLength: 8, maxLength: 8 }))).toEqual([
      {
        ...{ setting: 'pin.minLength', problem: 'is 8, not below maxLength 8', expected: 'less than maxLength' },
        contradicts: ['pin.maxLength'],
      },
    ]);
    expect(problemsOf(() => definePinPolicy({ digits: 'not-allowed' }, '2016'))).toEqual([
      { setting: 'pin', problem: 'allows no characters', expected: 'at least one set of characters' },
    ]);
  });
});

describe('the PIN part of a policy', () => {
  it('is complete, whether or not something is set', () => {
    expect(definePolicy().pin).toEqual(definePinPolicy());
    expect(definePolicy({ pin: { minLength: 8 } }).pin).toEqual(definePinPolicy({ minLength: 8 }));
    expect(parsePolicy('{"pin":{}}').pin).toEqual(definePinPolicy());
  });

  it("reports its problems together with the other settings'", () => {
    expect(problemsOf(() => parsePolicy('{"hardware":1,"pin":{"history":1.5}}'))).toMatchObject([
      { setting: 'hardware' },
      { setting: 'pin.history', problem: 'is 1.5' },
    ]);
    expect(problemsOf(() => parsePolicy('{"pin":[]}'))).toEqual([
      { setting: 'pin', problem: 'is a list', expected: 'an object of settings' },
    ]);
  });

  it('survives JSON', () => {
    const policy = definePolicy({ pin: { minLength: 8, special: 'required' } });
    expect(parsePolicy(JSON.stringify(policy))).toEqual(policy);
  });
});
