import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodeBareSignature, verifyStatement } from '../../../../src/attestation/index.ts';
import { type Bytes, concat, fromBase64, fromHex, toHex } from '../../../../src/bytes.ts';
import { DER_NULL, derOctets, derOid, derSequence, derText } from '../../../../src/crypto/der-write.ts';
import { decodeSpki, encodeSpki } from '../../../../src/crypto/public-key.ts';
import { verifyChain } from '../../../../src/crypto/verify-chain.ts';
import { buildAkPublicArea, findCertifiedAk } from '../../../../src/formats/tcg/certified-ak.ts';
import { parseCertificateRequest } from '../../../../src/formats/x509/certificate-request.ts';
import { readTbs } from '../../../../src/formats/x509/issue-certificate.ts';
import {
  ATTESTATION_ATTRIBUTE,
  buildLampsAttestation,
  decodeAttestationBundles,
  decodeTpmCertify,
  encodeAttestationBundle,
  encodeTpmCertify,
  parseLampsAttestation,
  statementFromTpmCertify,
  TPM_CERTIFY_STATEMENT,
} from '../../../../src/formats/x509/lamps-attestation.ts';
import { decode, encode } from '../../../../src/tpm/codec/index.ts';
import { TPM_ALG } from '../../../../src/tpm/constants.ts';
import { publicKeyOf } from '../../../../src/tpm/public-key.ts';
import { TPMT_SIGNATURE } from '../../../../src/tpm/structures/algorithm.ts';
import { TPMT_PUBLIC } from '../../../../src/tpm/structures/object.ts';
import { buildCommonName, issue } from '../../../certificates.ts';
import { refusal } from '../../../refusal.ts';
import { CHALLENGE, flipped, paperStatement } from '../../attestation/paper-tpm.ts';

/** In the vectors. */
interface PublishedRequest {
  readonly input: string;
  readonly expect: { certificates: number; hint?: string; pubAreaSized: boolean };
}
const { lamps } = JSON.parse(readFileSync('test/vectors/certificate-requests.json', 'utf8'));
const attestation = JSON.parse(readFileSync('test/vectors/attestation.json', 'utf8'));
const CERTIFICATE = fromHex('30020500');

describe.each<PublishedRequest>(lamps)('$description', ({ input, expect: expected }) => {
  const request = parseCertificateRequest(fromBase64(input));
  const [bundle, ...more] = parseLampsAttestation(request.attributes);

  it('contains one bundle with one certification of a key', () => {
    expect(more).toEqual([]);
    expect(bundle?.certificates).toHaveLength(expected.certificates);
    expect(bundle?.attestations).toMatchObject([{ type: TPM_CERTIFY_STATEMENT }]);
    expect(bundle?.attestations[0]?.hint).toBe(expected.hint);
  });

  it('verifies: the attestation key by its certificate, the key by the attestation key', async () => {
    if (bundle === undefined) return expect.unreachable();
    const certify = decodeTpmCertify(bundle.attestations[0]?.statement ?? CERTIFICATE);
    const ak = findCertifiedAk(certify, [...bundle.certificates].reverse());
    if (ak === undefined) return expect.unreachable();
    const [certificate = CERTIFICATE, ...others] = ak.certificates ?? [];
    const result = verifyStatement(statementFromTpmCertify(certify, ak), {
      challenge: fromHex('00ff55aa'),
      attestationKey: { spki: readTbs(certificate).spki.der },
      expectedKey: { spki: request.spki },
    });
    expect(result.findings.filter(({ status }) => status === 'fail')).toEqual([]);
    expect(result.ok).toBe(true);
    expect(certificate).toEqual(bundle.certificates[0]);
    // The root of both is version 1, so no extension marks it as a CA.
    const chain = await verifyChain(certificate, { roots: others, time: new Date('2024-10-25') });
    expect(chain.path).toEqual([certificate, others[0]]);
  });

  it('is read or refused with any changed byte', () => {
    const [attribute] = request.attributes.filter(({ oid }) => oid === ATTESTATION_ATTRIBUTE);
    const value = attribute?.values[0] ?? CERTIFICATE;
    for (let at = 0; at < value.length; at++) {
      const read = refusal(() => {
        const bundles = decodeAttestationBundles(flipped(value, at, at % 2 ? 0x01 : 0xff));
        decodeTpmCertify(bundles[0]?.attestations[0]?.statement ?? CERTIFICATE);
      });
      expect(read).toMatch(/^(?:nothing thrown|request-invalid: )/);
    }
  });

  it('contains the statement that is written back to the same bytes', () => {
    const statement = bundle?.attestations[0]?.statement ?? CERTIFICATE;
    const certify = decodeTpmCertify(statement);
    const { pubArea = new Uint8Array(0) } = certify;
    const size = new Uint8Array([pubArea.length >> 8, pubArea.length & 0xff]);
    const written = encodeTpmCertify(expected.pubAreaSized ? { ...certify, pubArea: concat(size, pubArea) } : certify);
    expect(toHex(written)).toBe(toHex(statement));
  });
});

