import { createPrivateKey, generateKeyPairSync, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toBase64 } from '../../src/bytes.ts';
import { digest } from '../../src/crypto/kdf.ts';
import { decodePem } from '../../src/crypto/pem.ts';
import type { SigningKey } from '../../src/formats/services/jws.ts';
import { buildJws } from '../../src/formats/services/jws.ts';
import { buildKeyRegistration, encodePublicBlob } from '../../src/formats/windows/key-registration.ts';
import { buildNgcAssertion } from '../../src/formats/windows/ngc-assertion.ts';
import { parseAdSyncScheduler, scheduleOf } from '../../src/registration/ad-sync-scheduler.ts';
import { authenticateWithDeviceCode } from '../../src/registration/device-code.ts';
import { deleteHelloMethod, graphReader, listHelloMethods } from '../../src/registration/graph.ts';
import { createServiceFetch, type ServiceFetch } from '../../src/registration/service-fetch.ts';
import { signInWithKey } from '../../src/registration/sign-in.ts';
import {
  addKeyCredential,
  bindDirectory,
  type IdentityService,
  type JoinedDevice,
  joinDevice,
  signingKeyOf,
  startDirectory,
  startIdentityService,
  type TestDirectory,
} from '../../src/testing/index.ts';
import { missingPrograms } from '../programs.ts';
import { asyncRefusal } from '../refusal.ts';
import { askToken, deviceCodeToken, passwordToken, send } from './support/service-client.ts';

const ADA = { upn: 'ada@contoso.test', password: 'correct horse' };
const BOB = { upn: 'bob@contoso.test', password: 'battery staple' };
const ROOT = { upn: 'root@contoso.test', password: 'admin', administrator: true };
const INTERVAL_MS = 1_800_000;
const GRAPH = 'https://graph.microsoft.com';

