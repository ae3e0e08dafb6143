import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAttestationKey } from '../../src/attestation/attestation-key.ts';
import { attestKey } from '../../src/attestation/certify.ts';
import { type AttestationStatement, verifyStatement } from '../../src/attestation/index.ts';
import { fromHex, toHex, utf8 } from '../../src/bytes.ts';
import { digest } from '../../src/crypto/kdf.ts';
import { encodePem } from '../../src/crypto/pem.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import type { SigningKey } from '../../src/formats/services/jws.ts';
import { buildAkCertificate } from '../../src/formats/tcg/ak-certificate.ts';
import { findCertifiedAk } from '../../src/formats/tcg/certified-ak.ts';
import { buildEkCertificate } from '../../src/formats/tcg/ek-certificate.ts';
import {
  buildTcgCsrIdevid,
  parseTcgCsrIdevid,
  statementFromIdevid,
  verifyTcgCsrIdevid,
} from '../../src/formats/tcg/tcg-csr-idevid.ts';
import {
  buildWcceAttributes,
  encodeEndorsementKeyInfo,
  parseWcceAttributes,
} from '../../src/formats/windows/ms-wcce.ts';
import { buildPkinitCertificate, parsePkinitCertificate } from '../../src/formats/windows/pkinit-certificate.ts';
import {
  buildCertificateRequest,
  parseCertificateRequest,
  verifyCertificateRequest,
} from '../../src/formats/x509/certificate-request.ts';
import { buildEnvelope } from '../../src/formats/x509/enveloped-data.ts';
import { extendedKeyUsage } from '../../src/formats/x509/extensions.ts';
import { type CertificateAuthority, issueCertificate, readTbs } from '../../src/formats/x509/issue-certificate.ts';
import {
  buildLampsAttestation,
  decodeTpmCertify,
  parseLampsAttestation,
  statementFromTpmCertify,
} from '../../src/formats/x509/lamps-attestation.ts';
import { buildCommonName, encodeName } from '../../src/formats/x509/names.ts';
import { openSoftwareKeyProvider } from '../../src/keys/software-provider.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { Sign } from '../../src/tpm/commands/signing.ts';
import { TPM_ALG, TPM_RH, TPM_ST } from '../../src/tpm/constants.ts';
import { publicKeyOf } from '../../src/tpm/public-key.ts';
import { encodeBareSignature } from '../../src/tpm/signature.ts';
import { akTemplate, ekTemplate } from '../../src/tpm/templates.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import { ecKey, rsaKey } from '../signing-key.ts';
import { newTpm, tpmMissing } from './support/new-tpm.ts';

// @peculiar/x509 2.2.0 must find this one loaded.
await import('reflect-metadata');
const { Pkcs10CertificateRequest, X509Certificate } = await import('@peculiar/x509');

const EMPTY = new Uint8Array(0);
const CHALLENGE = utf8('the nonce of the authority');
const TPM_IDENTITY = { manufacturer: 0x49424d00, model: 'virtual', version: 0x20191023 };
const VALIDITY = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };

const directory = mkdtempSync(join(tmpdir(), 'keyprov-formats-'));
afterAll(() => rmSync(directory, { recursive: true }));

let files = 0;
function file(content: string | Uint8Array): string {
  const path = join(directory, String(files++));
  writeFileSync(path, content);
  return path;
}

/** Runs OpenSSL. @returns all that it wrote; fails unless it ended well. */
function openssl(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
  expect({ status, stderr }).toMatchObject({ status: 0 });
  return stdout + stderr;
}

const pem = (der: Uint8Array): string => file(encodePem('CERTIFICATE', der));

/** An authority that is there in memory. */
async function newAuthority(): Promise<CertificateAuthority> {
  const key = ecKey('P-256');
  const name = encodeName(buildCommonName('Attestation CA'));
  const ca = { oid: '2.5.29.19', critical: true, value: fromHex('30030101ff') };
  const content = { issuer: name, subject: name, publicKey: key.publicKey, extensions: [ca], ...VALIDITY };
  return { key, certificate: await issueCertificate(content, key) };
}

const missing = await tpmMissing();
let tpm: Tpm | undefined;
const openedTpm = (): Tpm => tpm ?? expect.unreachable('no TPM');
beforeAll(async () => {
  if (missing === undefined) tpm = await newTpm();
});
afterAll(() => tpm?.close());