it('the published sample has the parts that were published separately', () => {
  const known = attestation.statements.find((one: { description: string }) => one.description.startsWith('LAMPS'));
  const [bundle] = parseLampsAttestation(parseCertificateRequest(fromBase64(lamps[0].input)).attributes);
  const certify = decodeTpmCertify(bundle?.attestations[0]?.statement ?? CERTIFICATE);
  expect(toHex(certify.certInfo)).toBe(known.input.certInfo);
  expect(toHex(certify.signature)).toBe(known.input.bareSignature);
  expect(certify.pubArea && toHex(certify.pubArea)).toBe(known.input.pubArea);
});

it("an attestation key that signs with SHA-1, as Windows' do, is found, and verifies if SHA-1 is accepted", async () => {
  const sha1 = { scheme: TPM_ALG.RSASSA, details: { hashAlg: TPM_ALG.SHA1 } } as const;
  const { akCreation: _, ...statement } = paperStatement('rsa-2048', 'rsa-2048', {
    signatureHash: TPM_ALG.SHA1,
    ak: (area) => (area.type === TPM_ALG.RSA ? { ...area, parameters: { ...area.parameters, scheme: sha1 } } : area),
  });
  const spki = encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, statement.ak.pubArea)));
  const { der } = await issue({ subject: buildCommonName('ak'), spki });
  const bare = encodeBareSignature(decode(TPMT_SIGNATURE, statement.signature));
  for (const signature of [statement.signature, bare]) {
    const found = findCertifiedAk({ ...statement, signature }, [der]);
    expect(found?.pubArea).toEqual(buildAkPublicArea(decodeSpki(spki), 'sha1'));
    const again = { ...statement, ak: found ?? statement.ak };
    const verify = (acceptSha1: boolean) =>
      verifyStatement(again, { challenge: CHALLENGE, attestationKey: { spki }, acceptSha1 });
    expect([verify(true).ok, verify(false).ok]).toEqual([true, false]);
  }
});

