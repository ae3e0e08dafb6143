import { describe, expect, it } from 'vitest';
import { authorizeUrl, deviceCodeRequest, NGC_CLAIMS } from '../../../src/registration/authorize-request.ts';

const clientId = 'dd762716-544d-4aeb-a526-687b73838a22';
const resource = 'urn:ms-drs:enterpriseregistration.windows.net';
const endpoint = 'https://login.microsoftonline.com/common/oauth2/authorize';

describe('authorizeUrl', () => {
  it('asks for fresh MFA', () => {
    const url = authorizeUrl({ endpoint, clientId, resource, redirectUri: 'http://localhost:7/' });
    expect(url.href).toBe(
      `${endpoint}?response_type=code&client_id=${clientId}` +
        '&resource=urn%3Ams-drs%3Aenterpriseregistration.windows.net&amr_values=ngcmfa&redirect_uri=http%3A%2F%2Flocalhost%3A7%2F',
    );
  });

  it('has all parameters that may be asked for', () => {
    const url = authorizeUrl({
      ...{ endpoint: `${endpoint}?a=b`, clientId, resource, redirectUri: 'ms-app://x', mfaMaxAge: 600 },
      ...{ claims: NGC_CLAIMS, loginHint: 'ada@contoso.test', prompt: 'login', state: 's&', codeChallenge: 'c' },
    });
    expect(Object.fromEntries(url.searchParams)).toEqual({
      ...{ a: 'b', response_type: 'code', client_id: clientId, resource, amr_values: 'ngcmfa', mfa_max_age: '600' },
      claims: '{"access_token":{"amr":{"values":["ngcmfa","mfa"]}}}',
      ...{ login_hint: 'ada@contoso.test', redirect_uri: 'ms-app://x', prompt: 'login', state: 's&' },
      ...{ code_challenge: 'c', code_challenge_method: 'S256' },
    });
  });
});

describe('deviceCodeRequest', () => {
  it('is a form for the endpoint next to the token endpoint', () => {
    const tokenEndpoint = 'https://sts.contoso.test/adfs/oauth2/token';
    const { url, form } = deviceCodeRequest({ tokenEndpoint, clientId, resource, mfaMaxAge: 0 });
    expect(url.href).toBe('https://sts.contoso.test/adfs/oauth2/devicecode');
    expect(Object.fromEntries(form)).toEqual({ client_id: clientId, resource, amr_values: 'ngcmfa', mfa_max_age: '0' });
  });

  it('needs a token endpoint', () => {
    expect(() => deviceCodeRequest({ tokenEndpoint: endpoint, clientId, resource })).toThrow(TypeError);
  });
});
