import { execFile, execFileSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromBase64, toBase64, toHex } from '../../src/bytes.ts';
import { digest } from '../../src/crypto/kdf.ts';
import { encodeFileTime } from '../../src/formats/windows/file-time.ts';
import { parseKeyCredentialLink } from '../../src/formats/windows/key-credential-link.ts';
import { findKeyCredentialProblems } from '../../src/formats/windows/key-credential-problems.ts';
import { buildKeyRegistration, encodePublicBlob } from '../../src/formats/windows/key-registration.ts';
import { buildCertificateRequest } from '../../src/formats/x509/certificate-request.ts';
import { buildCommonName } from '../../src/formats/x509/names.ts';
import { discoverServices } from '../../src/registration/discovery.ts';
import { createServiceFetch } from '../../src/registration/service-fetch.ts';
import { openState } from '../../src/testing/identity-service/state.ts';
import {
  type IdentityService,
  type JoinedDevice,
  joinDevice,
  signingKeyOf,
  startIdentityService,
} from '../../src/testing/index.ts';
import { askToken, deviceCodeToken, passwordToken, type RawAnswer, send } from './support/service-client.ts';

const ADA = { upn: 'ada@contoso.test', password: 'correct horse' };
const BOB = { upn: 'bob@contoso.test', password: 'battery staple' };
const RESOURCE = 'urn:ms-drs:localhost';
const KEY_PATH = '/EnrollmentServer/key/?api-version=1.0';
const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
interface ClaimCase {
  readonly amr: readonly string[];
  readonly accept: boolean | string;
  readonly deviceid?: string | null;
}
const kpp: {
  readonly keyRegistration: { readonly errorConstructed: { readonly body: object } };
  readonly deviceRegistrationError: { readonly body: object };
  readonly discovery: { readonly adfs12: { readonly body: object } };
  readonly nonceResponse: { readonly body: object };
  readonly claimCases: readonly ClaimCase[];
} = JSON.parse(readFileSync('test/vectors/kpp.json', 'utf8'));

const newKey = () => signingKeyOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey).publicKey;

