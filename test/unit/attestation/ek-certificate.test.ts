import { generateKeyPairSync, webcrypto } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseEkCertificate } from '../../../src/attestation/ek-certificate.ts';
import { TPM_MANUFACTURERS } from '../../../src/attestation/tpm-manufacturers.ts';
import {
  EK_CERTIFICATE_PURPOSE,
  type EkCertificateResult,
  type VerifyEkCertificateOptions,
  verifyEkCertificate,
} from '../../../src/attestation/verify-ek-certificate.ts';
import { concat, fromBase64Url, fromHex, toHex, utf8 } from '../../../src/bytes.ts';
import { DER_NULL, derOid, derSequence, derText, derValue, TAG } from '../../../src/crypto/der-write.ts';
import { encodePem } from '../../../src/crypto/pem.ts';
import { decodeSpki, encodePkcs1, encodeSpki } from '../../../src/crypto/public-key.ts';
import { parseCertificate } from '../../../src/crypto/x509.ts';
import { inspect } from '../../../src/inspect/index.ts';
import type { TpmtPublic } from '../../../src/tpm/structures/object.ts';
import { ekTemplate } from '../../../src/tpm/templates.ts';
import {
  type CertificateSpec,
  issue,
  issueAuthority,
  type NameSpec,
  specificationExtension,
  type TestCertificate,
} from '../../certificates.ts';
import { storedCertificate } from '../../inspect-samples.ts';

const MAKER = ['2.23.133.2.1', 'id:53544D20'] as const;
const MODEL = ['2.23.133.2.2', 'ST33'] as const;
const VERSION = ['2.23.133.2.3', 'id:00010102'] as const;

let root: TestCertificate;
let spki: Uint8Array;
let ek: TpmtPublic;

beforeAll(async () => {
  root = await issueAuthority('maker');
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
  ek = { ...ekTemplate('L-1'), unique: fromBase64Url(String(publicKey.export({ format: 'jwk' }).n)) } as TpmtPublic;
});

const ekSpec = (spec: CertificateSpec = {}): CertificateSpec => ({
  subject: [],
  names: [{ directory: [[MAKER], [MODEL], [VERSION]] }],
  namesCritical: true,
  purposes: [EK_CERTIFICATE_PURPOSE],
  keyUsage: [2],
  ca: false,
  spki,
  ...spec,
});
const issueEk = async (spec: CertificateSpec = {}): Promise<Uint8Array> => (await issue(ekSpec(spec), root)).der;

describe('parseEkCertificate', () => {
  const layouts: [string, NameSpec][] = [
    ['three relative names', [[MAKER], [MODEL], [VERSION]]],
    ['one relative name', [[MAKER, MODEL, VERSION]]],
    ['two relative names in another order', [[VERSION, MODEL], [MAKER]]],
  ];
  it.each(layouts)("reads the certificate's TPM description from %s", async (_, directory) => {
    const extensions = [specificationExtension('2.0', 0, 138)];
    const { certificate, ...said } = await parseEkCertificate(await issueEk({ names: [{ directory }], extensions }));
    expect(said).toEqual({
      manufacturer: 'id:53544D20',
      model: 'ST33',
      version: 'id:00010102',
      specification: { family: '2.0', level: 0, revision: 138 },
    });
    expect(toHex(certificate.spki)).toBe(toHex(spki));
  });

  it('reads it behind names of other kinds, and from the subject', async () => {
    const names = [{ uri: 'urn:x' }, { directory: [[MODEL]] }] as const;
    const said = await parseEkCertificate(await issueEk({ subject: [[MAKER]], names }));
    expect([said.manufacturer, said.model, said.version, said.specification]).toEqual([
      ...['id:53544D20', 'ST33', undefined, undefined],
    ]);
  });

  it('treats an unreadable specification as missing', async () => {
    const wrong = (value: Uint8Array) =>
      ['2.5.29.9', false, derSequence(derSequence(derOid('2.23.133.2.16'), derValue(TAG.SET, value)))] as const;
    for (const value of [DER_NULL, derSequence(derText('printable', '2.0')), derSequence(derText('utf8', '2.0'))]) {
      expect((await parseEkCertificate(await issueEk({ extensions: [wrong(value)] }))).specification).toBeUndefined();
    }
  });

  it('reads an RSA key that is named by id-RSAES-OAEP', async () => {
    const key = decodeSpki(spki);
    if (key.kty !== 'RSA') throw new Error('an RSA key is expected');
    const oaep = derValue(TAG.SEQUENCE, fromHex('06092a864886f70d0101073000'));
    const bits = derValue(TAG.BIT_STRING, new Uint8Array(1), encodePkcs1(key));
    const { certificate } = await parseEkCertificate(await issueEk({ spki: derValue(TAG.SEQUENCE, oaep, bits) }));
    expect(toHex(encodeSpki(certificate.publicKey()))).toBe(toHex(spki));
  });

  it('refuses what is not a certificate', async () => {
    await expect(parseEkCertificate(fromHex('3000'))).rejects.toMatchObject({ code: 'certificate-invalid' });
    for (const behind of [fromHex('01'), await issueEk()]) {
      await expect(parseEkCertificate(concat(await issueEk(), behind))).rejects.toMatchObject({
        code: 'certificate-invalid',
      });
    }
  });

  const forms: [string, (der: Uint8Array) => Uint8Array][] = [
    ['with 0xff to the end of its index', (der) => concat(der, new Uint8Array(1600 - der.length).fill(0xff))],
    ['with zeros behind it', (der) => concat(der, new Uint8Array(17))],
    ['in a structure of TCG, with padding', (der) => concat(storedCertificate(der), new Uint8Array(9).fill(0xff))],
    ['in PEM', (der) => utf8(encodePem('CERTIFICATE', der))],
  ];
  it.each(forms)('reads and verifies the form that a TPM or a tool stores: %s', async (_, form) => {
    const der = await issueEk();
    const kept = form(der);
    expect(toHex((await parseEkCertificate(kept)).certificate.der)).toBe(toHex(der));
    expect(failures(await verifyEkCertificate(kept, { roots: [root.der], ek }))).toEqual([]);
    expect(await inspect(kept)).toMatchObject({ format: 'certificate', confidence: 'certain' });
  });

  it('reads an RSA key that is named by id-RSASSA-PSS, which verifies no signature with PKCS #1', async () => {
    const algorithm = { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, hash: 'SHA-256' };
    const exponent = { publicExponent: fromHex('010001') };
    const keys = await webcrypto.subtle.generateKey({ ...algorithm, ...exponent }, true, ['sign', 'verify']);
    const maker = await issueAuthority('a maker', undefined, { keys });
    const plain = await parseCertificate(maker.der);
    const key = plain.publicKey();
    if (key.kty !== 'RSA') throw new Error('an RSA key is expected');
    const pss = derValue(TAG.SEQUENCE, fromHex('06092a864886f70d01010a'));
    const bits = derValue(TAG.BIT_STRING, new Uint8Array(1), encodePkcs1(key));
    const renamed = await parseCertificate((await issue({ keys, spki: derValue(TAG.SEQUENCE, pss, bits) })).der);
    expect(encodeSpki(renamed.publicKey())).toEqual(encodeSpki(key));
    const below = await parseCertificate((await issue({ subject: [] }, maker)).der);
    expect([below.isSignedBy(plain), below.isSignedBy(renamed)]).toEqual([true, false]);
  });
});

