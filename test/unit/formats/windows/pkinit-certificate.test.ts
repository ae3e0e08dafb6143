import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromBase64, fromHex, toHex } from '../../../../src/bytes.ts';
import { parseCertificate } from '../../../../src/crypto/x509.ts';
import { buildPkinitCertificate, parsePkinitCertificate } from '../../../../src/formats/windows/pkinit-certificate.ts';
import { extendedKeyUsage, noAuthority } from '../../../../src/formats/x509/extensions.ts';
import { issueCertificate, readTbs } from '../../../../src/formats/x509/issue-certificate.ts';
import { buildCommonName, encodeName } from '../../../../src/formats/x509/names.ts';
import { asyncRefusal } from '../../../refusal.ts';
import { ecKey, rsaKey } from '../../../signing-key.ts';
import { flipped } from '../../attestation/paper-tpm.ts';

const { pkinit } = JSON.parse(readFileSync('test/vectors/certificate-requests.json', 'utf8'));
const { published } = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8'));
const vector = fromBase64(pkinit.input);
const { sid, deviceId, tenantId, upn } = pkinit.expect;
const identity = { sid, deviceId, tenantId, upn };
const now = new Date('2018-06-13T22:32:34.567Z');
const NAME_TOO_LONG = { kind: 'common-name-too-long' };

describe('the published certificate of a Windows Hello key', () => {
  it('is read: identity, validity, purpose, and self-signature', async () => {
    const { certificate, problems, quirks, ...read } = await parsePkinitCertificate(vector);
    expect(createHash('sha1').update(vector).digest('hex')).toBe(pkinit.expect.sha1);
    expect(read.identity).toEqual(identity);
    expect(problems).toEqual([]);
    expect(quirks).toMatchObject([NAME_TOO_LONG, NAME_TOO_LONG]);
    expect(certificate.notBefore.toISOString()).toBe(pkinit.expect.notBefore);
    expect(certificate.notAfter.toISOString()).toBe(pkinit.expect.notAfter);
    expect(certificate.extendedKeyUsage).toEqual(['1.3.6.1.4.1.311.20.2.2']);
    expect(certificate.signatureHash).toBe('sha1');
    expect(toHex(certificate.spki).slice(48)).toContain(published[0].rsa1Hex.slice(-512));
  });

  it('differs from ours only in key and hash', async () => {
    const { serialNumber } = readTbs(vector);
    const der = await buildPkinitCertificate(identity, rsaKey, { now, serialNumber: serialNumber.content });
    const sha256 = toHex(vector).replaceAll('2a864886f70d010105', '2a864886f70d01010b');
    const [key, ours] = [vector, der].map((bytes) => toHex(readTbs(bytes).spki.der));
    expect(toHex(der).slice(0, -512)).toBe(sha256.slice(0, -512).replace(key ?? '', ours ?? ''));
  });
});

describe('buildPkinitCertificate', () => {
  it.each([
    ['RSA', rsaKey],
    ['P-256', ecKey('P-256')],
  ] as const)('makes one with a %s key that is read', async (_, key) => {
    for (const strings of ['bmp', 'utf8'] as const) {
      const der = await buildPkinitCertificate({ ...identity, upn: 'zoë@contoso.com' }, key, { strings });
      const read = await parsePkinitCertificate(der);
      expect(read.problems).toEqual([]);
      expect(read.identity).toEqual({ ...identity, upn: 'zoë@contoso.com' });
      expect(read.certificate.publicKey()).toEqual(key.publicKey);
      expect(read.certificate.version).toBe(3);
      const minutes = (read.certificate.notBefore.getTime() - Date.now()) / 60_000;
      expect(Math.round(minutes)).toBe(-10);
    }
  });

  it('writes the year 2050 and later as the standard demands', async () => {
    const der = await buildPkinitCertificate(identity, rsaKey, { now: new Date('2026-03-01T00:00:00.999Z') });
    const { notBefore, notAfter } = await parseCertificate(der);
    expect([notBefore.toISOString(), notAfter.toISOString()]).toEqual([
      '2026-02-28T23:50:00.000Z',
      '2056-03-01T00:00:00.000Z',
    ]);
    expect(toHex(der)).toContain(`180f${toHex(Buffer.from('20560301000000Z'))}`);
  });

  const [sidForm, guidForm] = ['a SID such as S-1-5-21-1-2-3-1001', 'a GUID'];
  const WHAT: Readonly<Record<string, string>> = {
    sid: sidForm,
    deviceId: guidForm,
    tenantId: guidForm,
    upn: 'a name without /',
  };
  it.each([{ sid: 'S-1' }, { deviceId: '8227cfea' }, { tenantId: '' }, { upn: 'a/b' }, { upn: '' }])(
    'refuses %j',
    async (change) => {
      await expect(buildPkinitCertificate({ ...identity, ...change }, rsaKey)).rejects.toThrow(
        new TypeError(
          Object.entries(change).map(([part, value]) => `the ${part} ${JSON.stringify(value)} is not ${WHAT[part]}`)[0],
        ),
      );
    },
  );
});

