import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type AttestationKey, createAttestationKey } from '../../src/attestation/attestation-key.ts';
import { attestKey } from '../../src/attestation/certify.ts';
import { parseEkCertificate } from '../../src/attestation/ek-certificate.ts';
import { type EndorsementKey, openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import { type Bytes, fromBase64, toBase64 } from '../../src/bytes.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import { verifyChain } from '../../src/crypto/verify-chain.ts';
import { buildKast } from '../../src/formats/windows/kast.ts';
import { buildKeyRegistration } from '../../src/formats/windows/key-registration.ts';
import { enrolAttestationKey } from '../../src/registration/attestation-ca.ts';
import { createServiceFetch } from '../../src/registration/service-fetch.ts';
import {
  createTestAuthority,
  type IdentityService,
  type IdentityServiceOptions,
  type JoinedDevice,
  joinDevice,
  startIdentityService,
  type TestAuthority,
} from '../../src/testing/index.ts';
import { encode } from '../../src/tpm/codec/index.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import { publicKeyOf } from '../../src/tpm/public-key.ts';
import { TPMT_PUBLIC, type TpmtPublic } from '../../src/tpm/structures/object.ts';
import { userKeyTemplate } from '../../src/tpm/templates.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import type { TpmObject } from '../../src/tpm/tpm-object.ts';
import { libtpmsMissing } from './support/libtpms.ts';
import { newTpm } from './support/new-tpm.ts';
import { deviceCodeToken, passwordToken, type RawAnswer, send } from './support/service-client.ts';

const ADA = { upn: 'ada@contoso.test', password: 'correct horse' };
const EMPTY = new Uint8Array(0);
const CHIP = { manufacturer: 0x53544d20, model: 'ST33', version: 1 };

describe.skipIf(await libtpmsMissing())('the attestation of keys at the identity service', () => {
  let tpm: Tpm;
  let ek: EndorsementKey;
  let ak: AttestationKey;
  let key: { readonly object: TpmObject; readonly area: TpmtPublic };
  let maker: TestAuthority;
  let clock = new Date();

  beforeAll(async () => {
    tpm = await newTpm();
    ek = await openEndorsementKey(tpm);
    ak = await createAttestationKey(tpm, { algorithm: 'rsa-2048' });
    const { objectHandle, outPublic } = await tpm.run(CreatePrimary, {
      primaryHandle: TPM_RH.OWNER,
      inSensitive: { userAuth: EMPTY, data: EMPTY },
      inPublic: userKeyTemplate('rsa-2048'),
      outsideInfo: EMPTY,
      creationPCR: [],
    });
    key = { object: objectHandle, area: outPublic };
    maker = await createTestAuthority();
  });
  afterAll(() => tpm.close());

  /** A service, and a device that has joined it. */
  interface Kit extends AsyncDisposable {
    readonly service: IdentityService;
    readonly device: JoinedDevice;
    readonly token: string;
  }

  async function open(options: Partial<IdentityServiceOptions>): Promise<Kit> {
    const service = await startIdentityService({ users: [ADA], pollIntervalS: 0, now: () => clock, ...options });
    const device = await joinDevice(service.url, { ca: service.ca, tenant: service.tenantId, user: ADA });
    const token = await deviceCodeToken(service, ADA.upn, { device });
    return { service, device, token, [Symbol.asyncDispose]: () => service.close() };
  }

  async function nonce({ service, device }: Kit): Promise<Bytes> {
    const path = `/EnrollmentServer/nonce/${service.tenantId}/?api-version=1.0`;
    return fromBase64(String((await send(service, path, { device })).json.Value));
  }

  async function enrol({ service }: Kit, ekCertificates: readonly Uint8Array[] = []): Promise<Bytes[]> {
    await using fetch = createServiceFetch({ ca: service.ca });
    return await enrolAttestationKey(tpm, { url: `${service.url}/attestation`, ek, ak, ekCertificates, fetch });
  }

  async function attest(
    challenge: Uint8Array,
    claim: 'authority-and-subject' | 'subject-only' = 'authority-and-subject',
  ): Promise<Bytes> {
    const statement = await attestKey(tpm, {
      ...{ key: key.object, authorization: 'windows-hello-policy', ak, challenge, akCreation: true },
    });
    return buildKast(statement, { claim, privateArea: new Uint8Array(8), authRequired: false });
  }

  async function register(
    { service, token }: Kit,
    given: { readonly attestation?: Bytes; readonly aikCertificate?: Bytes | undefined },
  ): Promise<RawAnswer> {
    const { attestation, aikCertificate } = given;
    return await send(service, '/EnrollmentServer/key/?api-version=1.0', {
      body: buildKeyRegistration({
        ...{ profile: 'attested', publicKey: publicKeyOf(key.area) },
        ...(attestation && { attestation }),
        ...(aikCertificate && { aikCertificate }),
      }),
      headers: { accept: 'application/json', authorization: `Bearer ${token}` },
    });
  }

  /** Deletes all keys, so that the TPM's key is new. */
  async function forget({ service }: Kit): Promise<void> {
    const token = await passwordToken(service, ADA, { resource: 'https://graph.microsoft.com' });
    const methods = `/graph/v1.0/users/${ADA.upn}/authentication/windowsHelloForBusinessMethods`;
    for (const { kid } of service.keys()) {
      const headers = { authorization: `Bearer ${token}` };
      expect((await send(service, `${methods}/${kid}`, { method: 'DELETE', headers })).status).toBe(204);
    }
  }

  const levels = ({ service }: Kit) => service.keys().map(({ attestation }) => attestation);
  const refusalOf = ({ status, json }: RawAnswer) => [status, json.code, json.message];
  const failed = (why: string) => [400, 'AttestationFailed', expect.stringContaining(why)];

  describe('with an attestation CA', () => {
    let kit: Kit;
    let chip: Uint8Array;
    beforeAll(async () => {
      chip = await maker.issueEkCertificate(ek.publicArea, { tpm: CHIP });
      kit = await open({ attestation: 'require', minTier: 'activated', ekRoots: [maker.root] });
    });
    afterAll(() => kit[Symbol.asyncDispose]());
    beforeEach(() => forget(kit));

    it("certifies an attestation key next to a known maker's endorsement key, and accepts its keys", async () => {
      const chain = await enrol(kit, [chip]);
      const [aikCertificate] = chain;
      const { ok } = await verifyChain(aikCertificate ?? EMPTY, {
        roots: [chain[1] ?? EMPTY],
        extendedKeyUsage: '2.23.133.8.3',
      });
      expect([chain.length, ok]).toEqual([2, true]);
      const answer = await register(kit, { attestation: await attest(await nonce(kit)), aikCertificate });
      expect(answer.status).toBe(200);
      expect(levels(kit)).toEqual(['activated']);
      await forget(kit);
      const bare = await attest(await nonce(kit), 'subject-only');
      expect((await register(kit, { attestation: bare, aikCertificate })).status).toBe(200);
      expect(levels(kit)).toEqual(['activated']);
    });

    it.each<[string, () => Promise<Parameters<typeof register>[1]>, string]>([
      ['no attestation', async () => ({}), 'not attested, but must be'],
      [
        'a challenge of its own',
        async () => ({ attestation: await attest(new Uint8Array(32).fill(7)) }),
        'does not answer a nonce',
      ],
      ['no certificate', async () => ({ attestation: await attest(await nonce(kit)) }), 'ak-trusted'],
      [
        'the certificate of another authority',
        async () => ({
          attestation: await attest(await nonce(kit)),
          aikCertificate: await maker.issueAkCertificate(ak.publicArea),
        }),
        'ak-trusted',
      ],
    ])('refuses a key with %s', async (_, given, why) => {
      expect(refusalOf(await register(kit, await given()))).toEqual(failed(why));
    });

    it('refuses an attestation that was changed, or is of another key', async () => {
      const [aikCertificate] = await enrol(kit, [chip]);
      const changed = await attest(await nonce(kit));
      changed[changed.length - 400] = (changed.at(-400) ?? 0) ^ 1;
      const outcome = refusalOf(await register(kit, { attestation: changed, aikCertificate }));
      expect(outcome.slice(0, 2)).toEqual([400, expect.stringMatching(/^(AttestationFailed|InvalidKey)$/)]);
    });

    it('accepts a nonce once, in time, and from the device that asked for it', async () => {
      const [aikCertificate] = await enrol(kit, [chip]);
      const once = await attest(await nonce(kit));
      const given = { attestation: once, aikCertificate };
      const answers = await Promise.all([register(kit, given), register(kit, given)]);
      answers.push(await register(kit, given));
      expect(new Set(answers.map(({ json }) => json.kid)).size).toBe(1);
      expect(levels(kit)).toEqual(['activated']);
      await forget(kit);
      expect(refusalOf(await register(kit, { attestation: once, aikCertificate }))).toEqual(
        failed('does not answer a nonce'),
      );

      const other = await joinDevice(kit.service.url, { ca: kit.service.ca, tenant: kit.service.tenantId, user: ADA });
      const others = await attest(await nonce({ ...kit, device: other }));
      expect(refusalOf(await register(kit, { attestation: others, aikCertificate }))).toEqual(
        failed('does not answer a nonce'),
      );

      const late = await attest(await nonce(kit));
      const before = clock;
      clock = new Date(before.getTime() + 300_001);
      const answer = await register(kit, { attestation: late, aikCertificate });
      clock = before;
      expect(refusalOf(answer)).toEqual(failed('does not answer a nonce'));
    });

    it('refuses keys that its certificate no longer covers', async () => {
      const [aikCertificate] = await enrol(kit, [chip]);
      const before = clock;
      clock = new Date(before.getTime() + 3 * 365 * 86_400_000);
      const token = await deviceCodeToken(kit.service, ADA.upn, { device: kit.device });
      const later = { ...kit, token };
      const answer = await register(later, { attestation: await attest(await nonce(later)), aikCertificate });
      clock = before;
      expect(refusalOf(answer)).toEqual(failed('AIK certificate is no longer valid'));
    });

    it.each<[string, (body: Record<string, unknown>) => object, number]>([
      ['no JSON object', () => [], 400],
      ['no key', ({ ek: _, ...rest }) => rest, 400],
      ['another endorsement key', (body) => ({ ...body, ek: toBase64(encodeSpki(publicKeyOf(ak.publicArea))) }), 403],
      ['no certificate of it', ({ ekCerts: _, ...rest }) => rest, 403],
      [
        'another attestation key',
        (body) => ({ ...body, params: { ...Object(body.params), public: toBase64(encode(TPMT_PUBLIC, key.area)) } }),
        403,
      ],
    ])('makes no challenge for a request with %s', async (_, change, status) => {
      const { service } = kit;
      let sent: Record<string, unknown> = {};
      await using fetch = createServiceFetch({ ca: service.ca });
      const watched: typeof globalThis.fetch = async (url, init) => {
        if (String(url).endsWith('/attest')) sent = JSON.parse(String(init?.body));
        return await fetch(url, init);
      };
      await enrolAttestationKey(tpm, {
        url: `${service.url}/attestation/`,
        ek,
        ak,
        ekCertificates: [chip],
        fetch: watched,
      });
      const good = await send(service, '/attestation/attest', { body: JSON.stringify(sent) });
      const bad = await send(service, '/attestation/attest', { body: JSON.stringify(change(sent)) });
      expect([good.status, bad.status, Object.keys(bad.json)]).toEqual([200, status, ['error']]);
    });

    it('gives no certificate for a secret that is not its own', async () => {
      const body = JSON.stringify({ secret: toBase64(new Uint8Array(32)) });
      expect((await send(kit.service, '/attestation/secret', { body })).status).toBe(403);
    });
  });

  it('knows an emulator by its certificate, and an endorsement key by the list', async () => {
    const virtual = await maker.issueEkCertificate(ek.publicArea);
    const spki = encodeSpki(publicKeyOf(ek.publicArea));
    await using kit = await open({ ekRoots: [maker.root], ekAllowList: [{ spki }] });
    const [first] = await enrol(kit, [virtual]);
    await register(kit, { attestation: await attest(await nonce(kit)), aikCertificate: first });
    expect(levels(kit)).toEqual(['virtual']);

    await using listed = await open({
      ekAllowList: [{ spki }],
      attestation: 'require',
      minTier: 'tpm-no-ek-certificate',
    });
    const [second] = await enrol(listed);
    await register(listed, { attestation: await attest(await nonce(listed)), aikCertificate: second });
    expect(levels(listed)).toEqual(['tpm-no-ek-certificate']);

    // An untrusted certificate names a chip; the CA's certificate must not repeat it.
    const forger = await createTestAuthority();
    const forged = await forger.issueEkCertificate(ek.publicArea, { tpm: CHIP });
    const [third] = await enrol(listed, [forged]);
    const { manufacturer, model, version } = await parseEkCertificate(third ?? EMPTY);
    expect([manufacturer, model, version]).toEqual(['id:00000000', 'unknown', 'id:00000000']);

    await using neither = await open({});
    await expect(enrol(neither, [virtual])).rejects.toMatchObject({ code: 'service-refused', status: 403 });
  });

  it('trusts other CAs for attestation keys if configured', async () => {
    await using kit = await open({ akRoots: [maker.root], attestation: 'require', minTier: 'ek-certificate' });
    const chip = await maker.issueAkCertificate(ak.publicArea, { tpm: CHIP });
    const taken = await register(kit, { attestation: await attest(await nonce(kit)), aikCertificate: chip });
    expect([taken.status, levels(kit)]).toEqual([200, ['ek-certificate']]);
    await forget(kit);
    const emulator = await maker.issueAkCertificate(ak.publicArea);
    const refused = await register(kit, { attestation: await attest(await nonce(kit)), aikCertificate: emulator });
    expect(refusalOf(refused)).toEqual(failed('tier'));
  });

  it('may be ignored, and is not looked at by the strict profile', async () => {
    await using careless = await open({ attestation: 'ignore' });
    expect((await register(careless, { attestation: await attest(new Uint8Array(32)) })).status).toBe(200);
    expect(levels(careless)).toEqual(['not-verified']);
    await using strict = await open({ profile: 'strict' });
    expect(refusalOf(await register(strict, {})).slice(0, 2)).toEqual([400, 'InvalidKey']);
    await using lenient = await open({});
    expect((await register(lenient, {})).status).toBe(200);
    expect(levels(lenient)).toEqual(['ATT_SOFT']);
    await using firm = await open({ minTier: 'virtual' });
    expect(refusalOf(await register(firm, {}))).toEqual(failed('not attested, but must be'));
  });
});
