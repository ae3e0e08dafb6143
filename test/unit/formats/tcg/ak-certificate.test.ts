import { KeyObject } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseEkCertificate } from '../../../../src/attestation/ek-certificate.ts';
import { verifyEkCertificate } from '../../../../src/attestation/verify-ek-certificate.ts';
import { fromHex, toHex } from '../../../../src/bytes.ts';
import { verifyChain } from '../../../../src/crypto/verify-chain.ts';
import { parseCertificate } from '../../../../src/crypto/x509.ts';
import { AK_CERTIFICATE_PURPOSE, buildAkCertificate } from '../../../../src/formats/tcg/ak-certificate.ts';
import { buildEkCertificate } from '../../../../src/formats/tcg/ek-certificate.ts';
import type { CertificateAuthority } from '../../../../src/formats/x509/issue-certificate.ts';
import { signingKeyOf } from '../../../../src/testing/signing-key.ts';
import { issueAuthority } from '../../../certificates.ts';
import { ecKey, rsaKey } from '../../../signing-key.ts';

const tpm = { manufacturer: 0x53544d20, model: 'ST33', version: 0x00010257 };
const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };

let authority: CertificateAuthority;
beforeAll(async () => {
  const { der, keys } = await issueAuthority('attestation CA');
  authority = { certificate: der, key: signingKeyOf(KeyObject.from(keys.privateKey)) };
});

describe.each([
  ['RSA', rsaKey.publicKey, 2],
  ['P-256', ecKey('P-256').publicKey, 4],
] as const)('a certificate of a %s key', (_, publicKey, usage) => {
  it('of an attestation key has the profile that every WebAuthn verifier accepts', async () => {
    const der = await buildAkCertificate({ publicKey, tpm, ...validity }, authority);
    const certificate = await parseCertificate(der);
    expect(certificate).toMatchObject({
      version: 3,
      subject: [],
      issuer: [[{ type: '2.5.4.3', value: 'attestation CA' }]],
      critical: ['2.5.29.19', '2.5.29.17'],
      basicConstraints: { ca: false, pathLength: undefined },
      extendedKeyUsage: [AK_CERTIFICATE_PURPOSE],
      keyUsage: undefined,
      subjectAltNames: [
        {
          kind: 'directory',
          value: [
            [{ type: '2.23.133.2.1', value: 'id:53544D20' }],
            [{ type: '2.23.133.2.2', value: 'ST33' }],
            [{ type: '2.23.133.2.3', value: 'id:00010257' }],
          ],
        },
      ],
    });
    expect(certificate.publicKey()).toEqual(publicKey);
    const roots = [authority.certificate];
    expect((await verifyChain(der, { roots, extendedKeyUsage: AK_CERTIFICATE_PURPOSE })).ok).toBe(true);
  });

  it('of an endorsement key is accepted by its verifier', async () => {
    const der = await buildEkCertificate({ publicKey, tpm, ...validity, revision: 138 }, authority);
    const result = await verifyEkCertificate(der, { roots: [authority.certificate] });
    expect(result.findings.filter(({ status }) => status === 'fail')).toEqual([]);
    const { certificate, ...read } = await parseEkCertificate(der);
    expect(read).toEqual({
      ...{ manufacturer: 'id:53544D20', model: 'ST33', version: 'id:00010257' },
      specification: { family: '2.0', level: 0, revision: 138 },
    });
    expect(certificate.keyUsage).toEqual(new Set([usage]));
    expect(certificate.critical).toEqual(['2.5.29.19', '2.5.29.15', '2.5.29.17']);
  });
});

describe('an attestation key certificate', () => {
  const options = { publicKey: rsaKey.publicKey, tpm, ...validity };

  it('can name the kind of authenticator, in its own OCTET STRING', async () => {
    const aaguid = fromHex('08987058cadc4b81b6e130de50dcbe96');
    const der = await buildAkCertificate({ ...options, aaguid }, authority);
    expect(toHex(der)).toContain(`060b2b0601040182e51c01010404120410${toHex(aaguid)}`);
    await expect(buildAkCertificate({ ...options, aaguid: new Uint8Array(4) }, authority)).rejects.toThrow(RangeError);
  });

  it("can have further names after the TPM's", async () => {
    const alternativeNames = [
      { kind: 'permanent-identifier', value: 'ab' },
      { kind: 'uri', value: 'urn:ek' },
    ] as const;
    const { subjectAltNames } = await parseCertificate(
      await buildAkCertificate({ ...options, alternativeNames }, authority),
    );
    expect(subjectAltNames.map(({ kind }) => kind)).toEqual(['directory', 'other', 'uri']);
  });

  it('is not made for numbers of more than four bytes', async () => {
    for (const manufacturer of [-1, 2 ** 32, 0.5]) {
      const wrong = { ...options, tpm: { ...tpm, manufacturer } };
      await expect(buildAkCertificate(wrong, authority)).rejects.toThrow(RangeError);
    }
  });
});