const pin = utf8('314159');
const PROVIDERS = {
  TPM: () => openTpmKeyProvider(openedTpm()),
  software: async () => openSoftwareKeyProvider(),
};

const KEYS = [
  ['TPM', 'rsa-2048'],
  ['TPM', 'p-256'],
  ['software', 'rsa-2048'],
  ['software', 'p-256'],
  ['software', 'p-384'],
] as const;

describe.each(KEYS)('a %s key %s with a PIN', (backend, algorithm) => {
  const isSkipped = backend === 'TPM' && missing !== undefined;
  let key: SigningKey;
  let exchange: Uint8Array;
  beforeAll(async () => {
    if (isSkipped) return;
    const provider = await PROVIDERS[backend]();
    const provided = await provider.create({ algorithm, pin });
    key = { publicKey: provided.publicKey, sign: (options) => provider.sign(provided, { ...options, pin }) };
    const content = {
      issuer: encodeName([]),
      subject: encodeName(buildCommonName('CA-Xchg')),
      publicKey: rsaKey.publicKey,
    };
    exchange = await issueCertificate({ ...content, extensions: [], ...VALIDITY }, rsaKey);
  });

  it.skipIf(isSkipped)('makes a request that OpenSSL and @peculiar/x509 verify', async () => {
    const der = await buildCertificateRequest(
      {
        subject: [[{ type: '2.5.4.6', value: 'DE' }], ...buildCommonName('Zoë')],
        alternativeNames: [
          { kind: 'dns', value: 'host.example' },
          { kind: 'permanent-identifier', value: 'abcd', assigner: '2.23.133.12.1' },
          { kind: 'hardware-module', type: '2.23.133.1.2', serialNumber: fromHex('c0ffee') },
        ],
        extensions: [extendedKeyUsage('1.3.6.1.5.5.7.3.2')],
        attributes: buildWcceAttributes({
          kast: fromHex('4b415354'),
          keyInfo: { ek: { publicKey: rsaKey.publicKey } },
          exchangeCertificate: exchange,
        }),
      },
      key,
    );
    const path = file(der);
    expect(openssl('req', '-inform', 'DER', '-in', path, '-verify', '-noout')).toContain('self-signature verify OK');
    const text = openssl('req', '-inform', 'DER', '-in', path, '-noout', '-text');
    for (const part of ['C = DE', 'DNS:host.example', 'Permanent Identifier', '1.3.6.1.5.5.7.8.4', 'TLS Web Client']) {
      expect(text).toContain(part);
    }
    // OpenSSL 3.0 prints no value of an attribute that it does not know.
    for (const last of ['23', '25', '33']) expect(text).toContain(`1.3.6.1.4.1.311.21.${last} `);
    const request = new Pkcs10CertificateRequest(der);
    expect(await request.verify()).toBe(true);
    expect(request.subject).toBe('C=DE, CN=Zoë');
    const read = parseCertificateRequest(der);
    expect(verifyCertificateRequest(read)).toBe(true);
    expect(toHex(read.spki)).toBe(toHex(encodeSpki(key.publicKey)));
    expect(Object.keys(parseWcceAttributes(read.attributes)).sort()).toEqual(['ekInfo', 'kast', 'kspName']);
  });

  it.skipIf(isSkipped)(
    'makes a certificate in the form of Windows that OpenSSL and @peculiar/x509 verify',
    async () => {
      const guid = '8227cfea-af53-4b75-a4e3-ef582a52741e';
      const identity = { sid: 'S-1-5-21-1-2-3-1106', deviceId: guid, tenantId: guid, upn: 'user@contoso.test' };
      const der = await buildPkinitCertificate(identity, key);
      const path = pem(der);
      expect(openssl('verify', '-check_ss_sig', '-CAfile', path, path)).toContain(': OK');
      const text = openssl('x509', '-in', path, '-noout', '-text', '-nameopt', 'utf8');
      expect(text).toMatch(/Subject: CN=S-1-5-21-1-2-3-1106\/.*\/login\.windows\.net\/.*\/user@contoso\.test/);
      expect(text).toContain('Microsoft Smartcard Login');
      expect(text).toMatch(/X509v3 Basic Constraints: critical\s+CA:FALSE/);
      expect(await new X509Certificate(der).verify()).toBe(true);
      const { problems, identity: read } = await parsePkinitCertificate(der);
      expect([problems, read]).toEqual([[], identity]);
    },
  );
});

