import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ServiceError } from '../../../src/errors/service-error.ts';
import { isKeyprovError, type KeyprovError } from '../../../src/errors.ts';
import { windowsErrorOf } from '../../../src/provisioning/windows/windows-errors.ts';
import { authenticateWithDeviceCode, type DeviceCodePrompt } from '../../../src/registration/device-code.ts';
import { oauthRefusal, type StubbedAnswer, serviceStub } from '../../service-stub.ts';

const demand = {
  tokenEndpoint: 'https://login.test/t/oauth2/token',
  clientId: '29d9ed98-a469-4536-ade2-f981bc1d605e',
  resource: 'urn:ms-drs:enterpriseregistration.windows.net',
};
const started = {
  user_code: 'ABCD',
  device_code: 'd3vice-code',
  verification_url: 'https://login.test/deviceauth',
  expires_in: '900',
  interval: '5',
  message: 'Open the page.',
};
const tokens = { token_type: 'Bearer', access_token: 'a', refresh_token: 'r', id_token: 'i', expires_in: '3599' };
const pending = oauthRefusal('authorization_pending', { error_codes: [70016] });

/** Signs in on a clock that only waiting moves. */
async function signIn(first: StubbedAnswer, ...answers: readonly StubbedAnswer[]) {
  const stub = serviceStub(first, ...answers);
  const start = new Date('2026-01-01T12:00:00Z').getTime();
  const delays: number[] = [];
  const prompts: DeviceCodePrompt[] = [];
  const options = {
    fetch: stub.fetch,
    onCode: (prompt: DeviceCodePrompt) => void prompts.push(prompt),
    sleep: async (ms: number) => void delays.push(ms),
    now: () => new Date(start + delays.reduce((sum, ms) => sum + ms, 0)),
  };
  try {
    const issued = await authenticateWithDeviceCode(demand, options);
    return { issued, error: undefined, outcome: 'signed in', delays, prompts, ...stub };
  } catch (error) {
    if (!isKeyprovError(error)) throw error;
    expect(inspect(error, { depth: null, showHidden: true })).not.toContain('d3vice');
    return { issued: undefined, error, outcome: outcomeOf(error), delays, prompts, ...stub };
  }
}

/** The code, and for an error of the service whether to try again. */
const outcomeOf = (error: KeyprovError) =>
  error instanceof ServiceError ? `${error.code} ${error.retry}` : error.code;