describe.each([
  ['rsa-2048', 'rsa-2048'],
  ['rsa-2048', 'p-256'],
  ['p-256', 'rsa-2048'],
  ['p-256', 'p-256'],
] as const)('the attribute for a %s key certified by a %s key', (keyKind, akKind) => {
  const bare = paperStatement(keyKind, akKind);
  const akKey = publicKeyOf(decode(TPMT_PUBLIC, bare.ak.pubArea));
  let certificates: Bytes[];
  let statement: typeof bare;
  beforeAll(async () => {
    const other = await issue({ subject: buildCommonName('another') });
    const certificate = await issue({ subject: buildCommonName('ak'), spki: encodeSpki(akKey) });
    certificates = [certificate.der, other.der];
    statement = { ...bare, ak: { ...bare.ak, certificates } };
  });

  it.each(['bare', 'tpmt'] as const)('contains the statement, with a signature that is %s', (form) => {
    const attribute = buildLampsAttestation(statement, form);
    expect(attribute.oid).toBe(ATTESTATION_ATTRIBUTE);
    const [bundle] = parseLampsAttestation([attribute]);
    if (bundle === undefined) return expect.unreachable();
    expect(bundle.certificates).toEqual(certificates);
    const certify = decodeTpmCertify(bundle.attestations[0]?.statement ?? CERTIFICATE);
    const signature = decode(TPMT_SIGNATURE, statement.signature);
    expect(certify.signature).toEqual(form === 'bare' ? encodeBareSignature(signature) : statement.signature);

    const { ak, pubArea, certInfo } = statement;
    expect(statementFromTpmCertify(certify, ak)).toMatchObject({ version: 1, ak, pubArea, certInfo });
    const found = findCertifiedAk(certify, [...bundle.certificates].reverse());
    expect(found?.certificates?.[0]).toEqual(certificates[0]);
    expect(found?.pubArea).toEqual(buildAkPublicArea(akKey));
    const attestationKey = { spki: encodeSpki(akKey) };
    const again = statementFromTpmCertify(certify, found ?? ak);
    expect(verifyStatement(again, { challenge: CHALLENGE, attestationKey }).ok).toBe(true);
  });

  it('matches no key if the signature or the signed data is changed', () => {
    const [bundle] = parseLampsAttestation([buildLampsAttestation(statement)]);
    const certify = decodeTpmCertify(bundle?.attestations[0]?.statement ?? CERTIFICATE);
    const changes = [
      { signature: flipped(certify.signature, certify.signature.length - 1) },
      { certInfo: flipped(certify.certInfo, 60) },
      { signature: new Uint8Array(0) },
    ];
    for (const change of changes) expect(findCertifiedAk({ ...certify, ...change }, certificates)).toBeUndefined();
    expect(findCertifiedAk(certify, [])).toBeUndefined();
    expect(findCertifiedAk(certify, [CERTIFICATE, fromHex('ff')])).toBeUndefined();
  });
});

describe('buildAkPublicArea', () => {
  it('has the key, the hash and the attributes of an attestation key', () => {
    const key = publicKeyOf(decode(TPMT_PUBLIC, paperStatement('p-256', 'p-256').ak.pubArea));
    const area = decode(TPMT_PUBLIC, buildAkPublicArea(key, 'sha384'));
    expect(publicKeyOf(area)).toEqual(key);
    expect(toHex(encode(TPMT_PUBLIC, area).subarray(0, 22))).toBe('0023000b00050072000000100018000c000300100020');
  });
});