describe('the identity service', () => {
  const directory = mkdtempSync(join(tmpdir(), 'keyprov-test-'));
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };
  let clock = new Date();
  let service: IdentityService;
  let device: JoinedDevice;
  let token: string;
  const publicKey = newKey();
  const body = buildKeyRegistration({ profile: 'strict', publicKey });

  const start = () =>
    startIdentityService({
      ...{ users: [ADA, BOB], directory: join(directory, 'state'), pollIntervalS: 0 },
      now: () => clock,
    });
  const join1 = (user = ADA) => joinDevice(service.url, { ca: service.ca, tenant: service.tenantId, user });

  beforeAll(async () => {
    service = await start();
    device = await join1();
    token = await deviceCodeToken(service, ADA.upn, { device });
  });
  afterAll(async () => {
    await service.close();
    rmSync(directory, { recursive: true });
  });

  const register = (given: Parameters<typeof send>[2] & { path?: string } = {}) =>
    send(service, given.path ?? KEY_PATH, {
      body,
      ...given,
      headers: given.headers ?? { accept: 'application/json', authorization: `Bearer ${token}` },
    });

  it('speaks TLS 1.2 and later with a certificate of its own CA, which openssl verifies', async () => {
    const ca = file('ca.pem', service.ca);
    // The server is in this process: nothing may wait for openssl without giving it time.
    const client = async (...more: string[]) => {
      const openssl = promisify(execFile)('openssl', [
        ...['s_client', '-connect', `127.0.0.1:${service.port}`, '-CAfile', ca, '-verify_return_error'],
        ...more,
      ]);
      openssl.child.stdin?.end();
      return (await openssl).stdout;
    };
    expect(await client('-verify_hostname', 'localhost')).toContain('Verify return code: 0 (ok)');
    await expect(client('-tls1_1', '-cipher', 'ALL@SECLEVEL=0')).rejects.toMatchObject({ code: 1 });
    await expect(client('-verify_hostname', 'example.test')).rejects.toMatchObject({ code: 1 });
  });

  describe('discovery', () => {
    it('answers as Entra ID and as AD FS, in JSON and XML, with its own addresses', async () => {
      await using fetch = createServiceFetch({ ca: service.ca });
      const key = {
        endpoint: new URL('/EnrollmentServer/key/', service.url),
        resource: RESOURCE,
        version: '1.0',
      };
      const tokenEndpoint = new URL(`/${service.tenantId}/oauth2/token`, service.url);
      for (const options of [
        { tenant: service.tenantId },
        { tenant: 'contoso.test' },
        {},
        { format: 'xml' } as const,
      ]) {
        const { keyProvisioning, authentication } = await discoverServices(service.url, { fetch, ...options });
        expect([keyProvisioning, authentication?.tokenEndpoint]).toEqual([key, tokenEndpoint]);
      }
      const { nonce } = await discoverServices(service.url, { fetch, tenant: service.tenantId });
      expect(nonce?.endpoint.pathname).toBe(`/EnrollmentServer/nonce/${service.tenantId}/`);
      const old = await send(service, '/enrollmentserver/contract?api-version=1.0');
      expect(Object.keys(old.json)).toEqual(
        Object.keys(kpp.discovery.adfs12.body).filter((name) => !/DeviceJoin|KeyProv|Zones/.test(name)),
      );
    });

    it.each([
      ['/enrollmentserver/contract', 400],
      ['/enrollmentserver/contract?api-version=1.1', 400],
      ['/other.test/Discover?api-version=1.9', 400],
      [`/EnrollmentServer/nonce/contoso.test`, 400],
      ['/nothing/here', 404],
    ])('refuses %s with %i', async (path, status) => {
      expect((await send(service, path)).status).toBe(status);
    });

    it('gives a different nonce each time', async () => {
      const path = `/EnrollmentServer/nonce/${service.tenantId}/?api-version=1.0`;
      const answers = await Promise.all([send(service, path), send(service, path)]);
      const [first, second] = answers.map(({ json }) => json);
      expect(Object.keys(first ?? {})).toEqual(Object.keys(kpp.nonceResponse.body));
      expect(fromBase64(String(first?.Value))).toHaveLength(32);
      expect(first?.Value).not.toBe(second?.Value);
    });
  });

  describe('a joined device', () => {
    it('has a certificate with its id in name and extension, which openssl reads and verifies', () => {
      const certificate = file('device.pem', device.certificate);
      const openssl = (...args: string[]) => execFileSync('openssl', args, { encoding: 'utf8' });
      expect(device.deviceId).toMatch(GUID);
      expect(openssl('x509', '-in', certificate, '-noout', '-subject').trim()).toBe(`subject=CN = ${device.deviceId}`);
      const verify = ['verify', '-CAfile', file('ca.pem', service.ca), '-purpose', 'sslclient', certificate];
      expect(openssl(...verify).trim()).toBe(`${certificate}: OK`);
      const parsed = openssl('asn1parse', '-in', certificate);
      const at = parsed.split('\n').findIndex((line) => line.includes(':1.2.840.113556.1.5.284.2'));
      const [, value = ''] = /\[HEX DUMP\]:([0-9A-F]+)/.exec(parsed.split('\n')[at + 1] ?? '') ?? [];
      const [a, b, c, ...rest] = device.deviceId.split('-');
      const reversed = [a, b, c].map((part) =>
        (part ?? '').replace(/(..)/g, '$1 ').trim().split(' ').reverse().join(''),
      );
      expect(value.toLowerCase()).toBe(`0410${reversed.join('')}${rest.join('')}`);
    });

    it('is answered with thumbprint and user, and listed', async () => {
      expect(service.devices()).toMatchObject([{ deviceId: device.deviceId, upn: ADA.upn, enabled: true }]);
    });

    const joinBody = (data: Uint8Array, type = 'pkcs10') =>
      JSON.stringify({ CertificateRequest: { Type: type, Data: toBase64(data) } });
    let windowsCsr: Uint8Array;
    beforeAll(async () => {
      const subject = buildCommonName(`#1325${toHex(Buffer.from('7E980AD9-B86D-4306-9425-9AC066FB014A\0'))}`);
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      windowsCsr = await buildCertificateRequest({ subject }, signingKeyOf(privateKey));
    });

    it('may send the request of Windows, whose name ends with a NUL', async () => {
      const bearer = await passwordToken(service, ADA);
      const answer = await send(service, '/EnrollmentServer/device/?api-version=2.0', {
        body: joinBody(windowsCsr),
        headers: { authorization: `Bearer ${bearer}` },
      });
      expect(answer.status).toBe(200);
      const { Certificate, User, MembershipChanges } = answer.json as Record<string, Record<string, string>>;
      const der = fromBase64(Certificate?.RawBody ?? '');
      expect(Certificate?.Thumbprint).toBe(Buffer.from(digest('sha1', der)).toString('hex').toUpperCase());
      expect([User, MembershipChanges]).toEqual([{ Upn: ADA.upn }, []]);
    });

    it.each<[string, number, { path?: string; bearer?: string; body?: () => string }]>([
      ['no version', 400, { path: '/EnrollmentServer/device' }],
      ['no token', 401, { bearer: '' }],
      ['no JSON', 400, { body: () => 'x' }],
      ['another type', 400, { body: () => joinBody(windowsCsr, 'pkcs7') }],
      ['a request that is none', 400, { body: () => joinBody(randomBytes(40)) }],
      [
        'a request that its key has not signed',
        400,
        { body: () => joinBody(windowsCsr.with(-1, 1 ^ (windowsCsr.at(-1) ?? 0))) },
      ],
    ])('is not there with %s: %i and an error of MS-DVRJ', async (_, status, given) => {
      const before = service.devices().length;
      const bearer = given.bearer ?? `Bearer ${await passwordToken(service, ADA)}`;
      const answer = await send(service, given.path ?? '/EnrollmentServer/device/?api-version=2.0', {
        body: given.body?.() ?? joinBody(windowsCsr),
        headers: bearer === '' ? {} : { authorization: bearer },
      });
      expect(answer.status).toBe(status);
      expect(Object.keys(answer.json)).toEqual(Object.keys(kpp.deviceRegistrationError.body));
      expect(answer.json.Time).toMatch(/^\d\d-\d\d-\d{4} \d\d:\d\d:\d\dZ$/);
      expect(service.devices()).toHaveLength(before);
    });
  });

  describe('tokens', () => {
    const claimsOf = async (jwt: string, audience = RESOURCE) => {
      const keys = (await send(service, '/common/discovery/keys')).json;
      const issuer = `${service.url}/${service.tenantId}/`;
      const { payload } = await jwtVerify(jwt, createLocalJWKSet(keys as unknown as JSONWebKeySet), {
        issuer,
        audience,
      });
      return payload;
    };

    it('are verified with the published keys, and say how the user signed in and with which device', async () => {
      const seconds = Math.floor(clock.getTime() / 1000);
      expect(await claimsOf(token)).toMatchObject({
        ...{ upn: ADA.upn, deviceid: device.deviceId, amr: ['pwd', 'mfa', 'ngcmfa'] },
        ...{ tid: service.tenantId, auth_time: seconds, iat: seconds, exp: seconds + 3600 },
      });
    });

    it('name a device only if the connection has shown its certificate, and MFA only after MFA', async () => {
      const withPassword = await claimsOf(await passwordToken(service, ADA));
      expect([withPassword.deviceid, withPassword.amr]).toEqual([undefined, ['pwd']]);
      const bound = await claimsOf(await passwordToken(service, ADA, { device }));
      expect([bound.deviceid, bound.amr]).toEqual([device.deviceId, ['pwd']]);
      const unbound = await claimsOf(await deviceCodeToken(service, ADA.upn, { methods: '' }));
      expect([unbound.deviceid, unbound.amr]).toEqual([undefined, ['pwd', 'mfa']]);
    });

    it("name no device with another's certificate, and no disabled device", async () => {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const pem = file('self.key', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
      const certificate = execFileSync('openssl', ['req', '-x509', '-key', pem, '-subj', `/CN=${device.deviceId}`], {
        encoding: 'utf8',
      });
      const forged = { ...device, certificate, privateKey: readFileSync(pem, 'utf8') };
      expect((await claimsOf(await passwordToken(service, ADA, { device: forged }))).deviceid).toBeUndefined();
      const other = await join1();
      expect((await claimsOf(await passwordToken(service, ADA, { device: other }))).deviceid).toBe(other.deviceId);
      expect(service.setDeviceEnabled(other.deviceId, false)).toBe(true);
      expect((await claimsOf(await passwordToken(service, ADA, { device: other }))).deviceid).toBeUndefined();
    });

    it.each<[string, Record<string, string>, string]>([
      ['a wrong password', { password: 'x' }, 'invalid_grant'],
      ['an unknown user', { username: 'eve@contoso.test' }, 'invalid_grant'],
      ['an unknown resource', { resource: 'https://example.test' }, 'invalid_resource'],
      ['a wish for MFA', { amr_values: 'ngcmfa' }, 'interaction_required'],
      ['another grant', { grant_type: 'client_credentials' }, 'unsupported_grant_type'],
    ])('are not given for %s', async (_, form, error) => {
      const answer = await askToken(service, {
        ...{ grant_type: 'password', username: ADA.upn, password: ADA.password, resource: RESOURCE },
        ...form,
      });
      expect([answer.status, answer.json.error, answer.text.includes(ADA.password)]).toEqual([400, error, false]);
    });
  });

  describe('a key registration', () => {
    it('is answered with a new id, the user and the context, and the value for the directory waits', async () => {
      const answer = await register();
      expect(answer.status).toBe(200);
      const { kid, upn, pctx } = answer.json as Record<string, string>;
      expect([Object.keys(answer.json), upn]).toEqual([['kid', 'upn', 'pctx'], ADA.upn]);
      expect(kid).toMatch(GUID);
      expect(answer.headers['request-id']).toMatch(GUID);
      expect(answer.headers['client-request-id']).toBeUndefined();

      const cms = ['cms', '-verify', '-inform', 'DER', '-in', file('pctx', fromBase64(pctx ?? ''))];
      const text = execFileSync('openssl', [...cms, '-CAfile', file('ca.pem', service.ca), '-purpose', 'any'], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      expect(text).toBe('{"DomainControllerFqdn":"dc1.contoso.test"}');

      const [entry] = service.outbox();
      const link = parseKeyCredentialLink(entry?.blob ?? new Uint8Array());
      const time = encodeFileTime(clock);
      expect(link).toMatchObject({
        ...{ keyMaterial: encodePublicBlob(publicKey), usage: 1, source: 0, deviceId: device.deviceId },
        ...{ customKeyInformation: { version: 1, flags: 2 }, lastLogon: time, created: time },
      });
      expect([entry?.blob.length, findKeyCredentialProblems(link)]).toEqual([414, []]);
      expect(entry).toMatchObject({ action: 'add', status: 'waiting', due: new Date(clock.getTime() + 1_800_000) });
      expect(service.keys()).toMatchObject([{ kid, attestation: 'ATT_SOFT', deviceId: device.deviceId }]);
    });

    it('of the same key, user and device is stored once, even if it is repeated or overlaps', async () => {
      const first = (await register()).json;
      const answers = await Promise.all(Array.from({ length: 8 }, () => register()));
      expect(new Set(answers.map(({ json }) => json.kid))).toEqual(new Set([first.kid]));
      expect([service.keys().length, service.outbox().length]).toEqual([1, 1]);
      const device2 = await join1();
      const token2 = await deviceCodeToken(service, ADA.upn, { device: device2 });
      const answer = await register({ headers: { accept: 'application/json', authorization: `Bearer ${token2}` } });
      expect(answer.json.kid).not.toBe(first.kid);
      expect([service.keys().length, service.outbox().length]).toEqual([2, 2]);
    });

    it("echoes the client's id on request", async () => {
      const id = randomUUID();
      const headers = { accept: 'application/json', authorization: `Bearer ${token}`, 'client-request-id': id };
      expect((await register({ headers })).headers['client-request-id']).toBeUndefined();
      const echoed = await register({ headers: { ...headers, 'return-client-request-id': 'true' } });
      expect(echoed.headers['client-request-id']).toBe(id);
      const refused = await register({ headers: { ...headers, 'return-client-request-id': 'true' }, body: '{}' });
      expect([refused.status, refused.headers['client-request-id'], refused.json.clientrequestid]).toEqual([
        400,
        id,
        id,
      ]);
    });

    it('accepts the version as a header too', async () => {
      const headers = { accept: 'application/json', authorization: `Bearer ${token}`, 'api-version': '1.0' };
      expect((await register({ path: '/EnrollmentServer/key', headers })).status).toBe(200);
    });

    /** Violations of the rules, in the order in which they must be noticed. */
    const VIOLATIONS = [
      ['version', 400, 'InvalidRequest', 'api-version'],
      ['accept', 400, 'InvalidRequest', 'accept'],
      ['kngc', 400, 'InvalidRequest', 'kngc'],
      ['no token', 401, 'TokenMissing', 'bearer'],
      ['signature', 401, 'InvalidToken', 'SIGNATURE'],
      ['device', 401, 'DeviceNotFound', 'joined device'],
      ['upn', 401, 'InvalidToken', 'upn'],
      ['amr', 401, 'MfaRequired', 'MFA'],
      ['age', 401, 'MfaExpired', 'MFA'],
      ['user', 400, 'DirectoryError', 'directory'],
      ['key', 400, 'InvalidKey', 'RSA'],
    ] as const;
    type Violation = (typeof VIOLATIONS)[number][0];

    /** A registration with these violations and no others; its token is signed with the key of the service. */
    async function violating(...names: readonly Violation[]): Promise<RawAnswer> {
      const has = (name: Violation) => names.includes(name);
      const seconds = Math.floor(clock.getTime() / 1000);
      const claims = {
        ...(!has('upn') && { upn: has('user') ? 'eve@contoso.test' : ADA.upn }),
        deviceid: has('device') ? randomUUID() : device.deviceId,
        amr: has('amr') ? ['pwd', 'mfa'] : ['pwd', 'ngcmfa'],
        auth_time: seconds - (has('age') ? 601 : 600),
      };
      const jwt = has('signature')
        ? await forge(claims, generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey)
        : await forge(claims);
      const small = signingKeyOf(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey).publicKey;
      const kngc = toBase64(encodePublicBlob(has('key') ? small : newKey()));
      return await register({
        path: has('version') ? '/EnrollmentServer/key/' : KEY_PATH,
        headers: {
          ...(!has('accept') && { accept: 'application/json' }),
          ...(!has('no token') && { authorization: `Bearer ${jwt}` }),
        },
        body: JSON.stringify({ kngc: has('kngc') ? 'not base64!' : kngc }),
      });
    }

    /** A token of the service with other claims. */
    async function forge(claims: Record<string, unknown>, key = tokenKey, audience = RESOURCE): Promise<string> {
      const seconds = Math.floor(clock.getTime() / 1000);
      return await new SignJWT({ token_use: 'access', ...claims })
        .setProtectedHeader({ alg: 'RS256' })
        .setIssuer(`${service.url}/${service.tenantId}/`)
        .setAudience(audience)
        .setNotBefore(seconds)
        .setExpirationTime(seconds + 60)
        .sign(key);
    }
    let tokenKey: ReturnType<typeof createPrivateKey>;
    beforeAll(async () => {
      const { port, url } = service;
      await service.close();
      const state = await openState(join(directory, 'state'));
      const key = Buffer.from(state.setting('token-key') ?? []);
      await state.close();
      tokenKey = createPrivateKey({ key, type: 'pkcs8', format: 'der' });
      service = await startIdentityService({
        ...{ users: [ADA, BOB], directory: join(directory, 'state'), pollIntervalS: 0, port },
        now: () => clock,
      });
      expect(service.url).toBe(url);
    });

    it('without violations is taken', async () => {
      expect((await violating()).status).toBe(200);
    });

    it.each(VIOLATIONS)('with a wrong %s is refused: %i %s', async (name, status, code, word) => {
      const before = service.keys().length;
      const { status: found, json } = await violating(name);
      expect([found, json.code, String(json.message).includes(word)]).toEqual([status, code, true]);
      expect(json).toMatchObject({
        ...{ response: 'ERROR_FAIL', target: expect.stringContaining('/EnrollmentServer/key') },
        ...{ time: clock.toISOString(), innererror: { trace: 'null', context: 'null' } },
      });
      expect(Object.keys(json)).toEqual(
        Object.keys(kpp.keyRegistration.errorConstructed.body).filter((member) => member !== 'clientrequestid'),
      );
      expect(service.keys()).toHaveLength(before);
    });

    const PAIRS = VIOLATIONS.flatMap((first, i) => VIOLATIONS.slice(i + 1).map((second) => [first, second] as const));
    it('with two violations is refused for the first one', async () => {
      // Without token there is none that could be wrong, and a user who is not named is not looked for.
      const possible = PAIRS.filter(
        ([[a], [b]]) =>
          !(a === 'no token' && /signature|device|upn|amr|age|user/.test(b)) && !(a === 'upn' && b === 'user'),
      );
      const outcomes = [];
      for (const [[a], [b]] of possible) {
        const { status, json } = await violating(a, b);
        outcomes.push([a, b, status, json.code]);
      }
      expect(outcomes).toEqual(possible.map(([[a, status, code], [b]]) => [a, b, status, code]));
      expect(outcomes.length).toBe(48);
    });

    it.each<[string, string, Record<string, string>]>([
      ['in query and header', KEY_PATH, { 'api-version': '1.0' }],
      ['twice in the query', `${KEY_PATH}&api-version=1.0`, {}],
      ['of another number', '/EnrollmentServer/key/?api-version=2.0', {}],
    ])('with the version %s is refused', async (_, path, more) => {
      const headers = { accept: 'application/json', authorization: `Bearer ${token}`, ...more };
      const { status, json } = await register({ path, headers });
      expect([status, json.code, String(json.message).includes('api-version')]).toEqual([400, 'InvalidRequest', true]);
    });

    it.each(['*/*', 'application/xml', 'application/json, text/html'])('with accept %s is refused', async (accept) => {
      const { status } = await register({ headers: { accept, authorization: `Bearer ${token}` } });
      expect(status).toBe(400);
    });

    it.each(['', '[]', 'null', '{}', '{"kngc":""}', '{"kngc":7}', '{"kngc":"AAA"}'])(
      'with the body %s is refused',
      async (wrong) => {
        const { status, json } = await register({ body: wrong });
        expect([status, json.code]).toEqual([400, 'InvalidRequest']);
      },
    );

    it("accepts only the profile's members", async () => {
      const { status, json } = await register({ body: JSON.stringify({ ...JSON.parse(body), more: '' }) });
      expect([status, json.code]).toEqual([400, 'InvalidKey']);
    });

    it.each(kpp.claimCases.map((one, i): [number, ClaimCase] => [i, one]))(
      'decides the case %i of the published claims',
      async (_: number, { accept, amr, deviceid = device.deviceId }: ClaimCase) => {
        const auth_time = Math.floor(clock.getTime() / 1000);
        const claims = { upn: ADA.upn, amr, auth_time, ...(deviceid !== null && { deviceid }) };
        const headers = { accept: 'application/json', authorization: `Bearer ${await forge(claims)}` };
        expect((await register({ headers })).status).toBe(accept === true ? 200 : 401);
      },
    );

    it('accepts no token with another resource, issuer or time', async () => {
      const bearer = (jwt: string) => ({ accept: 'application/json', authorization: `Bearer ${jwt}` });
      const graph = await passwordToken(service, ADA, { resource: 'https://graph.microsoft.com', device });
      expect((await register({ headers: bearer(graph) })).json.code).toBe('InvalidToken');
      const before = clock;
      try {
        clock = new Date(before.getTime() + 3601_000);
        expect((await register()).json.code).toBe('InvalidToken');
        clock = new Date(before.getTime() - 2000);
        expect((await register()).json.code).toBe('InvalidToken');
      } finally {
        clock = before;
      }
      await using other = await startIdentityService({ users: [ADA] });
      const foreign = await passwordToken(other, ADA);
      expect((await register({ headers: bearer(foreign) })).json.code).toBe('InvalidToken');
    });

    it('of a disabled device is refused', async () => {
      service.setDeviceEnabled(device.deviceId, false);
      try {
        const { status, json } = await register();
        expect([status, json.code]).toEqual([401, 'DeviceDisabled']);
      } finally {
        service.setDeviceEnabled(device.deviceId, true);
      }
    });
  });

  it('closes although clients are connected that never begin with TLS, or never end a request', async () => {
    const { port, tenantId, ca } = service;
    const silent = connect(port, '127.0.0.1').on('error', () => undefined);
    await once(silent, 'connect');
    const slow = connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca }).on('error', () => undefined);
    await once(slow, 'secureConnect');
    slow.write('POST /token HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n');
    const ends = Promise.all([silent, slow].map((socket) => new Promise((resolve) => socket.once('close', resolve))));
    await service.close();
    await ends;
    service = await startIdentityService({
      ...{ users: [ADA, BOB], directory: join(directory, 'state'), pollIntervalS: 0, port, now: () => clock },
    });
    expect(service.tenantId).toBe(tenantId);
  });

  it('keeps keys, devices, tokens and its own certificates when it starts again', async () => {
    const before = { keys: service.keys(), devices: service.devices(), outbox: service.outbox(), ca: service.ca };
    expect(before.keys.length).toBeGreaterThan(0);
    const { port, tenantId } = service;
    await service.close();
    await expect(send(service, KEY_PATH)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    service = await startIdentityService({
      ...{ users: [ADA, BOB], directory: join(directory, 'state'), pollIntervalS: 0, port, now: () => clock },
    });
    const { ca } = service;
    expect({ keys: service.keys(), devices: service.devices(), outbox: service.outbox(), ca }).toEqual(before);
    expect(service.tenantId).toBe(tenantId);
    expect((await register()).status).toBe(200);
    await expect(start()).rejects.toMatchObject({ code: 'state-in-use' });
  });

  it('cuts connections and changes answers on request, and logs no secrets', async () => {
    const key = buildKeyRegistration({ profile: 'strict', publicKey: newKey() });
    const count = service.keys().length;
    const from = service.requests.length;
    service.setIntercept(({ path, index }) => (path.includes('/key') && index >= 0 ? 'drop-before' : 'continue'));
    await expect(register({ body: key })).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(service.keys()).toHaveLength(count);
    service.setIntercept(() => 'drop-after');
    await expect(register({ body: key })).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(service.keys()).toHaveLength(count + 1);
    service.setIntercept(async () => ({ status: 503, body: { a: 1 }, headers: { 'retry-after': '7' } }));
    const answer = await register({ body: key });
    expect([answer.status, answer.json, answer.headers['retry-after']]).toEqual([503, { a: 1 }, '7']);
    service.setIntercept();
    expect((await register({ body: key })).status).toBe(200);
    expect(service.keys()).toHaveLength(count + 1);
    const entry = { method: 'POST', path: '/EnrollmentServer/key/' };
    expect(service.requests.slice(from)).toEqual([
      { ...entry, status: undefined, dropped: true },
      { ...entry, status: 200, dropped: true },
      { ...entry, status: 503, dropped: false },
      { ...entry, status: 200, dropped: false },
    ]);
  });

  it('fails at its end if a test asked for a fault that does not exist', async () => {
    const wrong = await startIdentityService({ users: [], intercept: () => JSON.parse('"drop"') });
    await using fetch = createServiceFetch({ ca: wrong.ca });
    expect((await fetch(`${wrong.url}/`)).status).toBe(500);
    await expect(wrong.close()).rejects.toThrow(/^intercept must return 'continue', 'drop-before'/);
  });

  it('accepts no body of more than a mebibyte', async () => {
    await expect(register({ body: 'x'.repeat(1024 * 1024 + 1) })).rejects.toThrow();
    expect((await send(service, '/common/discovery/keys')).status).toBe(200);
  });
});
