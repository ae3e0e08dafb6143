import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { fromHex } from '../../src/bytes.ts';
import { decodePem, encodePem } from '../../src/crypto/pem.ts';
import { buildAkCertificate } from '../../src/formats/tcg/ak-certificate.ts';
import { buildEkCertificate } from '../../src/formats/tcg/ek-certificate.ts';
import { buildPkinitCertificate } from '../../src/formats/windows/pkinit-certificate.ts';
import { issueCertificate, subjectKeyId } from '../../src/formats/x509/issue-certificate.ts';
import { buildCommonName, encodeName } from '../../src/formats/x509/names.ts';
import { openAuthority } from '../../src/testing/identity-service/authority.ts';
import { issueDeviceCertificate } from '../../src/testing/identity-service/device-certificate.ts';
import { createTestAuthority } from '../../src/testing/test-authority.ts';
import { akTemplate } from '../../src/tpm/templates.ts';
import { missingPrograms } from '../programs.ts';
import { ecKey, rsaKey, type TestSigningKey } from '../signing-key.ts';
import { paperKey } from '../unit/attestation/paper-tpm.ts';
import { codeOf, filesIn } from '../unit/source-files.ts';

const directory = mkdtempSync(join(tmpdir(), 'keyprov-strict-'));
afterAll(() => rmSync(directory, { recursive: true }));

let files = 0;
function pem(der: Uint8Array): string {
  const path = join(directory, String(files++));
  writeFileSync(path, encodePem('CERTIFICATE', der));
  return path;
}

/** OpenSSL's verdict on a certificate, with its strictest RFC 5280 checks. */
function verify(der: Uint8Array, root: Uint8Array): string {
  const path = pem(der);
  const { stdout, stderr } = spawnSync('openssl', ['verify', '-x509_strict', '-CAfile', pem(root), path], {
    encoding: 'utf8',
  });
  return (stdout + stderr).replaceAll(path, 'it').trim();
}

const GUID = '00112233-4455-6677-8899-aabbccddeeff';
const VALIDITY = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };

const missing = missingPrograms('openssl');

describe.skipIf(missing !== undefined)('openssl verify -x509_strict', () => {
  const ak = paperKey(akTemplate('p-256'), 'ak').area;
  const device = { deviceId: GUID, userId: GUID, tenantId: GUID, joinType: 0, ...VALIDITY };

  it.each([
    ['with the identifier of its key', (key: TestSigningKey) => subjectKeyId(key.publicKey)],
    ['with another identifier', () => ({ oid: '2.5.29.14', value: fromHex('0403c0ffee') })],
  ])('accepts every certificate under a CA %s', async (_, keyId) => {
    const key = rsaKey;
    const name = encodeName(buildCommonName('authority'));
    const extensions = [
      { oid: '2.5.29.19', critical: true, value: fromHex('30030101ff') },
      { oid: '2.5.29.15', critical: true, value: fromHex('03020186') },
      keyId(key),
    ];
    const root = await issueCertificate(
      { issuer: name, subject: name, publicKey: key.publicKey, extensions, ...VALIDITY },
      key,
    );
    const authority = { key, certificate: root };
    const tpm = { manufacturer: 0x53544d20, model: 'paper', version: 1 };
    const { publicKey } = ecKey('P-384');
    for (const der of [
      root,
      await buildAkCertificate({ publicKey, tpm, aaguid: new Uint8Array(16), ...VALIDITY }, authority),
      await buildEkCertificate({ publicKey, tpm, ...VALIDITY }, authority),
      await issueDeviceCertificate({ publicKey, ...device }, authority),
    ]) {
      expect(verify(der, root)).toBe('it: OK');
    }
  });

  it("accepts certificates of the test CA, of the identity service and in Windows' form", async () => {
    const { root, ...authority } = await createTestAuthority();
    for (const der of [root, await authority.issueAkCertificate(ak), await authority.issueEkCertificate(ak)]) {
      expect(verify(der, root)).toBe('it: OK');
    }
    const state = { setting: () => undefined, setSetting: () => {} };
    const { ca, tls } = await openAuthority(state);
    expect(verify(decodePem(tls.cert, 'CERTIFICATE'), ca.certificate)).toBe('it: OK');
    expect(verify(ca.certificate, ca.certificate)).toBe('it: OK');
    const identity = { sid: 'S-1-5-21-1-2-3-1106', deviceId: GUID, tenantId: GUID, upn: 'user@contoso.test' };
    const own = await buildPkinitCertificate(identity, rsaKey);
    expect(verify(own, own)).toBe('it: OK');
  });

  it('is asked about all that issues: without an authority are only the certificates that issue themselves', () => {
    const calling = (name: string) =>
      filesIn(['src'], '.ts').filter((path) => new RegExp(`await ${name}\\(`).test(codeOf(path)));
    expect(calling('issueCertificate')).toEqual([
      'src/formats/windows/pkinit-certificate.ts',
      'src/formats/x509/issue-certificate.ts',
      'src/testing/identity-service/authority.ts',
      'src/testing/test-authority.ts',
    ]);
    expect(calling('issueUnder')).toEqual([
      'src/formats/tcg/ak-certificate.ts',
      'src/formats/tcg/ek-certificate.ts',
      'src/testing/identity-service/authority.ts',
      'src/testing/identity-service/device-certificate.ts',
    ]);
  });
});