describe.skipIf(missing !== undefined)('a key of a TPM, certified by its attestation key', () => {
  let authority: CertificateAuthority;
  beforeAll(async () => {
    authority = await newAuthority();
  });

  it.each([
    ['rsa-2048', 'rsa-2048'],
    ['rsa-2048', 'p-256'],
    ['p-256', 'rsa-2048'],
    ['p-256', 'p-256'],
  ] as const)('of %s by one of %s, is attested in a request', async (algorithm, akAlgorithm) => {
    const provider = await openTpmKeyProvider(openedTpm());
    const provided = await provider.create({ algorithm });
    const key = { publicKey: provided.publicKey, sign: provider.sign.bind(provider, provided) };
    await using ak = await createAttestationKey(openedTpm(), { algorithm: akAlgorithm });
    const publicKey = publicKeyOf(ak.publicArea);
    const certificate = await buildAkCertificate({ publicKey, tpm: TPM_IDENTITY, ...VALIDITY }, authority);
    const statement = await provider.useWithoutPin(provided, {}, ({ object }) =>
      attestKey(openedTpm(), {
        ...{ key: object, authorization: 'windows-hello-policy', ak, challenge: CHALLENGE },
        akCertificates: [certificate],
      }),
    );

    const options = { subject: buildCommonName('key'), attributes: [buildLampsAttestation(statement)] };
    const path = file(await buildCertificateRequest(options, key));
    expect(openssl('req', '-inform', 'DER', '-in', path, '-verify', '-noout')).toContain('self-signature verify OK');
    const text = openssl('req', '-inform', 'DER', '-in', path, '-noout', '-text');
    expect(text).toMatch(/1\.2\.840\.113549\.1\.9\.16\.2\.59|id-aa-evidence|id-aa-attestation/);
    const [bundle] = options.attributes[0]?.values ?? [];
    const tree = openssl('asn1parse', '-inform', 'DER', '-in', file(bundle ?? EMPTY));
    expect(
      tree
        .split('\n')
        .slice(0, 7)
        .map((line) => line.replace(/^.*(?:prim|cons): /, '').trim()),
    ).toMatchObject([
      ...['SEQUENCE', 'SEQUENCE', 'SEQUENCE'],
      expect.stringMatching(/^OBJECT +:2\.23\.133\.20\.1$/),
      'SEQUENCE',
      expect.stringMatching(/^OCTET STRING +\[HEX DUMP\]:FF54434780170/),
      expect.stringMatching(/^OCTET STRING/),
    ]);

    const request = parseCertificateRequest(await buildCertificateRequest(options, key));
    const [read] = parseLampsAttestation(request.attributes);
    const certify = decodeTpmCertify(read?.attestations[0]?.statement ?? EMPTY);
    const found = findCertifiedAk(certify, read?.certificates ?? []);
    if (found === undefined) return expect.unreachable();
    const result = verifyStatement(statementFromTpmCertify(certify, found), {
      challenge: CHALLENGE,
      attestationKey: { spki: readTbs(certificate).spki.der },
      expectedKey: { spki: request.spki },
    });
    expect(result.findings.filter(({ status }) => status === 'fail')).toEqual([]);
    const verified = openssl('verify', '-CAfile', pem(authority.certificate), pem(found.certificates?.[0] ?? EMPTY));
    expect(verified).toContain(': OK');
  });

  it.each(['rsa-2048', 'p-256'] as const)('of %s is an IDevID, and asks for its certificate', async (algorithm) => {
    const template = akTemplate(algorithm);
    const { restricted, ...objectAttributes } = template.objectAttributes;
    expect(restricted).toBe(true);
    const { objectHandle, outPublic } = await openedTpm().run(CreatePrimary, {
      primaryHandle: TPM_RH.ENDORSEMENT,
      inSensitive: { userAuth: EMPTY, data: EMPTY },
      inPublic: { ...template, objectAttributes },
      outsideInfo: EMPTY,
      creationPCR: [],
    });
    const validation = { tag: TPM_ST.HASHCHECK, hierarchy: TPM_RH.NULL, digest: EMPTY } as const;
    const key: SigningKey = {
      publicKey: publicKeyOf(outPublic),
      sign: async ({ data }) => {
        const inScheme = { scheme: TPM_ALG.NULL } as const;
        const of = { keyHandle: objectHandle, digest: digest('sha256', data), inScheme, validation };
        return encodeBareSignature((await openedTpm().run(Sign, of)).signature);
      },
    };
    await using ak = await createAttestationKey(openedTpm(), { algorithm: 'p-256' });
    const statement: AttestationStatement = await attestKey(openedTpm(), {
      key: objectHandle,
      ak,
      challenge: CHALLENGE,
    });
    const csr = await buildTcgCsrIdevid({ statement, key, prodModel: 'switch', prodSerial: '0042' });
    await objectHandle.flush();
    const read = parseTcgCsrIdevid(csr);
    expect(read.content).toMatchObject({ prodModel: 'switch', prodSerial: '0042' });
    expect(verifyTcgCsrIdevid(read)).toBe(true);
    const attestationKey = { pubArea: ak.pubArea };
    expect(verifyStatement(statementFromIdevid(read.content), { challenge: CHALLENGE, attestationKey }).ok).toBe(true);
  });
});

