import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/bytes.ts';
import { isKeyprovError } from '../../../src/errors.ts';
import { addToPinHistory, definePinPolicy, describePinRules } from '../../../src/policy/index.ts';
import { enterNewPin, type NewPinRequest } from '../../../src/provisioning/pin-entry.ts';

const policy = definePinPolicy({ history: 2 });

/** A user who answers with these PINs, and the recorded questions. */
function user(...answers: readonly string[]) {
  const asked: NewPinRequest[] = [];
  const given: Uint8Array[] = [];
  const prompt = async (request: NewPinRequest): Promise<Uint8Array> => {
    const pin = utf8(answers[asked.length] ?? '');
    asked.push(request);
    given.push(pin);
    return pin;
  };
  const summary = () =>
    asked.map(({ step, attempt, problems }) => [step, attempt, problems.map(({ code }) => code).join()]);
  return { prompt, given, summary, asked };
}

describe('enterNewPin', () => {
  it.each([0, 0.5, -1, Number.NaN])('refuses %s tries, and asks nobody', async (maxAttempts) => {
    const { prompt, asked } = user('258096', '258096');
    await expect(enterNewPin(prompt, { policy, maxAttempts })).rejects.toThrow(RangeError);
    expect(asked).toEqual([]);
  });

  it('tells a prompt that returns text', async () => {
    await expect(enterNewPin(async () => Object('258096'), { policy })).rejects.toThrow(
      new TypeError('the result of the prompt for a new PIN must be a Uint8Array'),
    );
  });

  it('tells a prompt that returns the array that was wiped', async () => {
    const buffer = utf8('1111');
    await expect(enterNewPin(async () => buffer, { policy })).rejects.toThrow(
      new TypeError('the prompt returned a PIN that has already been overwritten: return a new array each time'),
    );
  });

  it('asks twice, shows the rules, and returns the PIN', async () => {
    const { prompt, asked, given, summary } = user('258096', '258096');
    expect(await enterNewPin(prompt, { policy })).toEqual(utf8('258096'));
    expect(summary()).toEqual([
      ['enter', 1, ''],
      ['confirm', 1, ''],
    ]);
    expect(asked[0]?.rules).toEqual(describePinRules(policy));
    expect(given).toEqual([new Uint8Array(6), new Uint8Array(6)]);
  });

  it('asks again with the problems of the last try until policy allows the PIN', async () => {
    const history = await addToPinHistory({ entries: [] }, utf8('258096'), { keep: 2, cost: 16 });
    const { prompt, given, summary } = user('1111', '258096', '369025', '369026', '369025', '369025');
    expect(await enterNewPin(prompt, { policy, history })).toEqual(utf8('369025'));
    expect(summary()).toEqual([
      ['enter', 1, ''],
      ['enter', 2, 'too-short,common-pattern'],
      ['enter', 3, 'in-history'],
      ['confirm', 3, ''],
      ['enter', 4, 'confirmation-differs'],
      ['confirm', 4, ''],
    ]);
    expect(given.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true);
  });

  it('is not fooled by a prompt that uses one buffer for both answers', async () => {
    const buffer = new Uint8Array(6);
    let calls = 0;
    const prompt = async (): Promise<Uint8Array> => {
      buffer.set(utf8(calls++ % 2 === 0 ? '258096' : '258097'));
      return buffer;
    };
    await expect(enterNewPin(prompt, { policy, maxAttempts: 2 })).rejects.toMatchObject({
      code: 'pin-refused',
      remedy: 'start again: all 2 tries are used up',
    });
    expect(calls).toBe(4);
  });

  it('gives up after the last try', async () => {
    const { prompt, asked } = user();
    const error = await enterNewPin(prompt, { policy }).catch((reason: unknown) => reason);
    expect(isKeyprovError(error, 'pin-refused')).toBe(true);
    expect(asked).toHaveLength(10);
  });

  it('passes on errors of the prompt and the abort, with the PIN wiped', async () => {
    const pin = utf8('258096');
    const prompt = async ({ step }: NewPinRequest): Promise<Uint8Array> => {
      if (step === 'enter') return pin;
      throw new Error('the window was closed');
    };
    await expect(enterNewPin(prompt, { policy })).rejects.toThrow('the window was closed');
    expect(pin).toEqual(new Uint8Array(6));
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(enterNewPin(prompt, { policy, signal })).rejects.toThrow('enough');
  });
});
