import { createPublicKey, type KeyObject } from 'node:crypto';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { fromBase64, toBase64 } from '../../../src/bytes.ts';
import { ServiceError } from '../../../src/errors/service-error.ts';
import { isKeyprovError } from '../../../src/errors.ts';
import { computeKeyIdText } from '../../../src/formats/windows/cng-blob.ts';
import { encodePublicBlob } from '../../../src/formats/windows/key-registration.ts';
import { type SignInRequest, signInWithKey } from '../../../src/registration/sign-in.ts';
import { oauthRefusal, type StubbedAnswer, serviceStub } from '../../service-stub.ts';
import { ecKey, rsaKey, type TestSigningKey } from '../../signing-key.ts';

const now = () => new Date('2026-01-01T12:00:00Z');
const device = { key: ecKey('P-256'), certificates: [Uint8Array.of(0x30, 0)] };
const request: SignInRequest = {
  tokenEndpoint: 'https://login.test/t/oauth2/token',
  user: 'ada@contoso.test',
  audience: 'common',
  key: rsaKey,
  device,
};
const challenge = { Nonce: 'n0nce' };
const answer = {
  token_type: 'pop',
  refresh_token: 'prt',
  refresh_token_expires_in: 1209600,
  session_key_jwe: 'jwe',
  id_token: 'id',
};
const publicOf = ({ privateKey }: TestSigningKey): KeyObject => createPublicKey(privateKey);

describe('signInWithKey', () => {
  it('signs the nonce with both keys, so that jose verifies it', async () => {
    const { fetch, sent } = serviceStub(challenge, answer);
    expect(await signInWithKey(request, { fetch, now })).toEqual({
      tokenType: 'pop',
      refreshToken: 'prt',
      refreshTokenExpires: new Date('2026-01-15T12:00:00Z'),
      idToken: 'id',
      sessionKeyJwe: 'jwe',
    });
    expect(sent.map(({ body }) => body.split('&request=')[0])).toEqual([
      'grant_type=srv_challenge',
      'grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer',
    ]);
    const outer = new URLSearchParams(sent[1]?.body).get('request') ?? '';
    expect(decodeProtectedHeader(outer)).toEqual({ alg: 'ES256', typ: 'JWT', x5c: [toBase64(Uint8Array.of(0x30, 0))] });
    const { payload } = await jwtVerify(outer, publicOf(device.key), { currentDate: now() });
    expect(payload).toMatchObject({
      client_id: '38aa3b87-a06d-4817-b275-7a316988d93b',
      request_nonce: 'n0nce',
      scope: 'openid aza ugs',
      group_sids: [],
      grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
      username: 'ada@contoso.test',
    });
    const inner = await jwtVerify(String(payload.assertion), publicOf(rsaKey), {
      currentDate: now(),
      audience: 'common',
    });
    const kid = computeKeyIdText(encodePublicBlob(rsaKey.publicKey));
    expect(fromBase64(kid)).toHaveLength(32);
    expect(inner.protectedHeader).toEqual({ alg: 'RS256', typ: 'JWT', kid, use: 'ngc' });
    const iat = now().getTime() / 1000;
    expect(inner.payload).toEqual({
      ...{ iss: 'ada@contoso.test', aud: 'common', iat, exp: iat + 300 },
      ...{ request_nonce: 'n0nce', scope: 'openid aza ugs' },
    });
  });

  it.each<[string, TestSigningKey]>([
    ['RS256', rsaKey],
    ['ES384', ecKey('P-384')],
  ])('signs with %s if the device has such a key', async (alg, key) => {
    const { fetch, sent } = serviceStub(challenge, { token_type: 'pop', refresh_token: 'prt' });
    const given = { ...request, device: { ...device, key }, audience: 'tenant', clientId: 'c', scope: 'openid' };
    expect(await signInWithKey(given, { fetch })).toEqual({ tokenType: 'pop', refreshToken: 'prt' });
    const outer = new URLSearchParams(sent[1]?.body).get('request') ?? '';
    const { payload, protectedHeader } = await jwtVerify(outer, publicOf(key));
    expect([protectedHeader.alg, payload.client_id, payload.scope]).toEqual([alg, 'c', 'openid']);
  });

  it.each<[string, readonly StubbedAnswer[], string, string]>([
    ['the key is not known', [challenge, oauthRefusal('invalid_grant')], 'service-refused none', 'invalid_grant'],
    ['more is wanted', [challenge, oauthRefusal('interaction_required')], 'mfa-failed', 'must sign in'],
    ['there is no nonce', [{}], 'service-answer none', 'Nonce: missing'],
    ['there is no token', [challenge, { token_type: 'pop' }], 'service-answer none', 'refresh_token: missing'],
    ['it is busy', [new Response('', { status: 503 })], 'service-unreachable backoff', '503'],
  ])('says so when %s', async (_, answers, outcome, message) => {
    const { fetch } = serviceStub(...answers);
    const error = await signInWithKey(request, { fetch }).catch((thrown: unknown) => thrown);
    if (!isKeyprovError(error)) throw error;
    expect(error instanceof ServiceError ? `${error.code} ${error.retry}` : error.code).toBe(outcome);
    expect(error.message).toContain(message);
  });

  it('says that a response without a token may have had an effect', async () => {
    const { fetch } = serviceStub(challenge, { token_type: 'pop' });
    await expect(signInWithKey(request, { fetch })).rejects.toMatchObject({ status: 200, outcomeUnknown: true });
  });

  it('keeps the signed request out of errors', async () => {
    const { fetch, sent } = serviceStub(challenge, () => Promise.reject(new Error(`body ${sent[1]?.body}`)));
    const error = await signInWithKey(request, { fetch }).catch((thrown: unknown) => thrown);
    if (!(error instanceof ServiceError)) throw error;
    expect(error.message).toContain('request=[secret]');
  });

  it.each([
    { device: { ...device, certificates: [] } },
    { device: { ...device, key: ecKey('P-521') } },
    { key: ecKey('P-256') },
    { tokenEndpoint: 'http://login.test/token' },
    { audience: undefined },
    { audience: undefined, tokenEndpoint: 'https://login.microsoftonline.com.evil.test/token' },
  ])('refuses %#', async (changes) => {
    const { fetch } = serviceStub(challenge, answer);
    await expect(signInWithKey({ ...request, ...changes }, { fetch })).rejects.toThrow(TypeError);
  });
});