describe('certificates of TPM keys', () => {
  it.skipIf(missing !== undefined)('are verified by OpenSSL and @peculiar/x509', async () => {
    const authority = await newAuthority();
    const { objectHandle, outPublic } = await openedTpm().run(CreatePrimary, {
      primaryHandle: TPM_RH.ENDORSEMENT,
      inSensitive: { userAuth: EMPTY, data: EMPTY },
      inPublic: ekTemplate('L-2'),
      outsideInfo: EMPTY,
      creationPCR: [],
    });
    await objectHandle.flush();
    const options = { publicKey: publicKeyOf(outPublic), tpm: TPM_IDENTITY, ...VALIDITY };
    const [ek, ak] = [await buildEkCertificate(options, authority), await buildAkCertificate(options, authority)];
    const ca = new X509Certificate(authority.certificate);
    for (const [der, purpose] of [
      [ek, 'Endorsement Key Certificate'],
      [ak, 'Attestation Identity Key Certificate'],
    ] as const) {
      expect(openssl('verify', '-CAfile', pem(authority.certificate), pem(der))).toContain(': OK');
      const text = openssl('x509', '-in', pem(der), '-noout', '-text');
      expect(text).toMatch(/X509v3 Subject Alternative Name: critical\s+DirName:/);
      expect(text).toMatch(new RegExp(`X509v3 Extended Key Usage: *\\s+(?:${purpose}|2\\.23\\.133\\.8\\.[13])`));
      expect(await new X509Certificate(der).verify({ publicKey: ca.publicKey })).toBe(true);
    }
  });
});

describe('an envelope', () => {
  it.each(
    (['rsaes-pkcs1', 'rsaes-oaep-sha1', 'rsaes-oaep-sha256'] as const).flatMap((keyEncryption) =>
      (['aes-128-cbc', 'aes-256-cbc', 'des-ede3-cbc'] as const).map((cipher) => [keyEncryption, cipher] as const),
    ),
  )('with %s and %s is decrypted by OpenSSL', async (keyEncryption, contentEncryption) => {
    const name = encodeName(buildCommonName('CA-Xchg'));
    const content = { issuer: name, subject: name, publicKey: rsaKey.publicKey, extensions: [], ...VALIDITY };
    const certificate = await issueCertificate(content, rsaKey);
    const info = encodeEndorsementKeyInfo({ publicKey: rsaKey.publicKey, otherCertificates: [certificate] });
    const envelope = file(buildEnvelope(info, certificate, { keyEncryption, contentEncryption }));
    const key = file(rsaKey.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const out = file('');
    const files = ['-in', envelope, '-inkey', key, '-recip', pem(certificate), '-out', out];
    openssl('cms', '-decrypt', '-inform', 'DER', '-binary', ...files);
    expect(openssl('dgst', '-sha256', '-r', out)).toMatch(new RegExp(`^${toHex(digest('sha256', info))} `));
  });
});
