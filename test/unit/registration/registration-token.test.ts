import { readFileSync } from 'node:fs';
import { SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { toBase64Url, utf8 } from '../../../src/bytes.ts';
import {
  MFA_METHODS,
  readTokenClaims,
  type TokenExpectations,
  tokenProblems,
} from '../../../src/registration/registration-token.ts';
import { refusal } from '../../refusal.ts';

const { tokenClaimsExample, claimCases } = JSON.parse(readFileSync('test/vectors/kpp.json', 'utf8'));
const now = new Date('2026-01-01T12:00:00Z');
const seconds = now.getTime() / 1000;
const { constructed, ...example } = tokenClaimsExample;
const claims = { ...example, iat: seconds - 10, nbf: seconds - 10, exp: seconds + 3600 };
const expected: TokenExpectations = {
  audience: 'urn:ms-drs:enterpriseregistration.windows.net',
  deviceId: '47f577e3-d2d0-4a0a-8aca-e0501098bde4',
  user: 'user@contoso.com',
  now,
};
const jwtOf = (payload: unknown, header: object = { alg: 'none' }) =>
  [JSON.stringify(header), JSON.stringify(payload)]
    .map((part) => toBase64Url(utf8(part)))
    .join('.')
    .concat('.c2ln');
const problems = (changes: object, expectations: object = {}) =>
  tokenProblems(jwtOf({ ...claims, ...changes }), { ...expected, ...expectations }).map(({ code }) => code);

describe('readTokenClaims', () => {
  it('reads a token of jose', async () => {
    const jwt = await new SignJWT({ ...claims, auth_time: seconds - 60, tid: 't', extra: 1 })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(new Uint8Array(32));
    expect(readTokenClaims(jwt)).toEqual({
      audience: ['urn:ms-drs:enterpriseregistration.windows.net'],
      expires: new Date('2026-01-01T13:00:00Z'),
      issuedAt: new Date('2026-01-01T11:59:50Z'),
      notBefore: new Date('2026-01-01T11:59:50Z'),
      authenticatedAt: new Date('2026-01-01T11:59:00Z'),
      deviceId: expected.deviceId,
      upn: 'user@contoso.com',
      tenant: 't',
      methods: ['pwd', 'mfa', 'ngcmfa'],
      all: { ...claims, auth_time: seconds - 60, tid: 't', extra: 1 },
    });
  });

  it('accepts a token without claims, and single values instead of lists', () => {
    expect(readTokenClaims(jwtOf({}))).toEqual({ audience: [], methods: [], all: {} });
    const { audience, methods } = readTokenClaims(jwtOf({ aud: ['a', 'b'], amr: 'ngcmfa' }));
    expect([audience, methods]).toEqual([['a', 'b'], ['ngcmfa']]);
  });

  const [head = '', body = ''] = jwtOf(claims).split('.');
  it.each([
    ['', 'it is not a JWT, which has three parts with a dot between them'],
    ['opaque', 'it is not a JWT, which has three parts with a dot between them'],
    ['a.b', 'it is not a JWT, which has three parts with a dot between them'],
    [`${jwtOf({})}.x`, 'it is not a JWT, which has three parts with a dot between them'],
    [`${head}.${body}.`, 'the signature part is empty'],
    [`${head}..c2ln`, 'the claims part is empty'],
    [`.${body}.c2ln`, 'the header part is empty'],
    [`${head}.${body}.x`, 'the signature part is not base64url'],
    [`${head}.{}.c2ln`, 'the claims part is not base64url'],
    ['a.b.c', 'the header part is not base64url'],
    [`c2ln.${body}.c2ln`, 'the header part is not a JSON object, or contains crit'],
    [jwtOf({}, { crit: ['x'] }), 'the header part is not a JSON object, or contains crit'],
    [jwtOf([]), 'the claims part is not a JSON object'],
    [jwtOf(null), 'the claims part is not a JSON object'],
    [jwtOf('x'), 'the claims part is not a JSON object'],
  ])('refuses %j, naming the bad part without quoting it', (jwt, problem) => {
    const found = refusal(() => readTokenClaims(jwt));
    expect(found).toBe(`token-invalid: the token cannot be read: ${problem}; get a new token`);
  });

  it.each([{ exp: 'soon' }, { iat: 1e20 }, { nbf: true }, { upn: 7 }, { deviceid: [] }, { amr: [1] }, { aud: {} }])(
    'refuses the claims %j',
    (wrong) => {
      expect(refusal(() => readTokenClaims(jwtOf({ ...claims, ...wrong })))).toContain(
        'token-invalid: the token cannot be read: ',
      );
    },
  );
});

describe('tokenProblems', () => {
  it('finds none with the stand-in of docs/testing.md', async () => {
    const [block = ''] =
      /(?<=^import type \{ MfaPrompt \}.*\n\n)[\s\S]*?(?=^```)/m.exec(readFileSync('docs/testing.md', 'utf8')) ?? [];
    const program = block.replace('const mfa: MfaPrompt =', 'return');
    const { user, audience: resource, deviceId } = expected;
    const answer = await new Function(program)()({ user, resource, deviceId });
    expect(answer).toEqual({ status: 'passed', token: expect.any(String) });
    expect(tokenProblems(answer.token, { ...expected, now: new Date() })).toEqual([]);
  });

  it('finds none with a good token', () => {
    expect(problems({})).toEqual([]);
    expect(problems({ upn: 'USER@contoso.com', deviceid: expected.deviceId.toUpperCase() })).toEqual([]);
    expect(problems({ aud: 'x' }, { audience: undefined })).toEqual([]);
    expect(problems({ aud: 'x' }, { audience: ['y', 'x'] })).toEqual([]);
    expect(problems({ aud: 'x' }, { audience: [] })).toEqual(['audience']);
    expect(() => problems({ aud: 'x' }, { audience: Object(5) })).toThrow('audience must be an array');
  });

  it.each<[object, string[]]>([
    [{ exp: undefined }, ['expired']],
    [{ exp: seconds }, ['expired']],
    [{ exp: seconds + 1 }, []],
    [{ iat: seconds + 60 }, []],
    [{ iat: seconds + 61 }, ['not-yet-valid']],
    [{ nbf: seconds + 61 }, ['not-yet-valid']],
    [{ iat: undefined, nbf: undefined }, []],
    [{ aud: 'https://graph.microsoft.com' }, ['audience']],
    [{ aud: undefined }, ['audience']],
    [{ deviceid: undefined }, ['device-missing']],
    [{ deviceid: '' }, ['device-missing']],
    [{ deviceid: '00000000-0000-0000-0000-000000000000' }, ['device-other']],
    [{ upn: null }, ['user-missing']],
    [{ upn: 'eve@contoso.com' }, ['user-other']],
    [{ amr: undefined }, ['no-mfa']],
    [{ amr: ['pwd'], exp: 1, upn: 'x' }, ['expired', 'user-other', 'no-mfa']],
  ])('finds the problem with %j', (changes, codes) => {
    expect(problems(changes)).toEqual(codes);
  });

  it.each<{ amr: string[]; deviceid?: null; accept: unknown }>(claimCases)('follows the vector $amr', (item) => {
    const { amr, accept } = item;
    const found = problems({ amr, ...('deviceid' in item && { deviceid: item.deviceid }) });
    expect(found.length === 0).toBe(accept === true);
  });

  it.each([['mfa'], ['http://schemas.microsoft.com/claims/multipleauthn'], ['ngcmfa']])(
    'accepts %s from old servers on request',
    (method) => {
      expect(problems({ amr: ['pwd', method] }, { methods: MFA_METHODS })).toEqual([]);
      expect(problems({ amr: ['pwd'] }, { methods: MFA_METHODS })).toEqual(['no-mfa']);
    },
  );

  it('gives messages and Windows codes, without the token', () => {
    const jwt = jwtOf({ aud: 'x', exp: 1, amr: [] });
    expect(tokenProblems(jwt, expected)).toEqual([
      { code: 'expired', message: 'the token expired at 1970-01-01 00:00:01 UTC', windowsCode: 0x801c03ed },
      { code: 'audience', message: `the token is for x, not for ${expected.audience}`, windowsCode: 0x801c03ea },
      {
        code: 'device-missing',
        message: 'the token has no device ID: the sign-in was not bound to a device',
        windowsCode: 0x801c044d,
      },
      { code: 'user-missing', message: 'the token has no user name (upn)', windowsCode: 0x801c03f1 },
      {
        code: 'no-mfa',
        message: 'the token shows no accepted MFA (amr: nothing; accepted: ngcmfa)',
        windowsCode: 0x801c03ed,
      },
    ]);
    expect(tokenProblems('opaque', expected)).toEqual([
      {
        code: 'malformed',
        message: 'the token cannot be read: it is not a JWT, which has three parts with a dot between them',
        windowsCode: 0x801c03ed,
      },
    ]);
  });

  it('wants a GUID', () => {
    expect(() => tokenProblems(jwtOf(claims), { ...expected, deviceId: 'pc7' })).toThrow(TypeError);
  });
});
