import { spawnSync } from 'node:child_process';
import { KeyObject, webcrypto } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Integer, Utf8String } from 'asn1js';
import { SignJWT } from 'jose';
import * as pkijs from 'pkijs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import 'reflect-metadata';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import { createCrypto, type KeyprovCrypto } from '../../src/webcrypto/index.ts';
import { newTpm, tpmMissing } from './support/new-tpm.ts';

// @peculiar/x509 2.2.0 must find reflect-metadata loaded.
const x509 = await import('@peculiar/x509');
const missing = await tpmMissing();

let tpm: Tpm;
let crypto: KeyprovCrypto;
let directory: string;
beforeAll(async () => {
  if (missing !== undefined) return;
  tpm = await newTpm();
  crypto = createCrypto({ provider: await openTpmKeyProvider(tpm) });
  directory = await mkdtemp(join(tmpdir(), 'keyprov-webcrypto-'));
});
afterAll(async () => {
  if (missing !== undefined) return;
  await tpm.close();
  await rm(directory, { recursive: true });
});

/** OpenSSL's output for a file with that text. FILE in the arguments is its path. */
async function openssl(args: string, pem: string): Promise<string> {
  const path = join(directory, 'in.pem');
  await writeFile(path, pem);
  const { stdout, stderr } = spawnSync('openssl', args.replaceAll('FILE', path).split(' '), { encoding: 'utf8' });
  return stdout + stderr;
}
/** Whether a certificate is self-signed, checked in 2027. */
const isSelfSigned = (pem: string) => openssl('verify -attime 1800000000 -check_ss_sig -CAfile FILE FILE', pem);
const pemOf = (label: string, der: ArrayBuffer): string => {
  const lines = Buffer.from(der).toString('base64').replace(/.{64}/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
};

const rsa = (name: string, hash: string) => ({
  name,
  hash,
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
});
const KINDS = [
  [rsa('RSASSA-PKCS1-v1_5', 'SHA-256'), 'RSASSA-PKCS1-v1_5 with SHA-256'],
  [rsa('RSA-PSS', 'SHA-256'), 'RSA-PSS with SHA-256'],
  [{ name: 'ECDSA', namedCurve: 'P-256' }, 'ECDSA on P-256'],
  [{ name: 'ECDSA', namedCurve: 'P-384' }, 'ECDSA on P-384'],
] as const;
const newPair = (algorithm: object): Promise<webcrypto.CryptoKeyPair> =>
  Reflect.apply(crypto.subtle.generateKey, crypto.subtle, [algorithm, false, ['sign', 'verify']]);
const hashOf = (algorithm: object): string =>
  'namedCurve' in algorithm && algorithm.namedCurve === 'P-384' ? 'SHA-384' : 'SHA-256';

describe.skipIf(missing)('pkijs with a TPM key', () => {
  const name = () => new pkijs.AttributeTypeAndValue({ type: '2.5.4.3', value: new Utf8String({ value: 'keyprov' }) });

  it.each(KINDS.map(([algorithm, title]) => [title, algorithm] as const))(
    'makes a request and a certificate: %s',
    async (_, algorithm) => {
      const engine = new pkijs.CryptoEngine({ name: 'keyprov', crypto });
      const { publicKey, privateKey } = await newPair(algorithm);

      const request = new pkijs.CertificationRequest();
      request.subject.typesAndValues.push(name());
      await request.subjectPublicKeyInfo.importKey(publicKey, engine);
      await request.sign(privateKey, hashOf(algorithm), engine);
      expect(await request.verify(engine)).toBe(true);
      const pem = pemOf('CERTIFICATE REQUEST', request.toSchema(true).toBER());
      expect(await openssl('req -verify -noout -in FILE', pem)).toContain('verify OK');
      expect(await openssl('req -subject -noout -in FILE', pem)).toContain('keyprov');

      const certificate = new pkijs.Certificate({ serialNumber: new Integer({ value: 1 }) });
      certificate.issuer.typesAndValues.push(name());
      certificate.subject.typesAndValues.push(name());
      certificate.notBefore.value = new Date('2026-01-01T00:00:00Z');
      certificate.notAfter.value = new Date('2036-01-01T00:00:00Z');
      await certificate.subjectPublicKeyInfo.importKey(publicKey, engine);
      await certificate.sign(privateKey, hashOf(algorithm), engine);
      expect(await certificate.verify(undefined, engine)).toBe(true);
      expect(await isSelfSigned(pemOf('CERTIFICATE', certificate.toSchema(true).toBER()))).toMatch(/: OK\n$/);
    },
  );

  it('signs with it as the engine of all', async () => {
    const before = pkijs.getEngine();
    pkijs.setEngine('keyprov', new pkijs.CryptoEngine({ name: 'keyprov', crypto }));
    try {
      const { publicKey, privateKey } = await newPair({ name: 'ECDSA', namedCurve: 'P-256' });
      const request = new pkijs.CertificationRequest();
      await request.subjectPublicKeyInfo.importKey(publicKey);
      await request.sign(privateKey, 'SHA-256');
      expect(await request.verify()).toBe(true);
    } finally {
      pkijs.setEngine(before.name, before.crypto ?? undefined);
    }
  });
});

describe.skipIf(missing)('@peculiar/x509 with a TPM key', () => {
  it.each(KINDS.map(([algorithm, title]) => [title, algorithm] as const))(
    'makes a request and a certificate: %s',
    async (_, algorithm) => {
      const keys = await newPair(algorithm);
      const signingAlgorithm = { ...algorithm, hash: hashOf(algorithm), saltLength: 32 };
      const request = await x509.Pkcs10CertificateRequestGenerator.create(
        { name: 'CN=keyprov', keys, signingAlgorithm },
        crypto,
      );
      expect(await request.verify(crypto)).toBe(true);
      expect(await request.verify(webcrypto)).toBe(true);
      expect(await openssl('req -verify -noout -in FILE', request.toString('pem'))).toContain('verify OK');

      const certificate = await x509.X509CertificateGenerator.createSelfSigned(
        {
          serialNumber: '01',
          name: 'CN=keyprov',
          notBefore: new Date('2026-01-01T00:00:00Z'),
          notAfter: new Date('2036-01-01T00:00:00Z'),
          keys,
          signingAlgorithm,
        },
        crypto,
      );
      expect(await certificate.verify({ signatureOnly: true }, crypto)).toBe(true);
      expect(await certificate.verify({ signatureOnly: true }, webcrypto)).toBe(true);
      expect(await isSelfSigned(certificate.toString('pem'))).toMatch(/: OK\n$/);
    },
  );
});

describe.skipIf(missing)('a TPM key', () => {
  it("cannot be passed to Node's own crypto or to jose, which uses it", async () => {
    const { publicKey, privateKey } = await newPair({ name: 'ECDSA', namedCurve: 'P-256' });
    const use = { name: 'ECDSA', hash: 'SHA-256' };
    const data = new Uint8Array(1);
    await expect(webcrypto.subtle.sign(use, privateKey, data)).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
    const signed = new SignJWT({}).setProtectedHeader({ alg: 'ES256' }).sign(privateKey);
    await expect(signed).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
    for (const key of [publicKey, privateKey]) {
      expect(() => KeyObject.from(key)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }));
    }
  });
});