describe('authenticateWithDeviceCode', () => {
  it('shows the code and waits until the user has signed in', async () => {
    const { issued, delays, prompts, sent } = await signIn(started, pending, pending, tokens);
    expect(issued).toEqual({
      accessToken: 'a',
      refreshToken: 'r',
      idToken: 'i',
      expires: new Date('2026-01-01T13:00:14Z'),
      received: new Date('2026-01-01T12:00:15Z'),
    });
    expect(delays).toEqual([5000, 5000, 5000]);
    expect(prompts).toEqual([
      {
        userCode: 'ABCD',
        verificationUrl: 'https://login.test/deviceauth',
        message: 'Open the page.',
        expires: new Date('2026-01-01T12:15:00Z'),
      },
    ]);
    expect(sent.map(({ method, url }) => `${method} ${url}`)).toEqual([
      'POST https://login.test/t/oauth2/devicecode',
      ...Array.from({ length: 3 }, () => 'POST https://login.test/t/oauth2/token'),
    ]);
    expect(Object.fromEntries(new URLSearchParams(sent[1]?.body))).toEqual({
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      client_id: demand.clientId,
      resource: demand.resource,
      code: 'd3vice-code',
      device_code: 'd3vice-code',
    });
    expect(sent[1]?.headers['content-type']).toBe('application/x-www-form-urlencoded');
  });

  it('accepts the names and defaults of RFC 8628', async () => {
    const answer = { user_code: 'A', device_code: 'd3vice', verification_uri: 'https://login.test' };
    const { issued, delays, prompts } = await signIn(answer, { access_token: 'a' });
    expect(prompts).toMatchObject([
      { verificationUrl: 'https://login.test/', message: '', expires: new Date('2026-01-01T12:15:00Z') },
    ]);
    expect([issued, delays]).toEqual([{ accessToken: 'a', received: new Date('2026-01-01T12:00:05Z') }, [5000]]);
  });

  it('slows down when told to, and after failures', async () => {
    const busy = new Response('', { status: 503, headers: { 'retry-after': '60' } });
    const cut = () => Promise.reject(new TypeError('fetch failed'));
    const { outcome, delays } = await signIn(started, oauthRefusal('slow_down'), pending, cut, busy, tokens);
    expect([outcome, delays]).toEqual(['signed in', [5000, 10_000, 10_000, 20_000, 60_000]]);
  });

  it.each<[string, StubbedAnswer, string, string]>([
    ['the user refuses', oauthRefusal('access_denied'), 'mfa-failed', 'the user or a service policy refused'],
    ['the user declines', oauthRefusal('authorization_declined'), 'mfa-failed', 'the user or a service policy refused'],
    ['the code expires', oauthRefusal('expired_token'), 'mfa-timeout', 'the code expired'],
    ['the code expires at Entra ID', oauthRefusal('code_expired'), 'mfa-timeout', 'the code expired'],
    [
      'the user must enrol',
      oauthRefusal('invalid_grant', { error_description: 'AADSTS50072: x' }),
      'mfa-failed',
      'AADSTS50072',
    ],
    ['MFA was not passed', oauthRefusal('invalid_grant', { error_codes: [50074] }), 'mfa-failed', 'AADSTS50074'],
    ['MFA is needed', oauthRefusal('interaction_required', { error_codes: [50076] }), 'mfa-failed', 'AADSTS50076'],
    ['MFA is too old', oauthRefusal('invalid_grant', { error_codes: [1, 50078] }), 'mfa-failed', 'AADSTS50078'],
    ['enrollment is needed', oauthRefusal('invalid_grant', { error_codes: [50079] }), 'mfa-failed', 'AADSTS50079'],
    ['interaction is needed', oauthRefusal('interaction_required'), 'mfa-failed', 'must sign in'],
    [
      'the client is not known',
      oauthRefusal('invalid_client', { error_description: 'd3vice-code' }),
      'service-refused none',
      'invalid_client: [secret]',
    ],
    ['the answer is no token', { token_type: 'Bearer' }, 'service-answer none', 'access_token: missing'],
    ['the answer is a list', [], 'service-answer none', 'not a JSON object'],
    ['the answer is HTML', new Response('<html>'), 'service-answer none', 'not JSON'],
    [
      'the time is no number',
      { ...tokens, expires_in: 'soon' },
      'service-answer none',
      'expires_in: not a number of seconds',
    ],
  ])('ends when %s', async (_, answer, outcome, message) => {
    const found = await signIn(started, pending, answer);
    expect([found.outcome, found.delays]).toEqual([outcome, [5000, 5000]]);
    expect(found.error?.message).toContain(message);
  });

  it.each([
    [90002, "check the tenant's ID or domain"],
    [50034, 'check the user name, and whether the user belongs to this tenant'],
  ])('says what to do about AADSTS%i', async (number, remedy) => {
    const { error } = await signIn(started, oauthRefusal('invalid_request', { error_codes: [number] }));
    expect(error).toMatchObject({ code: 'service-refused', remedy });
  });

  it('ends when nobody signs in, by its own clock', async () => {
    const { outcome, delays, error } = await signIn({ ...started, expires_in: 16 }, pending);
    expect([outcome, delays]).toEqual(['mfa-timeout', [5000, 5000, 5000]]);
    expect([error?.message, error?.remedy, windowsErrorOf(error)?.code]).toEqual([
      'nobody signed in with the code in time',
      'have the user try again',
      0x801c044e,
    ]);
  });

  it.each<[string, StubbedAnswer, string]>([
    ['a refusal', oauthRefusal('invalid_client'), 'service-refused none'],
    ['no code', { ...started, device_code: undefined }, 'service-answer none'],
    ['no address', { ...started, verification_url: undefined }, 'service-answer none'],
    ['an interval that is none', { ...started, interval: 'x' }, 'service-answer none'],
    ['a page without TLS', { ...started, verification_url: 'http://login.test/' }, 'service-answer none'],
    ['a page that is a program', { ...started, verification_url: 'javascript:alert(1)' }, 'service-answer none'],
    ['a page with a name', { ...started, verification_url: 'https://login.test@evil.test/' }, 'service-answer none'],
    [
      'a page of another',
      { ...started, verification_url: 'https://microsoft.com/devicelogin' },
      'service-untrusted none',
    ],
    ['a code that rings', { ...started, user_code: 'AB\u0007\u001b]52;c;eA==\u0007' }, 'service-answer none'],
    ['a code of a megabyte', { ...started, user_code: 'A'.repeat(1_000_000) }, 'service-answer none'],
  ])('shows nothing after %s', async (_, first, outcome) => {
    const found = await signIn(first);
    expect([found.outcome, found.prompts]).toEqual([outcome, []]);
  });

  it.each([
    ['https://login.contoso.test/', 'service-untrusted'],
    ['https://login.contoso.test/', 'shown', 'Login.Contoso.test'],
    ['https://login.contoso.test/', 'service-untrusted', 'contoso.test'],
    ['https://login.contoso.test.evil.test/', 'service-untrusted', 'login.contoso.test'],
  ])('with the page %s: %s if trustedHosts has %s', async (page, outcome, ...trustedHosts) => {
    const { fetch } = serviceStub({ ...started, verification_url: page }, tokens);
    const onCode = ({ verificationUrl }: DeviceCodePrompt) => {
      expect(verificationUrl).toBe(page);
    };
    const options = { fetch, onCode, sleep: async () => {}, trustedHosts };
    const found = await authenticateWithDeviceCode(demand, options).then(
      () => 'shown',
      (error) => Object(error).code,
    );
    expect(found).toBe(outcome);
  });

  it.each([
    [{ interval: 0 }, 1000, 899],
    [{ interval: 2_147_484 }, 300_000, 2],
    [{ interval: '99999999999999999999' }, 300_000, 2],
    [{ interval: 5, expires_in: '99999999999999999999' }, 5000, 719],
  ])('waits between 1 second and 5 minutes, and an hour at most: %j', async (changes, each, looks) => {
    const { outcome, delays } = await signIn({ ...started, ...changes }, pending);
    expect([outcome, new Set(delays), delays.length]).toEqual(['mfa-timeout', new Set([each]), looks]);
  });

  it('makes the sentence of the service one printable line', async () => {
    const { prompts } = await signIn({ ...started, message: 'Open\n\u001b[2J\u009b1m\u202e it' }, tokens);
    expect(prompts[0]?.message).toBe('Open\\u{a}\\u{1b}[2J\\u{9b}1m\\u{202e} it');
  });

  it('ends with the error of the display, and with its signal', async () => {
    const { fetch, sent } = serviceStub(started, pending);
    const fail = () => {
      throw new Error('no screen');
    };
    await expect(authenticateWithDeviceCode(demand, { fetch, onCode: fail })).rejects.toThrow('no screen');
    expect(sent).toHaveLength(1);
    const aborter = new AbortController();
    const waiting = authenticateWithDeviceCode(demand, {
      fetch: serviceStub(started, pending).fetch,
      onCode: () => aborter.abort(new Error('enough')),
      signal: aborter.signal,
    });
    await expect(waiting).rejects.toThrow('enough');
  });
});
