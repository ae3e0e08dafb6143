import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import { type EkInfo, readEkCertificates } from '../../src/attestation/read-ek-certificates.ts';
import { decodePublicArea } from '../../src/attestation/statement.ts';
import { fromHex, toBase64 } from '../../src/bytes.ts';
import { decodeSpki, encodeSpki } from '../../src/crypto/public-key.ts';
import { buildEkPublicArea } from '../../src/formats/tcg/ek-public-area.ts';
import { ekCertificateService } from '../../src/registration/ek-certificate-service.ts';
import { createServiceFetch, type ServiceFetch } from '../../src/registration/service-fetch.ts';
import { publicKeyOf } from '../../src/tpm/public-key.ts';
import { buildCommonName, issue } from '../certificates.ts';
import { TestRoots } from './support/key-service.ts';
import { newTpm, tpmMissing } from './support/new-tpm.ts';

interface Vector {
  readonly description: string;
  readonly input: { readonly spki: string };
  readonly expect: { readonly intel: string; readonly amd: string };
}

const missing = await tpmMissing();
const vectors: readonly Vector[] = JSON.parse(readFileSync('test/vectors/ek-certificate-service.json', 'utf8'));
const [rsa] = vectors as readonly [Vector];

/** The description of a TPM with this maker and endorsement key, as a service receives it. */
function infoOf(spki: Uint8Array, manufacturer: string): EkInfo {
  const vendor = { manufacturer, manufacturerId: 0, vendorString: '', firmwareVersion: 0n, revision: '1.38' };
  return { publicArea: decodePublicArea(buildEkPublicArea(decodeSpki(spki))), spki: new Uint8Array(spki), vendor };
}

const certificateOf = async (spki: Uint8Array) => (await issue({ subject: buildCommonName('EK'), spki })).der;
/** As Intel's service writes a certificate: base64url whose padding is escaped once more. */
const intelAnswer = (der: Uint8Array, pubhash = 'x'): string =>
  JSON.stringify({
    pubhash,
    certificate: toBase64(der).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '%3D'),
  });

describe('ekCertificateService', () => {
  let server: Server;
  let fetch: ServiceFetch;
  let untrusting: ServiceFetch;
  let origin: string;
  let asked: string[] = [];
  let answer: RequestListener = (_, response) => response.end();

  beforeAll(async () => {
    const roots = await TestRoots.create();
    const { certificate, privateKey } = await roots.forHost('localhost');
    server = createServer({ cert: certificate, key: privateKey }, (request, response) => {
      asked.push(`${request.method} ${request.url}`);
      answer(request, response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    origin = `https://localhost:${(server.address() as AddressInfo).port}`;
    fetch = createServiceFetch({ ca: roots.pem });
    untrusting = createServiceFetch();
  });
  afterEach(() => {
    asked = [];
  });
  afterAll(async () => {
    await Promise.all([fetch.close(), untrusting.close()]);
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  });

  const service = (options: object = {}) =>
    ekCertificateService({ fetch, urls: { intel: `${origin}/ekcertservice`, amd: `${origin}/pki/aia/` }, ...options });
  const ask = (manufacturer: string, spki: string, options: object = {}) =>
    service(options)(infoOf(fromHex(spki), manufacturer), {});

  it.each(vectors)('asks Intel for a digest of the key: $description', async ({ input, expect: { intel } }) => {
    const der = await certificateOf(fromHex(input.spki));
    answer = (_, response) => response.end(intelAnswer(der, intel));
    expect(await ask('INTC', input.spki)).toEqual([der]);
    expect(asked).toEqual([`GET /ekcertservice/${intel}`]);
  });

  it.each(vectors)('asks AMD for a digest of the key: $description', async ({ input, expect: { amd } }) => {
    const der = await certificateOf(fromHex(input.spki));
    answer = (_, response) => response.end(der);
    expect(await ask('AMD', input.spki)).toEqual([der]);
    expect(asked).toEqual([`GET /pki/aia/${amd}`]);
  });

  it('sends no request for a TPM of another maker', async () => {
    expect(await ask('IFX', rsa.input.spki)).toEqual([]);
    expect(asked).toEqual([]);
  });

  it('finds none if the service has none', async () => {
    answer = (_, response) => response.writeHead(404).end('<html>');
    expect(await ask('AMD', rsa.input.spki)).toEqual([]);
    expect(await ask('INTC', rsa.input.spki)).toEqual([]);
  });

  it('does not follow a redirection', async () => {
    answer = (_, response) => response.writeHead(302, { location: `${origin}/elsewhere` }).end();
    await expect(ask('AMD', rsa.input.spki)).rejects.toMatchObject({ code: 'service-refused', status: 302 });
    expect(asked).toHaveLength(1);
  });

  it('refuses the certificate of another key', async () => {
    const { der } = await issue({ subject: buildCommonName('another') });
    answer = (_, response) => response.end(der);
    await expect(ask('AMD', rsa.input.spki)).rejects.toMatchObject({
      code: 'service-answer',
      message: expect.stringContaining('the endorsement key certificate in the response is for another key'),
    });
  });

  it.each<[string, string, string | Uint8Array]>([
    ['a page in place of a certificate', 'AMD', '<html>busy</html>'],
    ['nothing', 'AMD', ''],
    ['nothing', 'INTC', ''],
    ['JSON without a certificate', 'INTC', '{"pubhash":"x"}'],
    ['a certificate in no base64url', 'INTC', '{"certificate":"%%%"}'],
    ['more than 128 KiB', 'AMD', new Uint8Array(131_073).fill(0x30)],
  ])('refuses %s of %s', async (_, maker, body) => {
    answer = (_request, response) => response.end(body);
    await expect(ask(maker, rsa.input.spki)).rejects.toMatchObject({ code: 'service-answer' });
  });

  it('says that a service which is overloaded may be asked again', async () => {
    answer = (_, response) => response.writeHead(503, { 'retry-after': '7' }).end();
    await expect(ask('INTC', rsa.input.spki)).rejects.toMatchObject({
      code: 'service-unreachable',
      retry: 'backoff',
      retryAfterMs: 7000,
    });
  });

  it('gives up a service that begins an answer and does not end it', async () => {
    answer = (_, response) => response.write('{');
    await expect(ask('AMD', rsa.input.spki, { timeoutMs: 300 })).rejects.toMatchObject({ code: 'service-timeout' });
  });

  it('does not speak to a server whose certificate is not trusted', async () => {
    await expect(ask('AMD', rsa.input.spki, { fetch: untrusting })).rejects.toMatchObject({
      code: 'service-unreachable',
    });
    expect(asked).toEqual([]);
  });

  it('asks only over https', async () => {
    const urls = { amd: 'http://ftpm.example/' };
    await expect(ask('AMD', rsa.input.spki, { urls })).rejects.toThrow('use https');
  });

  it.skipIf(missing !== undefined)('supplies readEkCertificates with certificates that the TPM lacks', async () => {
    await using tpm = await newTpm();
    await using ek = await openEndorsementKey(tpm);
    const spki = encodeSpki(publicKeyOf(ek.publicArea));
    const der = await certificateOf(spki);
    answer = (_, response) => response.end(der);
    const lookUp = service();
    const asAmd: typeof lookUp = (info, options) =>
      lookUp({ ...info, vendor: { ...info.vendor, manufacturer: 'AMD' } }, options);
    const { certificates } = await readEkCertificates(tpm, { fetcher: { ek: ek.publicArea, lookUp: asAmd } });
    expect(certificates).toEqual([{ der, source: 'fetched' }]);
  });
});