describe.skipIf(missingPrograms('slapd'))('the identity service with a directory', () => {
  let directory: TestDirectory;
  let clock = new Date();
  let service: IdentityService;
  let device: JoinedDevice;
  let fetch: ServiceFetch;
  let token: string;
  let deviceKey: SigningKey;

  beforeAll(async () => {
    directory = await startDirectory();
    await directory.addUser({ upn: ADA.upn });
    service = await startIdentityService({
      ...{ users: [ADA, BOB, ROOT], onPremises: directory.connection, pollIntervalS: 0, pageSize: 2 },
      now: () => clock,
    });
    device = await joinDevice(service.url, { ca: service.ca, tenant: service.tenantId, user: ADA });
    deviceKey = signingKeyOf(createPrivateKey(device.privateKey));
    fetch = createServiceFetch({ ca: service.ca, clientCertificate: device });
    token = await deviceCodeToken(service, ADA.upn, { device });
  });
  afterAll(async () => {
    await fetch.close();
    await service.close();
    await directory.close();
  });

  const newKey = () => signingKeyOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
  const keyIdOf = ({ publicKey }: SigningKey) => toBase64(digest('sha256', encodePublicBlob(publicKey)));
  async function register(key: SigningKey, bearer = token): Promise<string> {
    const { json } = await send(service, '/EnrollmentServer/key/?api-version=1.0', {
      body: buildKeyRegistration({ profile: 'strict', publicKey: key.publicKey }),
      headers: { accept: 'application/json', authorization: `Bearer ${bearer}` },
    });
    return String(json.kid);
  }
  const forBob = () => deviceCodeToken(service, BOB.upn, { device });
  const later = (ms: number) => {
    clock = new Date(clock.getTime() + ms);
  };
  const renewToken = async () => {
    token = await deviceCodeToken(service, ADA.upn, { device });
  };
  const tokenEndpoint = () => `${service.url}/${service.tenantId}/oauth2/token`;
  const signIn = (key: SigningKey, user = ADA.upn) =>
    signInWithKey(
      {
        ...{ tokenEndpoint: tokenEndpoint(), user, audience: service.tenantId, key },
        device: { key: deviceKey, certificates: [decodePem(device.certificate, 'CERTIFICATE')] },
      },
      { fetch, now: () => clock },
    );

  it('lets a key sign in from when the directory has it until that has it no more', async () => {
    const key = newKey();
    const kid = await register(key);
    expect(await asyncRefusal(() => signIn(key))).toContain('the directory does not have this key');
    expect(await service.runSyncCycle()).toEqual([]);
    later(INTERVAL_MS);
    const result = { upn: ADA.upn, keyId: keyIdOf(key), reason: undefined };
    expect(await service.runSyncCycle()).toEqual([{ ...result, action: 'add', status: 'written' }]);
    expect(await service.runSyncCycle()).toEqual([]);

    const signedIn = await signIn(key);
    expect(signedIn.tokenType).toBe('pop');
    const graph = await askToken(service, {
      ...{ grant_type: 'refresh_token', refresh_token: signedIn.refreshToken, resource: GRAPH },
    });
    const options = { token: async () => String(graph.json.access_token), graphUrl: `${service.url}/graph/`, fetch };
    await deleteHelloMethod(ADA.upn, kid, options);
    expect(service.keys()).toEqual([]);
    await signIn(key);
    expect(await service.runSyncCycle()).toEqual([{ ...result, action: 'remove', status: 'removed' }]);
    expect(await asyncRefusal(() => signIn(key))).toContain('the directory does not have this key');
    await expect(signIn(key)).rejects.toMatchObject({ code: 'service-refused', details: { code: 'invalid_grant' } });
  });

  it('accepts no token of another use, with any client id', async () => {
    const issued = async (clientId: string) =>
      (
        await askToken(
          service,
          { grant_type: 'password', client_id: clientId, username: ADA.upn, password: ADA.password },
          device,
        )
      ).json;
    const refreshed = async (token: unknown) =>
      (await askToken(service, { grant_type: 'refresh_token', refresh_token: String(token), resource: GRAPH })).json;
    const asked = async (path: string, token: unknown, given: object = {}) =>
      (
        await send(service, path, {
          headers: { authorization: `Bearer ${token}`, accept: 'application/json' },
          ...given,
        })
      ).status;
    const methods = `/graph/v1.0/users/${encodeURIComponent(ADA.upn)}/authentication/windowsHelloForBusinessMethods`;

    const [forRefresh, forGraph, forKeys] = await Promise.all(
      ['urn:keyprov:refresh', GRAPH, 'urn:ms-drs:localhost'].map(issued),
    );
    for (const token of [forRefresh?.id_token, forRefresh?.access_token]) {
      expect(await refreshed(token)).toMatchObject({ error: 'invalid_grant' });
    }
    expect(await asked(methods, forGraph?.id_token)).toBe(401);
    for (const path of ['/EnrollmentServer/key/?api-version=1.0', '/EnrollmentServer/device/?api-version=2.0']) {
      expect([path, await asked(path, forKeys?.id_token, { method: 'POST', body: '{"kngc":"AAEC"}' })]).toEqual([
        path,
        401,
      ]);
    }

    const key = newKey();
    await renewToken();
    const kid = await register(key);
    later(INTERVAL_MS);
    await service.runSyncCycle();
    const { refreshToken } = await signIn(key);
    expect(await asked(methods, refreshToken)).toBe(401);
    expect(await refreshed(refreshToken)).toMatchObject({ token_type: 'Bearer' });
    const graph = await refreshed(refreshToken);
    const options = { token: async () => String(graph.access_token), graphUrl: `${service.url}/graph/`, fetch };
    await deleteHelloMethod(ADA.upn, kid, options);
    await service.runSyncCycle();
  });

  describe('sign-in', () => {
    let key: SigningKey;
    beforeAll(async () => {
      await renewToken();
      key = newKey();
      await register(key);
      later(INTERVAL_MS);
      await service.runSyncCycle();
    });

    const nonce = async () => String((await askToken(service, { grant_type: 'srv_challenge' })).json.Nonce);

    interface Parts {
      readonly nonce?: string;
      readonly inner?: string;
      readonly user?: string;
      readonly audience?: string;
      readonly signer?: SigningKey;
      /** Changes the signature of the assertion. */
      readonly tamper?: boolean;
      readonly outerSigner?: SigningKey;
      readonly certificate?: Uint8Array;
      readonly issuedAt?: number;
      readonly grant?: string;
    }

    /** The service's result for a request with these parts; the others are valid. */
    async function outcome(parts: Parts): Promise<unknown> {
      const grant = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
      const given = parts.nonce ?? (await nonce());
      const seconds = parts.issuedAt ?? Math.floor(clock.getTime() / 1000);
      const signed = await buildNgcAssertion(
        {
          ...{ issuer: parts.user ?? ADA.upn, audience: parts.audience ?? service.tenantId },
          ...{ issuedAt: seconds, expires: seconds + 300, nonce: parts.inner ?? given },
        },
        { key: parts.signer ?? key },
      );
      const assertion = parts.tamper ? signed.replace(/.{10}$/, 'AAAAAAAAAA') : signed;
      const claims = { request_nonce: given, grant_type: parts.grant ?? grant, assertion };
      const x5c = [toBase64(parts.certificate ?? decodePem(device.certificate, 'CERTIFICATE'))];
      const payload = new TextEncoder().encode(JSON.stringify(claims));
      const signer = parts.outerSigner ?? deviceKey;
      const request = await buildJws({ key: signer, algorithm: 'RS256', header: { typ: 'JWT', x5c }, payload });
      const { status, json } = await askToken(service, { grant_type: grant, request });
      return status === 200 ? 'signed in' : [status, json.error, json.error_description];
    }
    const refused = (why: string) => [400, 'invalid_grant', expect.stringContaining(why)];

    it('accepts valid requests', async () => {
      expect(await outcome({})).toBe('signed in');
    });

    it('accepts a nonce once, and in time', async () => {
      const once = await nonce();
      expect(await outcome({ nonce: once })).toBe('signed in');
      expect(await outcome({ nonce: once })).toEqual(refused('nonce'));
      const old = await nonce();
      later(300_001);
      expect(await outcome({ nonce: old })).toEqual(refused('nonce'));
    });

    it.each<[string, () => Parts, string]>([
      ['a nonce of others', () => ({ nonce: toBase64(new Uint8Array(32)) }), 'nonce'],
      ['two nonces', () => ({ inner: 'other' }), 'another nonce'],
      ['an unknown user', () => ({ user: 'eve@contoso.test' }), 'user'],
      ['an audience elsewhere', () => ({ audience: randomUUID() }), 'another audience'],
      ['another key', () => ({ signer: newKey() }), 'does not have this key'],
      ['another signature', () => ({ tamper: true }), 'signature'],
      ['an old assertion', () => ({ issuedAt: Math.floor(clock.getTime() / 1000) - 301 }), 'expired'],
      [
        'an assertion of tomorrow',
        () => ({ issuedAt: Math.floor(clock.getTime() / 1000) + 60 }),
        'issued in the future',
      ],
      ['another device key', () => ({ outerSigner: newKey() }), 'its device did not sign the request'],
      [
        'a certificate of others',
        () => ({ certificate: decodePem(service.ca, 'CERTIFICATE') }),
        'not the certificate of a joined device',
      ],
      ['another grant', () => ({ grant: 'password' }), 'another grant'],
    ])('refuses %s', async (_, parts, why) => {
      expect(await outcome(parts())).toEqual(refused(why));
    });

    it.each(['', 'x', 'a.b.c', 'e30.e30.e30'])('refuses a request that is %j', async (request) => {
      const form = { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', request };
      const { status, json } = await askToken(service, form);
      expect([status, json.error]).toEqual([400, 'invalid_grant']);
    });

    it('refuses a disabled device, whose refresh token is no longer valid', async () => {
      const { refreshToken } = await signIn(key);
      service.setDeviceEnabled(device.deviceId, false);
      try {
        expect(await outcome({})).toEqual(refused('not the certificate of a joined device'));
        const form = { grant_type: 'refresh_token', refresh_token: refreshToken, resource: GRAPH };
        expect((await askToken(service, form)).json.error).toBe('invalid_grant');
      } finally {
        service.setDeviceEnabled(device.deviceId, true);
      }
    });
  });

  describe('synchronization', () => {
    beforeAll(async () => {
      await renewToken();
    });

    it('reports a failure and retries it, and other keys do not wait for it', async () => {
      const [bobs, adas] = [newKey(), newKey()];
      await register(bobs, await forBob());
      await register(adas);
      later(INTERVAL_MS);
      const [first, second] = await service.runSyncCycle();
      expect(first).toMatchObject({ upn: BOB.upn, status: 'failed', reason: expect.stringContaining('no entry') });
      expect(second).toMatchObject({ upn: ADA.upn, status: 'written' });
      expect(service.outbox().find(({ upn }) => upn === BOB.upn)).toMatchObject({
        status: 'failed',
        reason: first?.reason,
      });
      await directory.addUser({ upn: BOB.upn });
      expect(await service.runSyncCycle()).toMatchObject([{ upn: BOB.upn, status: 'written', reason: undefined }]);
    });

    it('finds keys that are already there, and keys that are gone', async () => {
      await renewToken();
      const key = newKey();
      const kid = await register(key);
      const { connection } = directory;
      const blob = service.outbox().at(-1)?.blob ?? new Uint8Array();
      {
        await using connector = await bindDirectory(connection, connection.connector);
        await addKeyCredential(connector.client, { base: connection.base, user: ADA.upn, blob });
      }
      later(INTERVAL_MS);
      expect(await service.runSyncCycle()).toMatchObject([{ status: 'present' }]);
      await renewToken();
      const graphToken = await passwordToken(service, ADA, { resource: `${service.url}/graph` });
      const options = { token: async () => graphToken, graphUrl: `${service.url}/graph/`, fetch };
      await deleteHelloMethod(ADA.upn, kid, options);
      expect(await service.runSyncCycle()).toMatchObject([{ action: 'remove', status: 'removed' }]);
    });

    it('never writes a key that was deleted before its time', async () => {
      await renewToken();
      const key = newKey();
      const kid = await register(key);
      const graphToken = await passwordToken(service, ADA, { resource: GRAPH });
      await deleteHelloMethod(ADA.upn, kid, {
        token: async () => graphToken,
        graphUrl: `${service.url}/graph/`,
        fetch,
      });
      later(INTERVAL_MS);
      expect(await service.runSyncCycle()).toMatchObject([{ action: 'remove', status: 'absent' }]);
      expect(await asyncRefusal(() => signIn(key))).toContain('does not have this key');
    });

    it('keeps a refused key for the next cycle if the directory is gone', async () => {
      await using gone = await startDirectory();
      await gone.addUser({ upn: ADA.upn });
      await using other = await startIdentityService({
        ...{ users: [ADA], onPremises: gone.connection, pollIntervalS: 0, syncIntervalMs: 0 },
      });
      const joined = await joinDevice(other.url, { ca: other.ca, tenant: other.tenantId, user: ADA });
      const bearer = await deviceCodeToken(other, ADA.upn, { device: joined });
      await send(other, '/EnrollmentServer/key/?api-version=1.0', {
        body: buildKeyRegistration({ profile: 'strict', publicKey: newKey().publicKey }),
        headers: { accept: 'application/json', authorization: `Bearer ${bearer}` },
      });
      await gone.close();
      expect(await other.runSyncCycle()).toMatchObject([{ status: 'waiting', reason: expect.any(String) }]);
      expect(other.outbox()).toMatchObject([{ status: 'waiting', reason: expect.any(String) }]);
    });

    it("reports what the synchronization's account may not do", async () => {
      const { connection } = directory;
      const { connector, reader } = connection;
      const start = (account: typeof connector) =>
        startIdentityService({
          ...{ users: [ADA], pollIntervalS: 0, syncIntervalMs: 0 },
          onPremises: { ...connection, connector: account },
        });
      const registerAt = async (other: IdentityService) => {
        const joined = await joinDevice(other.url, { ca: other.ca, tenant: other.tenantId, user: ADA });
        const bearer = await deviceCodeToken(other, ADA.upn, { device: joined });
        await send(other, '/EnrollmentServer/key/?api-version=1.0', {
          body: buildKeyRegistration({ profile: 'strict', publicKey: newKey().publicKey }),
          headers: { accept: 'application/json', authorization: `Bearer ${bearer}` },
        });
      };
      await using powerless = await start(reader);
      await registerAt(powerless);
      const result = { status: 'failed', reason: expect.stringContaining('result code 50') };
      expect(await powerless.runSyncCycle()).toMatchObject([result]);
      expect(powerless.outbox()).toMatchObject([result]);

      await using stranger = await start({ ...connector, password: 'wrong' });
      await registerAt(stranger);
      await expect(stranger.runSyncCycle()).rejects.toMatchObject({ code: 'service-refused' });
      expect(stranger.outbox()).toMatchObject([{ status: 'waiting' }]);
    });

    it('runs on its own, and two overlapping calls are one cycle', async () => {
      await renewToken();
      const key = newKey();
      await register(key);
      later(INTERVAL_MS);
      const [a, b] = await Promise.all([service.runSyncCycle(), service.runSyncCycle()]);
      expect(a).toBe(b);
      await renewToken();
      await register(newKey());
      later(INTERVAL_MS);
      const outcome = await new Promise((resolve) => {
        service.startSync({
          intervalMs: 1,
          onCycle: (results) => 'length' in results && results.length > 0 && resolve(results),
        });
      });
      service.stopSync();
      expect(outcome).toMatchObject([{ status: 'written' }]);
    });

    it('says as Entra Connect when it comes next', async () => {
      await renewToken();
      await register(newKey());
      const scheduler = parseAdSyncScheduler(service.schedulerText(), { now: clock });
      const due = new Date(Math.floor((clock.getTime() + INTERVAL_MS) / 1000) * 1000);
      expect(scheduleOf(scheduler)).toEqual({ intervalMs: INTERVAL_MS, nextCycle: due, obstacles: [] });
      expect(scheduler.fields.size).toBe(11);
      later(INTERVAL_MS);
      await service.runSyncCycle();
    });

    it('is not there without a directory', async () => {
      await using alone = await startIdentityService({ users: [ADA] });
      await expect(alone.runSyncCycle()).rejects.toThrow(TypeError);
      expect(scheduleOf(parseAdSyncScheduler(alone.schedulerText(), { now: new Date() })).obstacles).toHaveLength(1);
    });
  });

  describe('the look-alike of Microsoft Graph', () => {
    const as = async (user: { upn: string; password: string }) => {
      const graphToken = await passwordToken(service, user, { resource: GRAPH });
      return { token: async () => graphToken, graphUrl: `${service.url}/graph/`, fetch };
    };

    it("lists keys page by page, and reads the device's keys", async () => {
      const keys = service.keys().filter(({ upn }) => upn === ADA.upn);
      expect(keys.length).toBeGreaterThan(2);
      const before = service.requests.length;
      const methods = await listHelloMethods(ADA.upn, await as(ADA));
      expect(methods).toEqual(
        keys.map(({ kid, created }) => ({
          ...{ id: kid, displayName: 'test device', createdDateTime: created.toISOString(), keyStrength: 'normal' },
        })),
      );
      const pages = service.requests.slice(before).filter(({ method }) => method === 'GET');
      expect(pages).toHaveLength(Math.ceil(keys.length / 2));
      expect(await graphReader(await as(ROOT)).read(ADA.upn)).toEqual(
        keys.map(({ keyId, keyMaterial }) => ({ keyId, keyMaterial, usage: 1, deviceId: device.deviceId })),
      );
    });

    const METHODS = '/graph/v1.0/users/ada%40contoso.test/authentication/windowsHelloForBusinessMethods';
    it.each<[number, string, { user?: typeof ADA; method?: string; path?: string }]>([
      [401, 'InvalidAuthenticationToken', {}],
      [403, 'Authorization_RequestDenied', { user: BOB }],
      [404, 'Request_ResourceNotFound', { user: ROOT, path: '/graph/beta/users/eve@contoso.test' }],
      [404, 'resourceNotFound', { user: ADA, method: 'DELETE', path: `${METHODS}/${randomUUID()}` }],
      [400, 'BadRequest', { user: ADA, path: `${METHODS}?$skiptoken=x` }],
    ])('refuses with %i %s', async (status, code, { user, method = 'GET', path = METHODS }) => {
      const bearer = user === undefined ? await passwordToken(service, ADA) : await (await as(user)).token();
      const answer = await send(service, path, { method, headers: { authorization: `Bearer ${bearer}` } });
      expect(answer.status).toBe(status);
      expect(answer.json).toEqual({
        error: {
          ...{ code, message: expect.any(String) },
          innerError: {
            ...{ date: clock.toISOString().slice(0, 19), 'request-id': answer.headers['request-id'] },
            'client-request-id': answer.headers['request-id'],
          },
        },
      });
    });

    it('asks the client to slow down as often as configured', async () => {
      const options = await as(ADA);
      service.throttleGraph(1, 7);
      await expect(listHelloMethods(ADA.upn, options)).rejects.toMatchObject({ status: 429, retryAfterMs: 7000 });
      expect((await listHelloMethods(ADA.upn, options)).length).toBeGreaterThan(0);
    });
  });

  describe('MFA', () => {
    const demand = () => ({
      ...{ tokenEndpoint: tokenEndpoint(), clientId: 'test', loginHint: BOB.upn },
      resource: 'urn:ms-drs:localhost',
    });
    const ask = (onCode: (code: string) => void = () => {}, sleepMs = 10_000) =>
      authenticateWithDeviceCode(demand(), {
        ...{ fetch, now: () => clock, onCode: ({ userCode }) => onCode(userCode) },
        sleep: async () => later(sleepMs),
      });

    it('waits for a slow user', async () => {
      service.mfa.set(BOB.upn, { answer: 'approve', afterMs: 60_000 });
      const start = clock.getTime();
      await ask();
      expect(clock.getTime() - start).toBe(60_000);
    });

    it.each<[string, 'deny' | 'ignore', string]>([
      ['is denied', 'deny', 'mfa-failed'],
      ['finds nobody', 'ignore', 'mfa-timeout'],
    ])('ends when it %s', async (_, answer, code) => {
      service.mfa.set(BOB.upn, { answer });
      await expect(ask()).rejects.toMatchObject({ code });
    });

    it('is approved or denied by code, once', async () => {
      service.mfa.set(BOB.upn, { answer: 'ignore' });
      const answers: boolean[] = [];
      await ask((code) => answers.push(service.mfa.approve(code), service.mfa.deny(code), service.mfa.approve('none')));
      expect(answers).toEqual([true, false, false]);
      await expect(ask((code) => void service.mfa.deny(code))).rejects.toMatchObject({ code: 'mfa-failed' });
    });

    it('speaks as RFC 8628: pending, slow down, expired, and a code gives one token', async () => {
      await using slow = await startIdentityService({ users: [ADA], deviceCodeLifetimeS: 60, now: () => clock });
      slow.mfa.set(ADA.upn, { answer: 'ignore' });
      const form = new URLSearchParams({ client_id: 'test', resource: '' });
      const begin = async () => (await send(slow, '/common/oauth2/devicecode', { body: form })).json;
      const first = await begin();
      expect([first.interval, first.expires_in]).toEqual(['5', '60']);
      const poll = async (code: unknown, client = 'test') => {
        const { status, json } = await askToken(slow, {
          ...{
            grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
            client_id: client,
            device_code: String(code),
          },
        });
        return status === 200 ? 'token' : json.error;
      };
      const found = [await poll(first.device_code), await poll(first.device_code)];
      later(5000);
      found.push(await poll(first.device_code), await poll(first.device_code, 'other'));
      slow.mfa.approve(String(first.user_code));
      later(5000);
      found.push(await poll(first.device_code), await poll(first.device_code));
      const second = await begin();
      later(60_000);
      found.push(await poll(second.device_code));
      expect(found).toEqual([
        ...['authorization_pending', 'slow_down', 'authorization_pending', 'invalid_grant', 'token', 'invalid_grant'],
        'expired_token',
      ]);
    });

    it('prompts no unknown user', async () => {
      const body = new URLSearchParams({ client_id: 'test', login_hint: 'eve@contoso.test' });
      const { status, json } = await send(service, '/common/oauth2/devicecode', { body });
      expect([status, json.error]).toEqual([400, 'invalid_request']);
    });
  });
});