const failures = ({ findings }: EkCertificateResult): string[] =>
  findings.filter(({ status }) => status === 'fail').map(({ id }) => id);
const verify = async (
  spec: CertificateSpec = {},
  options: Partial<VerifyEkCertificateOptions> = {},
): Promise<string[]> => failures(await verifyEkCertificate(await issueEk(spec), { roots: [root.der], ek, ...options }));

describe('verifyEkCertificate', () => {
  it('accepts a certificate of the key under a root, with all its checks', async () => {
    const result = await verifyEkCertificate(await issueEk(), { roots: [root.der], ek });
    expect(failures(result)).toEqual([]);
    expect(result.ok).toBe(true);
    expect(result.certificate?.model).toBe('ST33');
    expect(result.findings.map(({ id }) => id).slice(-6)).toEqual([
      ...['ek-certificate', 'ek-key', 'ek-key-usage', 'ek-strength', 'ek-manufacturer', 'ek-specification'],
    ]);
    expect(result.findings.map(({ detail }) => detail).slice(-6)).toEqual([
      'the certificate can be read',
      'it is for the endorsement key',
      'its key usage allows use as an endorsement key',
      'its key is strong enough',
      'the TPM manufacturer is id:53544D20',
      'it is for a TPM 2.0',
    ]);
  });

  it('explains the problem', async () => {
    const details = async (spec: CertificateSpec, options: Partial<VerifyEkCertificateOptions> = {}) => {
      const result = await verifyEkCertificate(await issueEk(spec), { roots: [root.der], ek, ...options });
      expect(result.ok).toBe(false);
      return result.findings.filter(({ status }) => status === 'fail').map(({ id, detail }) => `${id}: ${detail}`);
    };
    const other = { ...ekTemplate('L-1'), unique: new Uint8Array(256).fill(0xd1) } as TpmtPublic;
    expect(await details({}, { ek: other })).toEqual(['ek-key: it is for another key']);
    expect(await details({ keyUsage: [4] })).toEqual([
      'ek-key-usage: its key usage does not allow use as an endorsement key',
    ]);
    expect(await details({ extensions: [specificationExtension('1.2', 2, 116)] })).toEqual([
      'ek-specification: it is for TPM family 1.2',
    ]);
    const ed25519 = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' });
    expect((await details({ spki: ed25519 })).map((detail) => detail.slice(0, 30))).toEqual([
      'ek-key: SPKI: unknown algorith',
      'ek-key-usage: SPKI: unknown al',
      'ek-strength: SPKI: unknown alg',
    ]);
  });

  it('wants key agreement of a key on a curve', async () => {
    const onCurve = (keyUsage: readonly number[]) => verify({ spki: undefined as never, keyUsage }, { ek: undefined });
    expect(await onCurve([4])).toEqual([]);
    expect(await onCurve([2])).toEqual(['ek-key-usage']);
  });

  const named = (id: string) => ({ names: [{ directory: [[['2.23.133.2.1', id]]] }] }) as const;
  it.each<[string, CertificateSpec, Partial<VerifyEkCertificateOptions>, string[]]>([
    ['no roots', {}, { roots: [] }, ['chain/roots']],
    [
      'another key',
      {},
      { ek: { ...ekTemplate('L-1'), unique: new Uint8Array(256).fill(0xd1) } as TpmtPublic },
      ['ek-key'],
    ],
    ['no key to compare with', {}, { ek: undefined as never }, []],
    ['another purpose', { purposes: ['2.23.133.8.3'] }, {}, ['chain/extended-key-usage']],
    ['no purpose', { purposes: undefined as never }, {}, ['chain/extended-key-usage']],
    ['an authority', { ca: true }, {}, ['chain/end-entity']],
    ['no basicConstraints', { ca: undefined as never }, {}, []],
    ['another key usage', { keyUsage: [0] }, {}, ['ek-key-usage']],
    ['no key usage', { keyUsage: undefined as never }, {}, []],
    ['an expired one', { notAfter: new Date('2020-01-01') }, {}, ['chain/validity']],
    ['the specification 1.2', { extensions: [specificationExtension('1.2', 2, 116)] }, {}, ['ek-specification']],
    ['a maker in lower case', named('id:53544d20'), {}, []],
    ['no maker', { names: [{ dns: 'a' }] }, {}, ['ek-manufacturer']],
    ['swtpm', named('id:00001014'), {}, ['ek-manufacturer']],
    ['swtpm, allowed', named('id:00001014'), { allowedManufacturers: ['ID:00001014'] }, []],
    ['a maker that is not allowed', {}, { allowedManufacturers: ['id:494E5443'] }, ['ek-manufacturer']],
    ['no allowed makers', {}, { allowedManufacturers: [] }, ['ek-manufacturer']],
  ])('judges %s', async (_, spec, options, expected) => {
    expect(await verify(spec, options)).toEqual(expected);
  });

  it.each([
    // A power of 65537 is one modulo every prime too; this one has 2049 bits.
    ['with the fingerprint of the flawed Infineon library', 65537n ** 128n, 'CVE-2017-15361'],
    ['that is too short', 2n ** 2047n - 1n, 'an RSA key of 2047 bits'],
  ])('refuses a modulus %s', async (_, modulus, detail) => {
    const hex = modulus.toString(16);
    const n = fromHex(hex.padStart(hex.length + (hex.length % 2), '0'));
    const der = await issueEk({ spki: encodeSpki({ kty: 'RSA', n, e: fromHex('010001') }) });
    const result = await verifyEkCertificate(der, { roots: [root.der] });
    expect(failures(result)).toEqual(['ek-strength']);
    expect(result.findings.find(({ status }) => status === 'fail')?.detail).toContain(detail);
  });

  it('escapes in findings what could change what a terminal shows', async () => {
    const makers = [named('id:\u001b[2J\u2028ok'), { extensions: [specificationExtension('1\u202e2\n', 2, 116)] }];
    const details = [];
    for (const spec of makers) {
      const { findings } = await verifyEkCertificate(await issueEk(spec), { roots: [root.der] });
      details.push(...findings.filter(({ status }) => status === 'fail').map(({ detail }) => detail));
    }
    expect(details).toHaveLength(2);
    expect(details[0]).toContain('id:\\u{1b}[2J\\u{2028}ok');
    expect(details[1]).toBe('it is for TPM family 1\\u{202e}2\\u{a}');
  });

  it('reports bytes that are not a certificate', async () => {
    const result = await verifyEkCertificate(fromHex('3000'), { roots: [root.der] });
    expect(failures(result)).toEqual(['chain/certificate', 'ek-certificate']);
    expect(result.findings.at(-1)?.detail).toMatch(/^X\.509 certificate: it cannot be read: /);
    expect([result.ok, result.certificate]).toEqual([false, undefined]);
  });
});

describe('TPM_MANUFACTURERS', () => {
  it('names makers by their vendor id, without simulators', () => {
    expect(TPM_MANUFACTURERS).toContain('id:494E5443');
    expect(TPM_MANUFACTURERS).toContain('id:53544D20');
    expect(TPM_MANUFACTURERS).toContain('id:49465800');
    expect(TPM_MANUFACTURERS.every((id) => /^id:[0-9A-F]{8}$/.test(id))).toBe(true);
    expect(TPM_MANUFACTURERS.length).toBe(29);
    expect(TPM_MANUFACTURERS).not.toContain('id:00001014');
  });
});
