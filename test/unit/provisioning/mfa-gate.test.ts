import { inspect } from 'node:util';
import { describe, expect, it, vi } from 'vitest';
import { toBase64Url, utf8 } from '../../../src/bytes.ts';
import { MfaError } from '../../../src/errors/mfa-error.ts';
import { ServiceError } from '../../../src/errors/service-error.ts';
import { KeyprovError, sayError } from '../../../src/errors.ts';
import {
  checkFresh,
  isFresh,
  type MfaAnswer,
  type MfaPrompt,
  type MfaRequest,
  type PassMfaOptions,
  passMfa,
} from '../../../src/provisioning/mfa-gate.ts';
import { asyncRefusal, refusal } from '../../refusal.ts';

const NOW = new Date('2026-05-04T10:00:00Z');
const seconds = (date: Date): number => date.getTime() / 1000;
const ago = (ms: number): Date => new Date(NOW.getTime() - ms);
const WHO = {
  user: 'anna@contoso.test',
  deviceId: '5f0b4a3c-8a51-4f5c-9a2e-0c8f1d2e3b4a',
  resource: 'urn:ms-drs:enterpriseregistration.windows.net',
};
const SIGNATURE = 'c2lnbmF0dXJlIHRoYXQgbm9ib2R5IGNoZWNrcw';

function token(claims: Readonly<Record<string, unknown>> = {}): string {
  const payload = {
    aud: WHO.resource,
    deviceid: WHO.deviceId,
    upn: WHO.user,
    amr: ['pwd', 'ngcmfa'],
    iat: seconds(NOW),
    exp: seconds(NOW) + 3600,
    ...claims,
  };
  const part = (value: object) => toBase64Url(utf8(JSON.stringify(value)));
  return `${part({ typ: 'JWT', alg: 'RS256' })}.${part(payload)}.${SIGNATURE}`;
}

const passed = (claims?: Readonly<Record<string, unknown>>, passedAt?: Date): MfaAnswer => ({
  status: 'passed',
  token: token(claims),
  ...(passedAt && { passedAt }),
});

/** A prompt that returns these answers in turn, and records its requests. */
function tool(...answers: readonly (MfaAnswer | Error)[]) {
  const asked: MfaRequest[] = [];
  const prompt: MfaPrompt = async (request) => {
    const answer = answers[asked.length];
    asked.push(request);
    if (answer === undefined) throw new Error('asked too often');
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { prompt, asked };
}

/** A timer that the test triggers. */
function timer() {
  const started: { ms: number; goOff: () => void; signal: AbortSignal | undefined }[] = [];
  const sleep: PassMfaOptions['sleep'] = (ms, { signal }) =>
    new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      started.push({ ms, goOff: resolve, signal });
    });
  return { sleep, started };
}

/** Options with a stopped clock. */
const options = (more: Partial<PassMfaOptions> = {}): PassMfaOptions => ({ ...WHO, now: () => NOW, ...more });

async function failure(work: Promise<unknown>): Promise<KeyprovError> {
  const error: unknown = await work.then(
    () => expect.fail('nothing was thrown'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof KeyprovError)) throw error;
  return error;
}

