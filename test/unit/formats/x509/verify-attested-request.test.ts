import { beforeAll, describe, expect, it } from 'vitest';
import type { AttestationStatement } from '../../../../src/attestation/index.ts';
import { fromHex } from '../../../../src/bytes.ts';
import { encodeSpki } from '../../../../src/crypto/public-key.ts';
import type { Attribute } from '../../../../src/formats/x509/attributes.ts';
import { buildCertificateRequest } from '../../../../src/formats/x509/certificate-request.ts';
import {
  ATTESTATION_ATTRIBUTE,
  buildLampsAttestation,
  encodeAttestationBundle,
  parseLampsAttestation,
} from '../../../../src/formats/x509/lamps-attestation.ts';
import { buildCommonName } from '../../../../src/formats/x509/names.ts';
import {
  type VerifyAttestedRequestOptions,
  verifyAttestedRequest,
} from '../../../../src/formats/x509/verify-attested-request.ts';
import { signingKeyOf } from '../../../../src/testing/signing-key.ts';
import { publicKeyOf } from '../../../../src/tpm/public-key.ts';
import { akTemplate, userKeyTemplate } from '../../../../src/tpm/templates.ts';
import { AK_CERTIFICATE, issue, issueAuthority, type TestCertificate } from '../../../certificates.ts';
import { paperKey, paperStatement } from '../../attestation/paper-tpm.ts';

const CHALLENGE = fromHex('c0ffee');
const subject = buildCommonName('host.example');
const paper = paperStatement('p-256', 'rsa-2048', { certInfo: (attest) => ({ ...attest, extraData: CHALLENGE }) });
const key = signingKeyOf(paperKey(userKeyTemplate('p-256'), 'user').privateKey);
let root: TestCertificate;
let statement: AttestationStatement;
beforeAll(async () => {
  root = await issueAuthority('attestation CA');
  const spki = encodeSpki(publicKeyOf(paperKey(akTemplate('rsa-2048'), 'ak').area));
  const { der } = await issue({ ...AK_CERTIFICATE, spki }, root);
  statement = { ...paper, ak: { ...paper.ak, certificates: [der] } };
});

const failures = async (der: Uint8Array, options: Partial<VerifyAttestedRequestOptions> = {}) => {
  const common = { challenge: CHALLENGE, akRoots: [root.der], minTier: 'ek-certificate' } as const;
  const result = await verifyAttestedRequest(der, { ...common, ...options });
  const failed = result.findings.filter(({ status }) => status === 'fail').map(({ id }) => id);
  expect(result.ok).toBe(failed.length === 0);
  if (result.ok) expect(result.request.subject).toEqual(subject);
  return failed;
};

const request = (...attributes: Attribute[]) => buildCertificateRequest({ subject, attributes }, key);

describe('verifyAttestedRequest', () => {
  it('accepts a request whose key is attested', async () => {
    const der = await request(buildLampsAttestation(statement));
    expect(await failures(der)).toEqual([]);
    expect(await failures(der, { akPubArea: statement.ak.pubArea })).toEqual([]);
    await expect(failures(der, Object({ akroots: [] }))).rejects.toThrow(/'akroots', did you mean 'akRoots'/);
  });

  it('refuses one for another challenge, one without a root, and a changed one', async () => {
    const der = await request(buildLampsAttestation(statement));
    expect(await failures(der, { challenge: fromHex('c0ffef') })).toEqual(['challenge', 'tier']);
    expect(await failures(der, { akRoots: [] })).toEqual(['trust', 'ak-trusted', 'tier']);
    const changed = der.slice();
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
    expect(await failures(changed)).toEqual(['request/signature']);
    expect(await failures(der.subarray(1))).toEqual(['request/structures']);
  });

  it('refuses one for another key, even if that is attested', async () => {
    const other = signingKeyOf(paperKey(userKeyTemplate('p-256'), 'another').privateKey);
    const der = await buildCertificateRequest({ subject, attributes: [buildLampsAttestation(statement)] }, other);
    expect(await failures(der)).toEqual(['public-key', 'tier']);
  });

  it('refuses one without attestation, with two, with another kind, and without the certificate', async () => {
    const [bundle] = parseLampsAttestation([buildLampsAttestation(statement)]);
    const [only] = bundle?.attestations ?? [];
    const certificates = bundle?.certificates ?? [];
    if (only === undefined) return expect.unreachable();
    const withBundle = (attestations: (typeof only)[], list = certificates) =>
      request({
        oid: ATTESTATION_ATTRIBUTE,
        values: [encodeAttestationBundle({ attestations, certificates: list })],
      });
    const refused = ['request/attestation'];
    expect(await failures(await request())).toEqual(refused);
    expect(await failures(await withBundle([only, only]))).toEqual(refused);
    expect(await failures(await withBundle([{ ...only, type: '1.2.3' }]))).toEqual(refused);
    expect(await failures(await withBundle([only], []))).toEqual(refused);
    expect(await failures(await withBundle([only]))).toEqual([]);
  });
});