describe('parsePkinitCertificate', () => {
  const content = (subject: string) => ({
    issuer: encodeName(buildCommonName(subject)),
    subject: encodeName(buildCommonName(subject)),
    publicKey: rsaKey.publicKey,
    notBefore: now,
    notAfter: now,
    extensions: [noAuthority(), extendedKeyUsage('1.3.6.1.4.1.311.20.2.2')],
  });

  it("reads a computer's, whose name is only a SID", async () => {
    const der = await issueCertificate(content('S-1-5-21-1-2-3-1108'), rsaKey);
    const read = await parsePkinitCertificate(der);
    expect([read.identity, read.problems, read.quirks]).toEqual([undefined, [], []]);
  });

  it('reports the problems', async () => {
    const other = await issueCertificate(
      { ...content('a'), extensions: [], publicKey: ecKey('P-256').publicKey },
      rsaKey,
    );
    expect((await parsePkinitCertificate(other)).problems).toEqual([
      'it is not signed with its own key',
      'its basic constraints are not those of an end-entity certificate',
      'it is not for smart card logon',
    ]);
    const changed = flipped(vector, vector.length - 1);
    expect((await parsePkinitCertificate(changed)).problems).toEqual(['it is not signed with its own key']);
  });

  it("reads and reports the long lengths in a Windows device's certificate, and a NUL in a name", async () => {
    const device = await parsePkinitCertificate(fromBase64(published[2].rawBodyB64));
    expect(device.quirks.map(({ kind }) => kind)).toEqual(Array(5).fill('length-not-minimal'));
    expect(device.certificate.subject).toEqual(buildCommonName(published[2].subject.slice(3)));
    const nul = await parsePkinitCertificate(await issueCertificate(content('#13024100'), rsaKey));
    expect(nul.certificate.subject).toEqual(buildCommonName('A\0'));
    expect(nul.quirks.map(({ kind }) => kind)).toEqual(['nul-in-string', 'nul-in-string']);
    expect(nul.problems).toEqual([]);
  });

  it('refuses truncated input and other bytes, and never fails in another way', async () => {
    for (let length = 0; length < vector.length; length += 7) {
      const cut = () => parsePkinitCertificate(vector.subarray(0, length));
      expect(await asyncRefusal(cut)).toMatch(/^certificate-invalid: /);
    }
    for (let at = 0; at < vector.length; at += 5) {
      const changed = asyncRefusal(() => parsePkinitCertificate(flipped(vector, at, 0xff)));
      expect(await changed).toMatch(/^(?:nothing thrown|certificate-invalid: )/);
    }
    expect(await asyncRefusal(() => parsePkinitCertificate(fromHex('3000')))).toMatch(/^certificate-invalid: /);
  });
});

describe('issueCertificate', () => {
  const content = {
    ...{ issuer: encodeName([]), subject: encodeName([]), publicKey: rsaKey.publicKey, extensions: [noAuthority()] },
    ...{ notBefore: now, notAfter: now },
  };
  const serialOf = async (serialNumber?: Uint8Array) =>
    toHex(readTbs(await issueCertificate({ ...content, serialNumber }, rsaKey)).serialNumber.der);

  it('writes serial numbers in their shortest form, and random ones of 16 bytes', async () => {
    expect(await serialOf(fromHex('0001'))).toBe('020101');
    expect(await serialOf(fromHex('80'))).toBe('02020080');
    const [first, second] = [await serialOf(), await serialOf()];
    expect(first).toMatch(/^0210[4-7]/);
    expect(second).not.toBe(first);
  });

  it('refuses serial numbers that are zero or too long, and times that cannot be written', async () => {
    for (const serialNumber of [new Uint8Array(0), new Uint8Array(3), fromHex('ff'.repeat(20))]) {
      await expect(serialOf(serialNumber)).rejects.toThrow(RangeError);
    }
    for (const notAfter of [new Date(Number.NaN), new Date('1949-12-31'), new Date('+010000-01-01')]) {
      await expect(issueCertificate({ ...content, notAfter }, rsaKey)).rejects.toThrow(RangeError);
    }
  });
});
