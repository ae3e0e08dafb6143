import { describe, expect, it } from 'vitest';
import { isKeyprovError } from '../../../src/errors.ts';
import { createMfaPrompt } from '../../../src/provisioning/mfa-prompt.ts';
import { serviceStub } from '../../service-stub.ts';

const HOST = 'https://sts.contoso.test';
const SIGN_IN = {
  AuthenticationService: {
    OAuth2: { AuthCodeEndpoint: `${HOST}/oauth2/authorize`, TokenEndpoint: `${HOST}/oauth2/token` },
  },
};
const STARTED = {
  user_code: 'ABCD',
  device_code: 'd3vice-code',
  verification_url: `${HOST}/deviceauth`,
  expires_in: '900',
  interval: '0',
  message: 'Open the page.',
};
const TOKENS = { token_type: 'Bearer', access_token: 't0ken', expires_in: '3599' };

/** A run's request to its prompt. */
const request = {
  user: 'ada@contoso.test',
  deviceId: '5f0b4a3c-8a51-4f5c-9a2e-0c8f1d2e3b4a',
  resource: 'urn:ms-drs:sts.contoso.test',
  amrValues: 'ngcmfa',
  maxAgeSeconds: 600,
  attempt: 1,
  problems: [],
} as const;
const { signal } = new AbortController();

describe('createMfaPrompt', () => {
  it('shows the code of the service and returns the token', async () => {
    const { fetch, sent } = serviceStub(SIGN_IN, STARTED, TOKENS);
    const codes: string[] = [];
    const prompt = createMfaPrompt({ url: HOST, fetch, onCode: ({ userCode }) => void codes.push(userCode) });
    expect(await prompt(request, { signal })).toEqual({ status: 'passed', token: 't0ken' });
    expect(codes).toEqual(['ABCD']);
    const demand = new URLSearchParams(sent[1]?.body);
    expect(Object.fromEntries(demand)).toMatchObject({
      client_id: '29d9ed98-a469-4536-ade2-f981bc1d605e',
      resource: request.resource,
      login_hint: request.user,
      amr_values: 'ngcmfa',
      mfa_max_age: '600',
    });
  });

  it('reports a server that does not say where users sign in', async () => {
    const { fetch } = serviceStub({});
    const prompt = createMfaPrompt({ url: HOST, fetch, onCode: () => {} });
    const error = await prompt(request, { signal }).catch((error: unknown) => error);
    expect(isKeyprovError(error, 'service-answer') && error.message).toContain('has no sign-in address');
  });
});
