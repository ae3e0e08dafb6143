import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttestationKey, createAttestationKey } from '../../src/attestation/attestation-key.ts';
import { makeCredential } from '../../src/attestation/credential.ts';
import { type EndorsementKey, openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import { equal, fromBase64, fromHex, toBase64, toHex, utf8 } from '../../src/bytes.ts';
import { digest } from '../../src/crypto/kdf.ts';
import { encodePem } from '../../src/crypto/pem.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import { verifyChain } from '../../src/crypto/verify-chain.ts';
import { parseCertificate } from '../../src/crypto/x509.ts';
import {
  decodeTpm2ToolsCredential,
  encodeSmallstepCredential,
} from '../../src/formats/services/credential-encodings.ts';
import { enrolAttestationKey } from '../../src/registration/attestation-ca.ts';
import { decode, encode } from '../../src/tpm/codec/index.ts';
import { objectName } from '../../src/tpm/names.ts';
import { publicKeyOf } from '../../src/tpm/public-key.ts';
import { TPMS_ATTEST } from '../../src/tpm/structures/attest.ts';
import { TPM2B_PUBLIC, TPMT_PUBLIC, type TpmtPublic } from '../../src/tpm/structures/object.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import { buildCommonName, issue, issueAuthority, type TestCertificate } from '../certificates.ts';
import { missingPrograms } from '../programs.ts';
import { libtpmsMissing } from './support/libtpms.ts';
import { leftovers, newTpm } from './support/new-tpm.ts';

const AK_PURPOSE = '2.23.133.8.3';
const SECRET = fromHex('00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff');

type Make = (ek: TpmtPublic, akName: Uint8Array, secret: Uint8Array) => Parameters<typeof encodeSmallstepCredential>[0];

/** Deviations of a test's CA. */
interface Behaviour {
  readonly make?: Make;
  /** Replaces the attestation key certificate. */
  readonly chain?: readonly Uint8Array[];
  /** Answers a path with this status, or never. */
  readonly fails?: Readonly<Record<string, number | 'never'>>;
  readonly answers?: Readonly<Record<string, string>>;
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, never>> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}

/** An attestation CA as smallstep's: it knows the endorsement keys of the TPMs that it is for. */
class TestAuthority {
  readonly root: TestCertificate;
  readonly requests: Record<string, never>[] = [];
  readonly #eks: readonly TpmtPublic[];
  behaviour: Behaviour = {};
  #ak: TpmtPublic | undefined;

  constructor(root: TestCertificate, eks: readonly TpmtPublic[]) {
    this.root = root;
    this.#eks = eks;
  }

  readonly listen: RequestListener = async (request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://ca');
    const { fails = {}, answers = {} } = this.behaviour;
    const body = await bodyOf(request);
    this.requests.push(body);
    if (fails[pathname] === 'never') return;
    response.statusCode = fails[pathname] ?? 200;
    response.end(answers[pathname] ?? JSON.stringify(await this.#answer(pathname, body)));
  };

  async #answer(path: string, body: Record<string, never>): Promise<object> {
    if (path === '/ca/attest') return this.#attest(body);
    if (path === '/ca/secret') return await this.#certify(body);
    return { error: `no ${path}` };
  }

  #attest({ ek, params }: Record<string, Record<string, string> & string>): object {
    const key = this.#eks.find((one) => toBase64(encodeSpki(publicKeyOf(one))) === ek);
    const ak = decode(TPMT_PUBLIC, fromBase64(params?.public ?? ''));
    const { attested } = decode(TPMS_ATTEST, fromBase64(params?.createAttestation ?? '')) as {
      attested?: { creationHash?: Uint8Array; objectName?: Uint8Array };
    };
    const creationHash = digest('sha256', fromBase64(params?.createData ?? ''));
    const isProved =
      equal(attested?.creationHash ?? SECRET, creationHash) && equal(attested?.objectName ?? SECRET, objectName(ak));
    if (key === undefined || !isProved) return { error: 'not proved' };
    this.#ak = ak;
    const make: Make =
      this.behaviour.make ?? ((of, name, secret) => makeCredential({ ek: of, objectName: name, secret }));
    return encodeSmallstepCredential(make(key, objectName(ak), SECRET));
  }

  async #certify({ secret }: Record<string, string>): Promise<object> {
    if (secret !== toBase64(SECRET) || this.#ak === undefined) return { error: 'not activated' };
    const spki = encodeSpki(publicKeyOf(this.#ak));
    const leaf = await issue({ subject: [], spki, purposes: [AK_PURPOSE], ca: false }, this.root);
    return { chain: (this.behaviour.chain ?? [leaf.der, this.root.der]).map(toBase64) };
  }
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function closed(server: Server): Promise<void> {
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
}

describe.skipIf(await libtpmsMissing())('enrolAttestationKey', () => {
  let tpm: Tpm;
  let ek: EndorsementKey;
  let ak: AttestationKey;
  let authority: TestAuthority;
  let server: Server;
  let url: string;

  beforeAll(async () => {
    tpm = await newTpm();
    ek = await openEndorsementKey(tpm, { template: 'L-2' });
    ak = await createAttestationKey(tpm, { algorithm: 'p-256' });
    authority = new TestAuthority(await issueAuthority('attestation CA'), [ek.publicArea]);
    server = createServer(authority.listen);
    url = `http://127.0.0.1:${await listening(server)}/ca`;
  });
  afterAll(async () => {
    await closed(server);
    await tpm.close();
  });

  const enrol = (behaviour: Behaviour = {}, more: object = {}) => {
    authority.behaviour = behaviour;
    return enrolAttestationKey(tpm, { url, ek, ak, ...more });
  };

  it('gets a certificate of the attestation key, under the root of the authority', async () => {
    const chain = await enrol();
    expect(chain).toHaveLength(2);
    const [leaf = new Uint8Array(0)] = chain;
    const { publicKey } = await parseCertificate(leaf);
    expect(publicKey()).toEqual(publicKeyOf(ak.publicArea));
    expect((await verifyChain(leaf, { roots: [authority.root.der], extendedKeyUsage: AK_PURPOSE })).ok).toBe(true);
    expect(await leftovers(tpm)).toHaveLength(2);
  });

  it('tells the authority who made the TPM, and the certificates of the endorsement key', async () => {
    authority.requests.length = 0;
    await enrol({}, { url: `${url}/`, ekCertificates: [fromHex('3000')] });
    const [attest, secret] = authority.requests;
    expect(attest).toMatchObject({
      tpmInfo: { version: 2, manufacturer: '1229081856', firmwareVersion: expect.stringMatching(/^\d+\.\d+$/) },
      ekCerts: ['MAA='],
    });
    expect(secret).toEqual({ secret: toBase64(SECRET) });
  });

  const forOther: Make = (of, name, secret) => makeCredential({ ek: of, objectName: name.slice().fill(7, 2), secret });
  it.each<[string, Behaviour, string]>([
    ['a credential for another key', { make: forOther }, 'credential-invalid'],
    ['an answer without a credential', { answers: { '/ca/attest': '{"error":"unknown key"}' } }, 'service-answer'],
    ['an answer that is no JSON', { answers: { '/ca/attest': 'no' } }, 'service-answer'],
    ['a refusal of the key', { fails: { '/ca/attest': 403 } }, 'service-refused'],
    ['a refusal of the secret', { fails: { '/ca/secret': 401 } }, 'service-refused'],
    ['an answer without certificates', { answers: { '/ca/secret': '{"chain":[]}' } }, 'service-answer'],
    ['a certificate that is none', { chain: [utf8('x')] }, 'service-answer'],
  ])('refuses %s', async (_, behaviour, code) => {
    await expect(enrol(behaviour)).rejects.toMatchObject({ code });
    expect(await leftovers(tpm)).toHaveLength(2);
  });

  it('says to check the endorsement key, not an account, after a refusal', async () => {
    await expect(enrol({ fails: { '/ca/attest': 403 } })).rejects.toMatchObject({
      remedy: "check the endorsement key's certificate, and whether the CA trusts its issuer",
    });
  });

  it('refuses a certificate of another key', async () => {
    const other = await issue({ subject: buildCommonName('other'), purposes: [AK_PURPOSE] }, authority.root);
    await expect(enrol({ chain: [other.der] })).rejects.toMatchObject({ code: 'service-answer' });
  });

  it('gives up after its time, and with its signal', async () => {
    const never: Behaviour = { fails: { '/ca/attest': 'never' } };
    await expect(enrol(never, { timeoutMs: 50 })).rejects.toMatchObject({ code: 'service-timeout' });
    const aborter = new AbortController();
    const enrolling = enrol(never, { signal: aborter.signal });
    aborter.abort(new Error('enough'));
    await expect(enrolling).rejects.toThrow('enough');
  });

  it('reports an address without a listener', async () => {
    const gone = createServer();
    const port = await listening(gone);
    await closed(gone);
    await expect(enrol({}, { url: `http://127.0.0.1:${port}/` })).rejects.toMatchObject({
      code: 'service-unreachable',
    });
  });

  it('speaks to no authority whose TLS certificate is not trusted', async () => {
    const { der, keys } = await issueAuthority('tls', undefined, { names: [{ ip: new Uint8Array([127, 0, 0, 1]) }] });
    const key = encodePem('PRIVATE KEY', new Uint8Array(await crypto.subtle.exportKey('pkcs8', keys.privateKey)));
    const tls = createTlsServer({ key, cert: encodePem('CERTIFICATE', der) }, authority.listen);
    const port = await listening(tls);
    authority.requests.length = 0;
    await expect(enrol({}, { url: `https://127.0.0.1:${port}/ca` })).rejects.toMatchObject({
      code: 'service-unreachable',
    });
    expect(authority.requests).toEqual([]);
    await closed(tls);
  });

  it('sends nothing without TLS beyond this machine', async () => {
    await expect(enrol({}, { url: 'http://ca.example/' })).rejects.toThrow(TypeError);
  });

  it.skipIf(missingPrograms('tpm2_makecredential') !== undefined)(
    'accepts the credential of tpm2_makecredential',
    async () => {
      const directory = mkdtempSync(join(tmpdir(), 'keyprov-ca-'));
      const path = (name: string) => join(directory, name);
      const make: Make = (of, name, secret) => {
        writeFileSync(path('ek.pub'), encode(TPM2B_PUBLIC, of));
        writeFileSync(path('secret'), secret);
        const args = ['-T', 'none', '-u', path('ek.pub'), '-s', path('secret'), '-n', toHex(name), '-o', path('out')];
        execFileSync('tpm2_makecredential', args);
        return decodeTpm2ToolsCredential(readFileSync(path('out')));
      };
      expect(await enrol({ make })).toHaveLength(2);
      rmSync(directory, { recursive: true });
    },
  );
});