describe('a bundle', () => {
  const statement = { type: '1.2.3', statement: DER_NULL };

  it('is written without certificates if there are none, and read back', () => {
    expect(toHex(encodeAttestationBundle({ attestations: [statement], certificates: [] }))).toBe(
      '300a 3008 3006 06022a03 0500'.replaceAll(' ', ''),
    );
    const full = {
      attestations: [statement, { type: TPM_CERTIFY_STATEMENT, statement: derOctets(CERTIFICATE) }],
      certificates: [CERTIFICATE, CERTIFICATE],
      otherCertificates: [fromHex('a30406022a03')],
    };
    expect(decodeAttestationBundles(encodeAttestationBundle(full))).toEqual([full]);
    expect(() => encodeAttestationBundle({ attestations: [], certificates: [] })).toThrow(TypeError);
  });

  const oid = derOid('1.2.3');
  const one = (...parts: Uint8Array[]) =>
    derSequence(derSequence(derSequence(oid, ...parts)), derSequence(CERTIFICATE));
  const read = (...parts: Uint8Array[]) => decodeAttestationBundles(one(...parts))[0]?.attestations[0];

  it('of each draft is read', () => {
    const evidence = derSequence(one(DER_NULL, derText('utf8', 'v')), one(DER_NULL));
    const certificates = [CERTIFICATE];
    expect(decodeAttestationBundles(evidence)).toEqual([
      { attestations: [{ ...statement, hint: 'v' }], certificates },
      { attestations: [statement], certificates },
    ]);
    expect(read(DER_NULL, derText('ia5', 'v'))).toEqual({ ...statement, hint: 'v' });
    expect(read(fromHex('800100'), DER_NULL)).toEqual({ ...statement, bindsPublicKey: false });
    expect(read(fromHex('8001ff'), DER_NULL, fromHex('a1020500'))).toEqual({
      ...{ ...statement, bindsPublicKey: true, attributes: fromHex('a1020500') },
    });
    expect(read(fromHex('800100'))).toEqual({ type: '1.2.3', statement: fromHex('800100') });
  });

  it.each([
    ['3000', 'it has no statement'],
    ['30023000', 'it has no statement'],
    ['300430023000', 'it has no statement'],
    ['3004 3002 0500', 'it has tag 0x05'],
    ['3008 3006 3004 0602 2a03', 'a statement is missing'],
    ['300c 300a 3008 0602 2a03 0500 0500', 'parts left over'],
    ['300c 3008 3006 0602 2a03 0500 0500', 'parts left over'],
    ['300e 3008 3006 0602 2a03 0500 3002 0500', 'it has tag 0x05'],
    ['300c 3008 3006 0602 2a03 0500 3000', 'its list of certificates is empty'],
    ['300e 300c 300a 0602 2a03 8002 0000 0500', 'a BOOLEAN is malformed'],
  ])('%s is refused: %s', (hex, problem) => {
    expect(refusal(() => decodeAttestationBundles(fromHex(hex.replaceAll(' ', ''))))).toMatch(
      new RegExp(`^request-invalid: attestation bundle: .*${problem}`),
    );
  });

  it('is refused when it is cut off anywhere, and in two attributes', () => {
    const bytes = encodeAttestationBundle({ attestations: [statement], certificates: [CERTIFICATE] });
    for (let length = 0; length < bytes.length; length++) {
      expect(refusal(() => decodeAttestationBundles(bytes.subarray(0, length)))).toMatch(/^request-invalid: /);
    }
    const attribute = { oid: ATTESTATION_ATTRIBUTE, values: [bytes] };
    expect(parseLampsAttestation([])).toEqual([]);
    expect(refusal(() => parseLampsAttestation([attribute, attribute]))).toMatch(/must appear once/);
    expect(refusal(() => parseLampsAttestation([{ ...attribute, values: [] }]))).toMatch(/must appear once/);
    expect(refusal(() => parseLampsAttestation([{ ...attribute, values: [bytes, bytes] }]))).toMatch(
      /must appear once/,
    );
  });
});

describe('a certification in it', () => {
  const { certInfo, signature, pubArea, ak } = paperStatement('p-256', 'p-256');

  it('may lack the public area, but then contains no statement', () => {
    const certify = decodeTpmCertify(encodeTpmCertify({ certInfo, signature }));
    expect(certify).toEqual({ certInfo, signature });
    expect(refusal(() => statementFromTpmCertify(certify, ak))).toMatch(/does not contain the key's public area/);
  });

  it('is refused with unreadable structures', () => {
    const bad = [{ certInfo: fromHex('00') }, { pubArea: fromHex('00') }, { pubArea: concat(pubArea, fromHex('00')) }];
    for (const change of bad) {
      const der = encodeTpmCertify({ certInfo, signature, pubArea, ...change });
      expect(refusal(() => decodeTpmCertify(der))).toMatch(/^request-invalid: TPM certification in a request: TPM/);
    }
    const unsigned = { certInfo, signature: fromHex('00'), pubArea };
    expect(refusal(() => statementFromTpmCertify(unsigned, ak))).toMatch(/^request-invalid: /);
  });
});