describe('passMfa', () => {
  it('asks for a fresh authentication for the service, and returns its token and claims', async () => {
    const { prompt, asked } = tool(passed());
    const { sleep, started } = timer();
    const proof = await passMfa(prompt, options({ sleep }));
    expect(asked).toEqual([{ ...WHO, amrValues: 'ngcmfa', maxAgeSeconds: 600, attempt: 1, problems: [] }]);
    expect(proof.token()).toBe(token());
    expect(proof.passedAt).toEqual(NOW);
    expect(proof.expires).toEqual(new Date('2026-05-04T11:00:00Z'));
    expect(proof.claims).toMatchObject({ upn: WHO.user, methods: ['pwd', 'ngcmfa'] });
    expect(started.map(({ ms, signal }) => [ms, signal?.aborted])).toEqual([[600_000, true]]);
  });

  it('never shows the token, however the proof is printed', async () => {
    const proof = await passMfa(tool(passed()).prompt, options());
    const shown = [
      JSON.stringify(proof),
      inspect(proof, { showHidden: true, depth: 9, getters: true }),
      String(proof),
      Object.keys(proof).join(),
      JSON.stringify({ ...proof }),
      JSON.stringify(structuredClone({ ...proof })),
    ].join('\n');
    for (const part of token().split('.')) expect(shown).not.toContain(part);
    expect(Object.keys(proof)).toEqual(['passedAt', 'expires', 'claims']);
  });

  it.each([
    ['the token says when the user authenticated', passed({ auth_time: seconds(ago(60_000)) }), 60_000],
    ['the tool says so and it was earlier', passed({ auth_time: seconds(ago(60_000)) }, ago(90_000)), 90_000],
    ['the tool says so and it was later', passed({ auth_time: seconds(ago(60_000)) }, ago(30_000)), 60_000],
    ['the token says only when it was made', passed({ iat: seconds(ago(120_000)) }), 120_000],
    ['nobody says anything', passed({ iat: undefined }), 0],
    ['both say a time to come', passed({ iat: seconds(NOW) + 50, auth_time: seconds(NOW) + 50 }, ago(-70_000)), 0],
  ])('uses the earliest time of the authentication, and none in the future: %s', async (_, answer, age) => {
    const { passedAt } = await passMfa(tool(answer).prompt, options());
    expect(passedAt).toEqual(ago(age));
  });

  it('refuses a token with every problem of it, without showing it', async () => {
    const wrong = { aud: 'urn:other', deviceid: undefined, upn: 'eve@contoso.test', amr: ['pwd'], exp: 1 };
    const error = await failure(passMfa(tool(passed(wrong)).prompt, options()));
    expect(error).toBeInstanceOf(MfaError);
    expect(error.code).toBe('token-invalid');
    expect(error.remedy).toBe('get a new token for this service, user and device, after MFA on this device');
    expect(error instanceof MfaError && error.problems.map(({ code }) => code)).toEqual([
      'expired',
      'audience',
      'device-missing',
      'user-other',
      'no-mfa',
    ]);
    const shown = inspect(error, { depth: 9, showHidden: true });
    for (const part of token(wrong).split('.')) expect(shown).not.toContain(part);
  });

  it('accepts another method of authentication only if it is named', async () => {
    const answer = passed({ amr: ['mfa'] });
    expect((await failure(passMfa(tool(answer).prompt, options()))).code).toBe('token-invalid');
    const proof = await passMfa(tool(answer).prompt, options({ methods: ['mfa'] }));
    expect(proof.claims.methods).toEqual(['mfa']);
  });

  it('refuses an authentication that is not fresh, for example of a cached token', async () => {
    const stale = passed({ auth_time: seconds(ago(600_001)) });
    expect(await asyncRefusal(() => passMfa(tool(stale).prompt, options()))).toBe(
      'mfa-stale: the authentication at 2026-05-04 09:49:59 UTC is not within the last 600 s, and it is now ' +
        '2026-05-04 10:00:00 UTC; authenticate again',
    );
    const { prompt, asked } = tool(stale);
    await passMfa(prompt, options({ maxAgeMs: 601_000 }));
    expect(asked[0]?.maxAgeSeconds).toBe(601);
  });

  it('says why the user did not pass', async () => {
    const { prompt } = tool({ status: 'failed', reason: 'the user declined' });
    expect(await asyncRefusal(() => passMfa(prompt, options()))).toBe('mfa-failed: the user declined; try again');
  });

  it('keeps the code of an error of this library, and turns any other error into mfa-failed', async () => {
    const own = new ServiceError('service-unreachable', 'no way to the service');
    expect(await failure(passMfa(tool(own).prompt, options()))).toBe(own);
    const foreign = new Error('the window was closed');
    const error = await failure(passMfa(tool(foreign).prompt, options()));
    expect(error.message).toBe('the authentication failed: the window was closed');
    expect([error.code, error.cause]).toEqual(['mfa-failed', foreign]);
    const broken: MfaPrompt = () => {
      throw foreign;
    };
    expect((await failure(passMfa(broken, options()))).cause).toBe(foreign);
  });

  it('ends at the time-out, has the tool close its window, and drops a later answer', async () => {
    const { sleep, started } = timer();
    let answer: (value: MfaAnswer) => void = () => {};
    let seen: AbortSignal | undefined;
    const prompt: MfaPrompt = (_, { signal }) => {
      seen = signal;
      return new Promise((resolve) => {
        answer = resolve;
      });
    };
    const done = failure(passMfa(prompt, options({ sleep, timeoutMs: 90_000 })));
    expect(started.map(({ ms }) => ms)).toEqual([90_000]);
    expect(seen?.aborted).toBe(false);
    started[0]?.goOff();
    const error = await done;
    expect(`${error.code}: ${sayError(error)}`).toBe('mfa-timeout: nobody authenticated within 90 s; try again');
    expect(seen?.reason).toBe(error);
    answer(passed());
    await Promise.resolve();
    expect(error.code).toBe('mfa-timeout');
  });

  it('is not delayed by a tool that rejects after the time-out', async () => {
    const unhandled = vi.fn();
    process.on('unhandledRejection', unhandled);
    try {
      const { sleep, started } = timer();
      const prompt: MfaPrompt = (_, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => setImmediate(() => reject(new Error('too late'))), { once: true });
        });
      const done = failure(passMfa(prompt, options({ sleep })));
      started[0]?.goOff();
      expect((await done).code).toBe('mfa-timeout');
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
      expect(unhandled).not.toHaveBeenCalled();
    } finally {
      process.off('unhandledRejection', unhandled);
    }
  });

  it('ends with the reason of its signal, in the prompt and in the question whether to try again', async () => {
    const enough = new Error('enough');
    const aborting = new AbortController();
    let seen: AbortSignal | undefined;
    const prompt: MfaPrompt = (_, { signal }) => {
      seen = signal;
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('closed')), { once: true });
      });
    };
    const done = passMfa(prompt, options({ signal: aborting.signal, maxAttempts: 9 })).catch((error: unknown) => error);
    aborting.abort(enough);
    expect(await done).toBe(enough);
    expect(seen?.reason).toBe(enough);

    const later = new AbortController();
    const { prompt: declining } = tool({ status: 'failed', reason: 'no' });
    const mayRetry = () => {
      setImmediate(() => later.abort(enough));
      return new Promise<boolean>(() => {});
    };
    const asking = passMfa(declining, options({ signal: later.signal, maxAttempts: 2, mayRetry }));
    expect(await asking.catch((error: unknown) => error)).toBe(enough);

    const { prompt: untouched, asked } = tool(passed());
    await expect(passMfa(untouched, options({ signal: AbortSignal.abort(enough) }))).rejects.toBe(enough);
    expect(asked).toEqual([]);
  });

  it('asks again after each kind of error, with the problems of the last try, until one succeeds', async () => {
    const { prompt, asked } = tool(
      { status: 'failed', reason: 'declined' },
      passed({ amr: ['pwd'], upn: undefined }),
      passed({ auth_time: seconds(ago(700_000)) }),
      new ServiceError('service-timeout', 'no answer'),
      passed(),
    );
    const seen: [string, number][] = [];
    const mayRetry = async (error: KeyprovError, attempt: number) => {
      seen.push([error.code, attempt]);
      return true;
    };
    await passMfa(prompt, options({ maxAttempts: 5, mayRetry }));
    expect(asked.map(({ attempt, problems }) => [attempt, ...problems.map(({ code }) => code)])).toEqual([
      [1],
      [2, 'mfa-failed'],
      [3, 'user-missing', 'no-mfa'],
      [4, 'mfa-stale'],
      [5, 'service-timeout'],
    ]);
    expect(seen).toEqual([
      ['mfa-failed', 1],
      ['token-invalid', 2],
      ['mfa-stale', 3],
      ['service-timeout', 4],
    ]);
  });

  it('gives each try its own time', async () => {
    const { sleep, started } = timer();
    const prompt: MfaPrompt = async ({ attempt }) => (attempt === 1 ? new Promise<MfaAnswer>(() => {}) : passed());
    const done = passMfa(prompt, options({ sleep, maxAttempts: 2 }));
    started[0]?.goOff();
    expect((await done).token()).toBe(token());
    expect(started.map(({ ms }) => ms)).toEqual([600_000, 600_000]);
  });

  it('stops asking after the last try, or if the user gives up', async () => {
    const declined: MfaAnswer = { status: 'failed', reason: 'declined' };
    const twice = tool(declined, declined, passed());
    expect((await failure(passMfa(twice.prompt, options({ maxAttempts: 2 })))).code).toBe('mfa-failed');
    expect(twice.asked).toHaveLength(2);
    const once = tool(declined, passed());
    const error = await failure(passMfa(once.prompt, options({ maxAttempts: 3, mayRetry: async () => false })));
    expect([error.code, once.asked.length]).toEqual(['mfa-failed', 1]);
  });

  it.each([
    ['timeoutMs', { timeoutMs: 0 }],
    ['timeoutMs', { timeoutMs: 2 ** 31 }],
    ['maxAgeMs', { maxAgeMs: Number.NaN }],
    ['maxAttempts', { maxAttempts: 0 }],
  ])('refuses a wrong %s before it asks', async (_, wrong) => {
    const { prompt, asked } = tool(passed());
    await expect(passMfa(prompt, options(wrong))).rejects.toThrow(RangeError);
    await expect(passMfa(prompt, options({ deviceId: 'my laptop' }))).rejects.toThrow(TypeError);
    expect(asked).toEqual([]);
  });

  it.each([{ status: 'failed' }, { status: 'failed', reason: 7 }])('names the answer %j', async (answer) => {
    await expect(passMfa(async () => Object(answer), options({}))).rejects.toThrow(
      /^the reason in the result of mfa must be a string$/,
    );
  });

  it('lets a failed answer have members of the tool', async () => {
    const declined = { status: 'failed', reason: 'declined', token: undefined, attempts: 2 } as const;
    expect((await failure(passMfa(async () => declined, options({})))).code).toBe('mfa-failed');
  });
});

describe('isFresh', () => {
  const proof = { passedAt: ago(600_000), expires: new Date(NOW.getTime() + 1) };

  it('is true for ten minutes, and as long as the token is valid', () => {
    expect(isFresh(proof, NOW)).toBe(true);
    expect(isFresh(proof, NOW, 599_999)).toBe(false);
    expect(isFresh({ ...proof, passedAt: ago(600_001) }, NOW)).toBe(false);
    expect(isFresh({ ...proof, expires: NOW }, NOW)).toBe(false);
  });

  it('is false if the clock was set back', () => {
    expect(isFresh({ ...proof, passedAt: ago(-1) }, NOW)).toBe(false);
  });

  it('is a separate error in checkFresh', () => {
    expect(refusal(() => checkFresh(proof, NOW))).toBe('nothing thrown');
    expect(refusal(() => checkFresh({ ...proof, expires: NOW }, NOW))).toBe(
      'mfa-stale: the token expired at 2026-05-04 10:00:00 UTC, and it is now 2026-05-04 10:00:00 UTC; ' +
        'authenticate again',
    );
    expect(refusal(() => checkFresh({ ...proof, passedAt: ago(600_001) }, NOW))).toMatch(/^mfa-stale: the authenti/);
  });
});
