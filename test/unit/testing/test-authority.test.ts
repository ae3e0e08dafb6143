import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseEkCertificate, verifyEkCertificate } from '../../../src/attestation/endorsement.ts';
import { fromBase64Url } from '../../../src/bytes.ts';
import { parseCertificate } from '../../../src/crypto/x509.ts';
import { createTestAuthority } from '../../../src/testing/test-authority.ts';
import { TPM_ALG } from '../../../src/tpm/constants.ts';
import type { TpmtPublic } from '../../../src/tpm/structures/object.ts';
import { akTemplate, ekTemplate } from '../../../src/tpm/templates.ts';

/** The template with a point on P-256 in it. */
function withKey(template: TpmtPublic): TpmtPublic {
  if (template.type !== TPM_ALG.ECC) throw new Error('no template of an ECC key');
  const { x = '', y = '' } = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
  return { ...template, unique: { x: fromBase64Url(x), y: fromBase64Url(y) } };
}

const ak = withKey(akTemplate('p-256'));
const ek = withKey(ekTemplate('L-2'));

describe('a test authority', () => {
  it('is a self-signed root, valid for 30 days before and after its time', async () => {
    const now = new Date('2024-02-29T12:00:00Z');
    const { root } = await createTestAuthority({ name: 'maker', now });
    const { subject, issuer, basicConstraints, keyUsage, notBefore, notAfter } = await parseCertificate(root);
    expect({ subject, issuer }).toEqual({ subject: [[{ type: '2.5.4.3', value: 'maker' }]], issuer: subject });
    expect(basicConstraints).toEqual({ ca: true, pathLength: undefined });
    expect([...(keyUsage ?? [])]).toEqual([5]);
    expect([notBefore, notAfter]).toEqual([new Date('2024-01-30T12:00:00Z'), new Date('2024-03-30T12:00:00Z')]);
    const parsed = new X509Certificate(root);
    expect(parsed.verify(parsed.publicKey)).toBe(true);
  });

  it('has its own key', async () => {
    const [one, other] = await Promise.all([createTestAuthority(), createTestAuthority()]);
    const certificate = new X509Certificate(await one.issueAkCertificate(ak));
    expect(certificate.verify(new X509Certificate(one.root).publicKey)).toBe(true);
    expect(certificate.verify(new X509Certificate(other.root).publicKey)).toBe(false);
  });

  it("certifies an endorsement key as a simulator's, or as the given TPM's", async () => {
    const authority = await createTestAuthority();
    const der = await authority.issueEkCertificate(ek);
    const { ok, findings } = await verifyEkCertificate(der, { roots: [authority.root], ek });
    expect([ok, findings.filter(({ status }) => status === 'fail')]).toEqual([true, []]);
    expect(await parseEkCertificate(der)).toMatchObject({ manufacturer: 'id:49424D00', model: 'swtpm' });
    const tpm = { manufacturer: 0x53544d20, model: 'ST33', version: 1 };
    expect(await parseEkCertificate(await authority.issueEkCertificate(ek, { tpm }))).toMatchObject({
      ...{ manufacturer: 'id:53544D20', model: 'ST33' },
    });
  });

  it('issues an expired certificate on demand', async () => {
    const authority = await createTestAuthority();
    const der = await authority.issueEkCertificate(ek, { notAfter: new Date(Date.now() - 1000) });
    const { findings } = await verifyEkCertificate(der, { roots: [authority.root], ek });
    expect(findings.filter(({ status }) => status === 'fail').map(({ id }) => id)).toEqual(['chain/validity']);
  });

  it('accepts only the secret as answer to a challenge', async () => {
    const authority = await createTestAuthority();
    for (const secret of [randomBytes(32), new Uint8Array(0)]) {
      const activation = authority.activate({ ek, ak, answer: async () => ({ version: 1, secret }) });
      await expect(activation).rejects.toMatchObject({ code: 'credential-invalid' });
    }
    const failing = authority.activate({ ek, ak, answer: () => Promise.reject(new Error('no TPM')) });
    await expect(failing).rejects.toThrow('no TPM');
  });
});
