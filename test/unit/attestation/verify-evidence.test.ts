import { generateKeyPairSync, type KeyPairKeyObjectResult, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type AttestationStatement,
  type CheckId,
  computeSoftwareKeyMessage,
  decodeBareSignature,
  type Evidence,
  type EvidenceResult,
  parseCertificate,
  type SoftwareKeyEvidence,
  TIERS,
  type VerifyEvidenceOptions,
  verifyEvidence,
} from '../../../src/attestation/index.ts';
import { concat, fromBase64, fromHex, toBase64, toHex } from '../../../src/bytes.ts';
import { digest } from '../../../src/crypto/kdf.ts';
import { decodeSpki, encodeSpki } from '../../../src/crypto/public-key.ts';
import { findCertifiedAk } from '../../../src/formats/tcg/certified-ak.ts';
import { decodeWebauthnTpm } from '../../../src/formats/webauthn/webauthn-tpm.ts';
import { decodeKast, statementFromKast } from '../../../src/formats/windows/kast.ts';
import { parseCertificateRequest } from '../../../src/formats/x509/certificate-request.ts';
import {
  decodeTpmCertify,
  parseLampsAttestation,
  statementFromTpmCertify,
} from '../../../src/formats/x509/lamps-attestation.ts';
import { decode, encode } from '../../../src/tpm/codec/index.ts';
import { TPM_ALG } from '../../../src/tpm/constants.ts';
import { publicKeyOf } from '../../../src/tpm/public-key.ts';
import { TPMT_SIGNATURE } from '../../../src/tpm/structures/algorithm.ts';
import { TPMT_PUBLIC, type TpmaObject, type TpmtPublic } from '../../../src/tpm/structures/object.ts';
import { ekTemplate } from '../../../src/tpm/templates.ts';
import { issueAuthority } from '../../certificates.ts';
import {
  AK_PURPOSE,
  type Authorities,
  EK_PURPOSE,
  type EvidenceChanges,
  fullOptions,
  issueAuthorities,
  nameOf,
  paperEvidence,
  rankOf,
  tpmName,
} from './paper-evidence.ts';
import { CHALLENGE, flipped, paperKey, SRK_NAME } from './paper-tpm.ts';

type FullEvidence = Awaited<ReturnType<typeof paperEvidence>>;

let authorities: Authorities;
let full: FullEvidence;
let options: VerifyEvidenceOptions;
beforeAll(async () => {
  authorities = await issueAuthorities();
  full = await paperEvidence(authorities);
  options = fullOptions(authorities, full);
});

const failures = ({ findings }: EvidenceResult): CheckId[] =>
  findings.filter(({ status }) => status === 'fail').map(({ id }) => id);

/** The options without some of them. */
function without(...names: readonly (keyof VerifyEvidenceOptions)[]): VerifyEvidenceOptions {
  return Object.fromEntries(
    Object.entries(options).filter(([name]) => !(names as readonly string[]).includes(name)),
  ) as unknown as VerifyEvidenceOptions;
}

const setting =
  (changes: TpmaObject) =>
  (area: TpmtPublic): TpmtPublic => ({ ...area, objectAttributes: { ...area.objectAttributes, ...changes } });

describe('the tiers', () => {
  const bare = ({ ek: _, ...evidence }: FullEvidence): AttestationStatement => evidence;
  const listed = (): VerifyEvidenceOptions => ({
    ...without('akRoots', 'ekRoots'),
    ekAllowList: [{ name: nameOf(full.ek.pubArea) }],
  });
  const known = (tier: 'virtual' | 'activated'): VerifyEvidenceOptions => ({
    challenge: CHALLENGE,
    minTier: 'software',
    trustedAks: [{ key: { name: nameOf(full.ak.pubArea) }, tier }],
  });

  it.each<[string, string, () => [Evidence, VerifyEvidenceOptions]]>([
    ['activated', 'a certified endorsement key and an activation', () => [full, options]],
    ['activated', 'the same without roots for attestation keys', () => [full, without('akRoots')]],
    ['ek-certificate', 'a certified attestation key', () => [bare(full), without('activation', 'ekRoots')]],
    ['ek-certificate', 'the same with an endorsement key', () => [full, without('activation')]],
    ['tpm-no-ek-certificate', 'a listed endorsement key and an activation', () => [full, listed()]],
    ['activated', 'the best known attestation key', () => [full, known('activated')]],
    ['virtual', 'an attestation key that is known to be virtual', () => [full, known('virtual')]],
    ['virtual', 'an emulator, as the verifier knows', () => [full, { ...options, virtual: true }]],
    ['virtual', 'a listed emulator, as the verifier knows', () => [full, { ...listed(), virtual: true }]],
  ])('%s is reached by %s', async (tier, _, given) => {
    const result = await verifyEvidence(...given());
    expect(failures(result)).toEqual([]);
    expect(result).toMatchObject({ ok: true, tier, akName: nameOf(full.ak.pubArea) });
    expect(result.ok && result.publicKey).toEqual(publicKeyOf(decode(TPMT_PUBLIC, full.pubArea)));
    expect(result.findings.at(-1)).toEqual({ id: 'tier', status: 'pass', detail: `the evidence proves '${tier}'` });
  });

  const SWTPM = { names: [tpmName('id:00001014', 'swtpm')] };
  it.each<[string, EvidenceChanges, Partial<VerifyEvidenceOptions>]>([
    ['of an attestation key', { akCertificate: SWTPM }, { ekRoots: [] }],
    ['of an endorsement key', { ekCertificate: SWTPM }, { akRoots: [] }],
    ['of both keys', { akCertificate: SWTPM, ekCertificate: SWTPM }, {}],
    ['that names IBM', { ekCertificate: { names: [tpmName('id:49424d00', 'IBM')] } }, { akRoots: [] }],
    ['that names a model', { ekCertificate: { names: [tpmName('id:4D534654', 'xCG fTPM')] } }, { akRoots: [] }],
  ])('virtual is reached by the certificate %s of an emulator', async (_, changes, more) => {
    const evidence = await paperEvidence(authorities, changes);
    const allowedManufacturers = ['id:00001014', 'id:49424D00', 'id:4D534654'];
    const result = await verifyEvidence(evidence, { ...options, ...more, allowedManufacturers });
    expect([result.tier, failures(result)]).toEqual(['virtual', []]);
  });

  it('tpm-no-ek-certificate is reached by the certificate of a CA that knows no maker of the TPM', async () => {
    const evidence = await paperEvidence(authorities, {
      akCertificate: { names: [tpmName('id:00000000', 'unknown')] },
    });
    const result = await verifyEvidence(evidence, { ...options, ekRoots: [], allowedManufacturers: ['id:00000000'] });
    expect([result.tier, failures(result)]).toEqual(['tpm-no-ek-certificate', []]);
  });

  it.each(TIERS)('%s is enough if it, or a lower one, is required', async (minTier) => {
    for (const tier of TIERS.filter((tier) => tier !== 'software')) {
      const trustedAks = [{ key: { pubArea: full.ak.pubArea }, tier }];
      const result = await verifyEvidence(full, { challenge: CHALLENGE, minTier, trustedAks });
      expect(result.tier).toBe(tier);
      expect(result.ok).toBe(rankOf(tier) >= rankOf(minTier));
      expect(failures(result)).toEqual(result.ok ? [] : ['tier']);
    }
  });

  it('are reached over authorities in between, in the evidence or given', async () => {
    const ak = await issueAuthority('between', authorities.ak);
    const ek = await issueAuthority('between, of the maker', authorities.ek);
    const evidence = await paperEvidence(authorities, { akIssuer: ak, ekIssuer: ek });
    const over = (part: typeof evidence.ek, between: Uint8Array) => ({
      ...part,
      certificates: [...(part.certificates ?? []), between],
    });
    const whole = { ...evidence, ak: over(evidence.ak, ak.der), ek: over(evidence.ek, ek.der) };
    expect((await verifyEvidence(whole, options)).tier).toBe('activated');
    expect((await verifyEvidence(evidence, { ...options, intermediates: [ak.der, ek.der] })).tier).toBe('activated');
    expect(failures(await verifyEvidence(evidence, options))).toEqual([
      ...['ak-chain/path', 'ek-chain/path', 'ak-trusted', 'tier'],
    ]);
  });

  it('must be one of them', async () => {
    await expect(verifyEvidence(full, { ...options, minTier: 'ek-cert' as never })).rejects.toThrow(TypeError);
  });

  it('are not raised when any proof is taken away', async () => {
    const { ak, ek, creation, akCreation, ...core } = full;
    const name = { name: nameOf(ak.pubArea) };
    const PROOFS = ['akCerts', 'ek', 'ekCerts', 'creations', 'akRoots', 'ekRoots', 'list', 'known', 'activation'];
    const verify = async (proofs: number) => {
      const has = (proof: string) => ((proofs >> PROOFS.indexOf(proof)) & 1) === 1;
      const evidence: AttestationStatement = {
        ...core,
        ...(has('creations') && { creation, akCreation }),
        ak: has('akCerts') ? ak : { pubArea: ak.pubArea },
        ...(has('ek') && { ek: has('ekCerts') ? ek : { pubArea: ek.pubArea } }),
      };
      return await verifyEvidence(evidence, {
        challenge: CHALLENGE,
        minTier: 'software',
        akRoots: has('akRoots') ? [authorities.akRoot] : [],
        ekRoots: has('ekRoots') ? [authorities.ekRoot] : [],
        ekAllowList: has('list') ? [{ pubArea: ek.pubArea }] : [],
        trustedAks: has('known') ? [{ key: name, tier: 'virtual' }] : [],
        ...(has('activation') && { activation: { ak: name, ek: { pubArea: ek.pubArea } } }),
      });
    };
    const all = Array.from({ length: 2 ** PROOFS.length }, (_, proofs) => proofs);
    const ranks: number[] = [];
    for (const proofs of all) ranks.push(rankOf((await verify(proofs)).tier));
    const raised = all.flatMap((proofs) =>
      PROOFS.filter((_, i) => ((proofs >> i) & 1) === 1 && (ranks[proofs & ~(1 << i)] ?? 0) > (ranks[proofs] ?? 0)).map(
        (proof) => `${proofs} without ${proof}`,
      ),
    );
    expect(raised).toEqual([]);
    expect([...new Set(ranks)].sort()).toEqual([-1, 1, 2, 3, 4]);
  });
});

describe('evidence is refused', () => {
  it('without anything that is trusted, and says so', async () => {
    const result = await verifyEvidence(full, { challenge: CHALLENGE, minTier: 'software' });
    expect(result).toMatchObject({ ok: false, tier: undefined });
    expect(failures(result)).toEqual(['trust', 'ak-trusted', 'tier']);
    expect(result.findings[0]?.detail).toBe('no roots, endorsement keys or attestation keys to trust were given');
  });

  it.each<[string, () => [Evidence, VerifyEvidenceOptions], string]>([
    [
      'an endorsement key that has a certificate but no activation',
      () => [full, without('activation', 'akRoots')],
      'no activation',
    ],
    [
      'a listed endorsement key without activation',
      () => [full, { ...without('activation', 'akRoots', 'ekRoots'), ekAllowList: [{ pubArea: full.ek.pubArea }] }],
      'no activation',
    ],
    [
      'an activation with an endorsement key that nothing is known of',
      () => [full, { ...without('akRoots', 'ekRoots'), ekAllowList: [{ pubArea: full.ak.pubArea }] }],
      'is not on the allow list, and has no certificate that passed the checks',
    ],
    [
      'an attestation key without certificate',
      () => [{ ...full, ak: { pubArea: full.ak.pubArea } }, without('activation', 'ekRoots')],
      'the attestation key has no certificate',
    ],
    [
      'an attestation key that is not known',
      () => [
        full,
        {
          challenge: CHALLENGE,
          minTier: 'virtual',
          trustedAks: [{ key: { name: nameOf(full.ek.pubArea) }, tier: 'activated' }],
        },
      ],
      'the attestation key is not in trustedAks',
    ],
  ])('for %s', async (_, given, detail) => {
    const result = await verifyEvidence(...given());
    expect(failures(result)).toEqual(['ak-trusted', 'tier']);
    expect(result.findings.find(({ id }) => id === 'ak-trusted')?.detail).toContain(detail);
  });

  const { roca } = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8'));
  const modulus = fromHex(roca.vectors.find(({ weak }: { weak: boolean }) => weak).modulusHex);
  const weak = (area: TpmtPublic): TpmtPublic => (area.type === TPM_ALG.RSA ? { ...area, unique: modulus } : area);
  const weakEk = (): TpmtPublic => ({ ...ekTemplate('L-1'), unique: modulus }) as TpmtPublic;
  const yesterday = new Date(Date.now() - 3_600_000);
  const tomorrow = new Date(Date.now() + 3_600_000);

  it.each<[string, EvidenceChanges, readonly CheckId[]]>([
    ['an exportable key', { key: setting({ fixedTPM: false, fixedParent: false }) }, ['key-attributes']],
    ['a restricted key', { key: setting({ restricted: true }) }, ['key-attributes']],
    ['a key without sensitiveDataOrigin', { key: setting({ sensitiveDataOrigin: false }) }, ['key-attributes']],
    ['an attestation key that is not restricted', { ak: setting({ restricted: false }) }, ['ak-attributes']],
    [
      'an attestation key without sensitiveDataOrigin',
      { ak: setting({ sensitiveDataOrigin: false }) },
      ['ak-attributes'],
    ],
    [
      'bytes left over',
      { certInfoBytes: (bytes) => concat(bytes, new Uint8Array(1)) },
      expect.arrayContaining(['structures']),
    ],
    ['a wrong magic', { certInfoBytes: (bytes) => flipped(bytes, 0) }, ['magic']],
    ['a wrong type', { certInfoBytes: (bytes) => flipped(bytes, 5, 0x0d) }, ['type', 'creation/parent']],
    ['another challenge', { certInfo: (attest) => ({ ...attest, extraData: flipped(CHALLENGE, 0) }) }, ['challenge']],
    [
      "another key's Name",
      {
        certInfo: (attest) =>
          'name' in attest.attested
            ? ({ ...attest, attested: { ...attest.attested, name: flipped(attest.attested.name, 9) } } as typeof attest)
            : attest,
      },
      ['name'],
    ],
    ['a weak key', { keyKind: 'rsa-2048', key: weak }, ['key-strength']],
    [
      'a weak attestation key',
      { akKind: 'rsa-2048', ak: weak },
      ['signature', 'creation/signature', 'ak-strength', 'ak-creation/signature'],
    ],
    ['a weak endorsement key', { ek: weakEk, ekCertificate: { keyUsage: [2] } }, ['ek-strength']],
    ['an endorsement key that signs', { ek: setting({ sign: true }) }, ['ek-attributes']],
    ['an endorsement key that can leave the TPM', { ek: setting({ fixedTPM: false }) }, ['ek-attributes']],
    ['an endorsement key for anything', { ek: setting({ restricted: false }) }, ['ek-attributes']],

    [
      'an expired certificate of the attestation key',
      { akCertificate: { notAfter: yesterday } },
      ['ak-chain/validity'],
    ],
    ['one that is not valid yet', { akCertificate: { notBefore: tomorrow } }, ['ak-chain/validity']],
    ['one for another key', { akCertificate: { spki: undefined as never } }, ['ak-key']],
    ['one for another purpose', { akCertificate: { purposes: [EK_PURPOSE] } }, ['ak-chain/extended-key-usage']],
    ['one for no purpose', { akCertificate: { purposes: undefined as never } }, ['ak-chain/extended-key-usage']],
    ['one of an authority', { akCertificate: { ca: true } }, ['ak-chain/end-entity']],
    ['one whose key is not for signatures', { akCertificate: { keyUsage: [4] } }, ['ak-key-usage']],
    ['one that names no maker', { akCertificate: { names: [{ dns: 'a' }] } }, ['ak-manufacturer']],
    ['one of an unknown maker', { akCertificate: { names: [tpmName('id:00000000')] } }, ['ak-manufacturer']],
    ['one of an emulator', { akCertificate: { names: [tpmName('id:00001014')] } }, ['ak-manufacturer']],
    [
      'one with a critical extension that is not understood',
      { akCertificate: { extensions: [['1.2.3', true, fromHex('0500')]] } },
      ['ak-chain/critical-extensions'],
    ],

    [
      'an expired certificate of the endorsement key',
      { ekCertificate: { notAfter: yesterday } },
      ['ek-chain/validity'],
    ],
    [
      'one that is not valid yet, of the endorsement key',
      { ekCertificate: { notBefore: tomorrow } },
      ['ek-chain/validity'],
    ],
    ['one for another endorsement key', { ekCertificate: { spki: undefined as never } }, ['ek-key']],
    ['one for attestation', { ekCertificate: { purposes: [AK_PURPOSE] } }, ['ek-chain/extended-key-usage']],
    ['an endorsement key of an emulator', { ekCertificate: { names: [tpmName('id:00001014')] } }, ['ek-manufacturer']],
  ])('for %s', async (_, changes, checks) => {
    const evidence = await paperEvidence(authorities, changes);
    const result = await verifyEvidence(evidence, fullOptions(authorities, evidence));
    expect(result).toMatchObject({ ok: false, tier: undefined });
    const expected = Array.isArray(checks) ? [...checks, 'tier'] : checks;
    const found = failures(result).filter((check) => check !== 'ak-trusted');
    expect(found).toEqual(expected);
  });

  it('for certificates under other roots of the same names, and roots of the other kind', async () => {
    const others = await issueAuthorities();
    const foreignAk = await paperEvidence(authorities, { akIssuer: others.ak });
    const foreignEk = await paperEvidence(authorities, { ekIssuer: others.ek });
    expect(failures(await verifyEvidence(foreignAk, options))).toEqual(['ak-chain/path', 'tier']);
    expect(failures(await verifyEvidence(foreignEk, options))).toEqual(['ek-chain/path', 'tier']);
    const swapped = { ...options, akRoots: [authorities.ekRoot], ekRoots: [authorities.akRoot] };
    expect(failures(await verifyEvidence(full, swapped))).toEqual([
      ...['ak-chain/path', 'ek-chain/path', 'ak-trusted', 'tier'],
    ]);
  });

  it('for names outside the constraints of the authority', async () => {
    const maker = await issueAuthority('narrow', authorities.ak, {
      excluded: [{ directory: [[['2.23.133.2.1', 'id:53544D20']]] }],
    });
    const evidence = await paperEvidence(authorities, { akIssuer: maker });
    const intermediates = [maker.der, await parseCertificate(maker.der), fromHex('3000')];
    const result = await verifyEvidence(evidence, { ...options, intermediates });
    expect(failures(result)).toEqual(['ak-chain/name-constraints', 'tier']);
  });

  it('at any time at which a certificate is not valid', async () => {
    for (const time of [new Date('2020-01-01'), new Date('2090-01-01')]) {
      const result = await verifyEvidence(full, { ...options, time });
      expect(failures(result)).toEqual(['ak-chain/validity', 'ek-chain/validity', 'ak-trusted', 'tier']);
    }
  });

  it('for the purpose of the attestation key certificate, unless the endorsement key purpose is accepted', async () => {
    const refused = ['ak-chain/extended-key-usage', 'ak-trusted', 'tier'];
    for (const [purposes, accepted] of [
      [[AK_PURPOSE], []],
      [[EK_PURPOSE], []],
      [undefined, []],
      [['1.3.6.1.5.5.7.3.2'], refused],
    ] as const) {
      const evidence = await paperEvidence(authorities, { akCertificate: { purposes: purposes as never } });
      const { activation: _, ekRoots: __, ...byCertificate } = options;
      const wanted = { ...byCertificate, minTier: 'ek-certificate' } as const;
      expect(failures(await verifyEvidence(evidence, { ...wanted, acceptEkPurpose: true }))).toEqual(accepted);
      const isAk = purposes?.[0] === AK_PURPOSE;
      expect(failures(await verifyEvidence(evidence, wanted))).toEqual(isAk ? [] : refused);
    }
  });

  it('without a purpose, under an authority for other purposes', async () => {
    const { activation: _, ekRoots: __, ...byCertificate } = options;
    const wanted = { ...byCertificate, minTier: 'ek-certificate', acceptEkPurpose: true } as const;
    for (const [purpose, accepted] of [
      [AK_PURPOSE, []],
      [EK_PURPOSE, []],
      ['2.5.29.37.0', []],
      ['1.3.6.1.5.5.7.3.1', ['ak-chain/extended-key-usage', 'ak-trusted', 'tier']],
    ] as const) {
      const akIssuer = await issueAuthority('narrow', authorities.ak, { purposes: [purpose] });
      const evidence = await paperEvidence(authorities, { akIssuer, akCertificate: { purposes: undefined as never } });
      const result = await verifyEvidence(evidence, { ...wanted, intermediates: [akIssuer.der] });
      expect(failures(result)).toEqual(accepted);
    }
  });

  it('for an activation of another key', async () => {
    const other = nameOf(encode(TPMT_PUBLIC, paperKey(ekTemplate('L-2'), 'another').area));
    const { activation } = options;
    if (activation === undefined) return expect.unreachable();
    for (const changed of [
      { ...activation, ak: { name: other } },
      { ...activation, ek: { name: other } },
    ]) {
      const result = await verifyEvidence(full, { ...options, activation: changed });
      expect(failures(result)).toEqual(['activation', 'tier']);
    }
  });

  it('for more certificates, or longer ones, than are looked at', async () => {
    const own = full.ak.certificates ?? [];
    for (const above of [Array<Uint8Array>(10).fill(authorities.ak.der), [new Uint8Array(10_240)]]) {
      const result = await verifyEvidence({ ...full, ak: { ...full.ak, certificates: [...own, ...above] } }, options);
      expect(failures(result)).toEqual(['certificates', 'tier']);
      const nine = { ...full, ak: { ...full.ak, certificates: [...own, ...above.slice(1)] } };
      expect((await verifyEvidence(nine, options)).ok).toBe(true);
    }
  });

  it('for too many certificates, without looking at one', async () => {
    const many = Array<Uint8Array>(11).fill(authorities.ak.der);
    const { findings } = await verifyEvidence({ ...full, ak: { ...full.ak, certificates: many } }, options);
    expect(findings.filter(({ id }) => id.startsWith('ak-chain/'))).toEqual([]);
  });

  it.each([undefined, true])('for a certificate that cannot be read, acceptEkPurpose %s', async (acceptEkPurpose) => {
    const evidence = { ...full, ak: { ...full.ak, certificates: [fromHex('3000')] } };
    const result = await verifyEvidence(evidence, { ...without('activation', 'ekRoots'), acceptEkPurpose });
    expect(failures(result)).toEqual(['ak-chain/certificate', 'ak-trusted', 'tier']);
  });

  it('for an endorsement key that cannot be read, whose list and certificate are not looked at', async () => {
    const ek = { ...full.ek, pubArea: fromHex('0023') };
    const activation = { ak: { name: nameOf(full.ak.pubArea) }, ek: { pubArea: ek.pubArea } };
    const changed = { ...options, activation, ekAllowList: [{ name: nameOf(full.ek.pubArea) }] };
    const { ok, findings } = await verifyEvidence({ ...full, ek }, changed);
    expect(ok).toBe(false);
    expect(findings.filter(({ id }) => id === 'ek-listed' || id.startsWith('ek-chain/'))).toEqual([]);
  });

  it('for one byte of certificates more than is looked at', async () => {
    const own = full.ak.certificates ?? [];
    const used = own.reduce((sum, { length }) => sum + length, 0);
    const filled = (bytes: number) => ({
      ...full,
      ak: { ...full.ak, certificates: [...own, new Uint8Array(bytes - used)] },
    });
    expect(failures(await verifyEvidence(filled(10_240), options))).toEqual([]);
    const { findings } = await verifyEvidence(filled(10_241), options);
    expect(findings.find(({ id }) => id === 'certificates')?.detail).toBe(
      '2 certificates with 10241 bytes; the limits are 10 certificates and 10240 bytes',
    );
  });

  it('explains the problem and the expectation', async () => {
    const said = async (evidence: Evidence, given: VerifyEvidenceOptions) =>
      (await verifyEvidence(evidence, given)).findings
        .filter(({ status }) => status === 'fail')
        .map(({ id, detail }) => `${id}: ${detail}`);
    const { activation } = options;
    if (activation === undefined) return expect.unreachable();
    const nothing = "tier: 'software' is required, but the evidence proves nothing";
    expect(await said(full, { challenge: CHALLENGE, minTier: 'software' })).toEqual([
      'trust: no roots, endorsement keys or attestation keys to trust were given',
      'ak-trusted: nothing is trusted',
      nothing,
    ]);
    expect(await said(full, { ...options, activation: { ...activation, ak: { name: CHALLENGE } } })).toEqual([
      'activation: the activation was made for another attestation key',
      nothing,
    ]);
    expect(await said(full, { ...options, activation: { ...activation, ek: { name: CHALLENGE } } })).toEqual([
      'activation: the activation was made for another endorsement key',
      nothing,
    ]);
    const known = { key: { pubArea: full.ak.pubArea }, tier: 'virtual' } as const;
    const wanted = { challenge: CHALLENGE, minTier: 'activated' } as const;
    expect(await said(full, { ...wanted, trustedAks: [known] })).toEqual([
      "tier: 'activated' is required, but the evidence proves only 'virtual'",
    ]);
    expect(await said(full, { ...wanted, trustedAks: [{ ...known, key: { pubArea: CHALLENGE } }] })).toEqual([
      'ak-trusted: the attestation key is not in trustedAks',
      "tier: 'activated' is required, but the evidence proves nothing",
    ]);
    const foreign = {
      ...wanted,
      akRoots: [authorities.ekRoot],
      trustedAks: [{ ...known, key: { pubArea: CHALLENGE } }],
    };
    expect((await said(full, foreign)).filter((detail) => detail.startsWith('ak-trusted'))).toEqual([
      "ak-trusted: the attestation key's certificate failed a check; the attestation key is not in trustedAks",
    ]);
    // A key that is already trusted needs no other proof, so other proofs are not reported.
    const alsoRoots = { ...without('activation', 'akRoots'), trustedAks: [known] };
    expect(await said(full, alsoRoots)).toEqual([]);
    const other = await paperEvidence(authorities, {
      akCertificate: { spki: encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, full.pubArea))) },
    });
    expect(await said(other, without('activation', 'ekRoots'))).toEqual([
      'ak-key: the certificate is for another key',
      "ak-trusted: the attestation key's certificate failed a check",
      nothing,
    ]);
    const forSeals = await paperEvidence(authorities, { akCertificate: { keyUsage: [2] } });
    expect(await said(forSeals, without('activation', 'ekRoots'))).toEqual([
      'ak-key-usage: its key usage does not allow signatures',
      "ak-trusted: the attestation key's certificate failed a check",
      nothing,
    ]);
    expect(await said({} as Evidence, options)).toEqual([
      expect.stringMatching(/^structures: the evidence cannot be read: TypeError/),
      nothing,
    ]);
  });

  it('throws for a tier that does not exist', async () => {
    await expect(verifyEvidence(full, { ...options, minTier: 'best' as never })).rejects.toThrow(
      new TypeError(
        `verifyEvidence: minTier must be ${TIERS.map((tier) => `'${tier}'`).join(' or ')}, not another string`,
      ),
    );
    await expect(verifyEvidence(full, { ...options, minTier: 'ek-certificat' as never })).rejects.toThrow(
      /, not another string; did you mean 'ek-certificate'\?$/,
    );
  });

  it('for certificates signed with SHA-1, unless they are accepted', async () => {
    const SHA1 = { hash: 'SHA-1' } as const;
    const evidence = await paperEvidence(authorities, { akCertificate: SHA1, ekCertificate: SHA1 });
    expect(failures(await verifyEvidence(evidence, options))).toEqual([
      ...['ak-chain/algorithms', 'ek-chain/algorithms', 'ak-trusted', 'tier'],
    ]);
    expect(failures(await verifyEvidence(evidence, { ...options, acceptSha1: true }))).toEqual([]);
  });
});

describe('a certificate of an attestation key that names an endorsement key', () => {
  const identifier = (text: string) =>
    fromHex(`a05706082b06010505070803a04b30490c40${toHex(new TextEncoder().encode(text))}06056781050c01`);
  /** Appends the name in a separate subjectAltName, because it is made of bytes. */
  const named = async (name: Uint8Array): Promise<FullEvidence> => {
    const list = concat(fromHex(`3082${name.length.toString(16).padStart(4, '0')}`), name);
    const akCertificate = { names: undefined as never, extensions: [['2.5.29.17', true, list]] } as const;
    return { ...(await paperEvidence(authorities, { akCertificate })), ek: full.ek };
  };
  /** The maker's directory name in DER, which precedes each. */
  const MAKER = concat(fromHex('a41a301831163014060567810502010c0b'), new TextEncoder().encode('id:53544D20'));
  const urn = (text: string) => concat(new Uint8Array([0x86, text.length]), new TextEncoder().encode(text));
  const spki = () => encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, full.ek.pubArea)));
  const certificate = () => full.ek.certificates?.[0] ?? CHALLENGE;

  it.each<[string, () => Uint8Array, boolean]>([
    ['the digest of its certificate', () => identifier(toHex(digest('sha256', certificate()))), true],
    ['that digest in upper case', () => identifier(toHex(digest('sha256', certificate())).toUpperCase()), true],
    ['the digest of another one', () => identifier('ab'.repeat(32)), false],
    ['the digest of its key', () => urn(`urn:ek:sha256:${toBase64(digest('sha256', spki()))}`), true],
    ['the digest of another key', () => urn(`urn:ek:sha256:${toBase64(new Uint8Array(32))}`), false],
    ['a URI that is something else', () => urn('urn:other'), true],
    ['another name of another kind', () => fromHex('8803550403'), true],
  ])('by %s', async (_, name, isTaken) => {
    const result = await verifyEvidence(await named(concat(MAKER, name())), options);
    expect(failures(result)).toEqual(isTaken ? [] : ['ak-ek', 'tier']);
    const detail = isTaken ? 'the certificate is not for another endorsement key' : 'it is for another endorsement key';
    expect(result.findings.find(({ id }) => id === 'ak-ek')?.detail).toBe(detail);
  });

  it('is taken if that certificate is not there', async () => {
    const { ek, ...evidence } = await named(concat(MAKER, identifier('ab'.repeat(32))));
    const bare = { ...evidence, ek: { pubArea: ek?.pubArea ?? CHALLENGE } };
    const { ok, findings } = await verifyEvidence(bare, without('activation', 'ekRoots'));
    expect([ok, findings.find(({ id }) => id === 'ak-ek')?.status]).toEqual([true, 'pass']);
  });
});

describe('an endorsement key on the list', () => {
  it('is a separate finding', async () => {
    const listed: VerifyEvidenceOptions = { ...without('akRoots'), ekAllowList: [{ pubArea: full.ek.pubArea }] };
    const found = async (given: VerifyEvidenceOptions) => (await verifyEvidence(full, given)).findings;
    const isListed = expect.objectContaining({ id: 'ek-listed', status: 'pass' });
    expect(await found(listed)).toContainEqual(isListed);
    expect(await found(options)).not.toContainEqual(isListed);
  });

  it('needs no good certificate: the list replaces it, at a lower tier', async () => {
    const listed: VerifyEvidenceOptions = { ...without('akRoots'), ekAllowList: [{ pubArea: full.ek.pubArea }] };
    expect((await verifyEvidence(full, listed)).tier).toBe('activated');
    const old = await verifyEvidence(full, { ...listed, time: new Date('2090-01-01') });
    expect([old.ok, old.tier, failures(old)]).toEqual([true, 'tpm-no-ek-certificate', ['ek-chain/validity']]);
  });

  it('is found by each of its identities', async () => {
    const spki = encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, full.ek.pubArea)));
    const { pubArea } = full.ek;
    const identities = [{ pubArea }, { name: nameOf(pubArea) }, { spki }, { spkiSha256: digest('sha256', spki) }];
    for (const identity of identities) {
      const verify = (one: typeof identity) =>
        verifyEvidence(full, { ...without('akRoots', 'ekRoots'), ekAllowList: [{ pubArea: CHALLENGE }, one] });
      expect((await verify(identity)).tier).toBe('tpm-no-ek-certificate');
      const wrong = Object.fromEntries(Object.entries(identity).map(([name, bytes]) => [name, flipped(bytes, 9)]));
      expect((await verify(wrong as typeof identity)).tier).toBeUndefined();
    }
  });
});

describe('evidence of a software key', () => {
  const make = (pair: KeyPairKeyObjectResult) => {
    const spki = new Uint8Array(pair.publicKey.export({ type: 'spki', format: 'der' }));
    const signature = new Uint8Array(sign('sha256', computeSoftwareKeyMessage(CHALLENGE, spki), pair.privateKey));
    return { version: 1, spki, signature } as const satisfies SoftwareKeyEvidence;
  };
  const ec = make(generateKeyPairSync('ec', { namedCurve: 'P-256' }));
  const rsa = make(generateKeyPairSync('rsa', { modulusLength: 2048 }));
  const software: VerifyEvidenceOptions = { challenge: CHALLENGE, minTier: 'software' };

  it.each([
    ['P-256', ec],
    ['RSA', rsa],
    ['P-384', make(generateKeyPairSync('ec', { namedCurve: 'P-384' }))],
  ])('reaches the lowest tier with a %s key', async (_, evidence) => {
    const result = await verifyEvidence(evidence, software);
    expect(failures(result)).toEqual([]);
    expect(result).toMatchObject({
      ok: true,
      tier: 'software',
      akName: undefined,
      publicKey: decodeSpki(evidence.spki),
    });
    for (const expectedKey of [{ spki: evidence.spki }, { spkiSha256: digest('sha256', evidence.spki) }]) {
      expect((await verifyEvidence(evidence, { ...software, expectedKey, virtual: true })).tier).toBe('software');
    }
  });

  it.each(TIERS.slice(1))('is not enough for %s', async (minTier) => {
    const result = await verifyEvidence(ec, { ...software, minTier });
    expect([result.ok, result.tier, failures(result)]).toEqual([false, 'software', ['tier']]);
  });

  it.each<[string, Evidence, Partial<VerifyEvidenceOptions>, CheckId[]]>([
    ['another challenge', ec, { challenge: flipped(CHALLENGE, 0) }, ['possession']],
    [
      'the signature of another key',
      { ...ec, signature: make(generateKeyPairSync('ec', { namedCurve: 'P-256' })).signature },
      {},
      ['possession'],
    ],
    ['a signature of another kind', { ...ec, signature: rsa.signature }, {}, ['possession']],
    ['another key than the expected one', ec, { expectedKey: { spki: rsa.spki } }, ['public-key']],
    ['a key of a TPM that is expected', ec, { expectedKey: { name: CHALLENGE } }, ['public-key']],
    ['the parent that a key must have', ec, { keyParent: SRK_NAME }, ['key-parent']],
    ['the parent that an attestation key must have', ec, { akParent: SRK_NAME }, ['ak-parent']],
    ['the nonce that an attestation key must have', ec, { akNonce: CHALLENGE }, ['ak-creation/challenge']],
    ['a weak key', make(generateKeyPairSync('rsa', { modulusLength: 1024 })), {}, ['key-strength']],
    ['what is no key', { ...ec, spki: fromHex('3000') }, {}, ['structures', 'key-strength', 'possession']],
  ])('is refused for %s', async (_, evidence, more, checks) => {
    const result = await verifyEvidence(evidence, { ...software, ...more });
    expect(failures(result)).toEqual([...checks, 'tier']);
    for (const { detail } of result.findings) expect(detail).toMatch(/[a-z]/);
    expect(result.ok).toBe(false);
  });

  it('is refused with every changed byte', async () => {
    for (const part of ['spki', 'signature'] as const) {
      for (let at = 0; at < ec[part].length; at++) {
        const { ok } = await verifyEvidence({ ...ec, [part]: flipped(ec[part], at) }, software);
        if (ok) expect.fail(`${part}, byte ${at}`);
      }
    }
  });
});

describe('a value that is not evidence', () => {
  const bytes = new Uint8Array(3);
  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['text', 'evidence'],
    ['an empty object', {}],
    ['texts in place of bytes', { pubArea: '00', certInfo: '00', signature: '00', ak: { pubArea: '00' } }],
    ['numbers in place of bytes', { spki: 1, signature: 2 }],
    ['no attestation key', { pubArea: bytes, certInfo: bytes, signature: bytes }],
    [
      'certificates that are none',
      { pubArea: bytes, certInfo: bytes, signature: bytes, ak: { pubArea: bytes, certificates: [1] } },
    ],
    [
      'certificates that are no list',
      { pubArea: bytes, certInfo: bytes, signature: bytes, ak: { pubArea: bytes, certificates: 5 } },
    ],
    [
      'a creation that is null',
      { pubArea: bytes, certInfo: bytes, signature: bytes, ak: { pubArea: bytes }, creation: null },
    ],
  ])('is refused without an error: %s', async (_, evidence) => {
    const result = await verifyEvidence(evidence as Evidence, options);
    expect(result).toMatchObject({ ok: false, tier: undefined });
    expect(failures(result)).toContain('structures');
  });

  it("is not among the caller's roots", async () => {
    await expect(verifyEvidence(full, { ...options, akRoots: [fromHex('3000')] })).rejects.toMatchObject({
      code: 'certificate-invalid',
    });
  });
});

describe('published evidence', () => {
  const { statements } = JSON.parse(readFileSync('test/vectors/attestation.json', 'utf8'));
  const { composed } = JSON.parse(readFileSync('test/vectors/kast.json', 'utf8'));
  const { tpm: webauthn } = JSON.parse(readFileSync('test/vectors/webauthn.json', 'utf8'));
  const { lamps } = JSON.parse(readFileSync('test/vectors/certificate-requests.json', 'utf8'));

  /** A vector as a statement, whose attestation key is trusted by its public key, and the options for it. */
  const published = (input: Record<string, string>): [AttestationStatement, VerifyEvidenceOptions] => {
    const bytes = (name: string) => fromHex(input[name] ?? '');
    const ak = decode(TPMT_PUBLIC, bytes('akPubArea'));
    const signature =
      input.bareSignature === undefined
        ? bytes('signature')
        : encode(TPMT_SIGNATURE, decodeBareSignature(ak, bytes('bareSignature')));
    const key = { spki: encodeSpki(publicKeyOf(ak)) };
    return [
      {
        version: 1,
        pubArea: bytes('pubArea'),
        certInfo: bytes('certInfo'),
        signature,
        ak: { pubArea: bytes('akPubArea') },
      },
      { challenge: bytes('challenge'), minTier: 'ek-certificate', trustedAks: [{ key, tier: 'ek-certificate' }] },
    ];
  };

  it.each<[string, number, CheckId[]]>([
    ["W3C's example, whose key can be exported", 0, ['key-attributes', 'tier']],
    ["LAMPS' sample", 1, []],
    ['the IDevID of a device, certified by its IAK', 2, []],
  ])('%s: with a known attestation key', async (_, index, checks) => {
    const result = await verifyEvidence(...published(statements[index].input));
    expect(failures(result)).toEqual(checks);
    expect(result.tier).toBe(checks.length === 0 ? 'ek-certificate' : undefined);
  });

  it("W3C's example: its certificate is of no maker, and its root is not there", async () => {
    const { certificates } = decodeWebauthnTpm(fromHex(webauthn.attestationObjectHex));
    const [statement, known] = published(statements[0].input);
    const evidence = { ...statement, ak: { ...statement.ak, certificates } };
    const akRoots = [authorities.akRoot];
    const { trustedAks: _, ...rest } = known;
    const result = await verifyEvidence(evidence, { ...rest, akRoots });
    expect(failures(result)).toEqual(['ak-chain/path', 'ak-manufacturer', 'ak-trusted', 'key-attributes', 'tier']);
  });

  it("LAMPS' sample: its root is of version 1, and its certificate names no maker", async () => {
    const request = parseCertificateRequest(fromBase64(lamps[0].input));
    const [bundle] = parseLampsAttestation(request.attributes);
    const certify = decodeTpmCertify(bundle?.attestations[0]?.statement ?? CHALLENGE);
    const ak = findCertifiedAk(certify, bundle?.certificates ?? []);
    if (ak?.certificates === undefined) return expect.unreachable();
    const result = await verifyEvidence(statementFromTpmCertify(certify, ak), {
      challenge: fromHex('00ff55aa'),
      expectedKey: { spki: request.spki },
      minTier: 'virtual',
      akRoots: ak.certificates.slice(1),
      time: new Date('2024-10-25'),
    });
    expect(failures(result)).toEqual(['ak-chain/authorities', 'ak-manufacturer', 'ak-trusted', 'tier']);
  });

  it("Windows' KAST: with a known attestation key that signs with SHA-1, if that is accepted", async () => {
    const statement = statementFromKast(decodeKast(fromHex(composed.kastHex)));
    const windows: VerifyEvidenceOptions = {
      challenge: fromHex(composed.keyAttestNonceHex),
      akNonce: fromHex(composed.idBindingNonceHex),
      minTier: 'virtual',
      trustedAks: [{ key: { name: nameOf(statement.ak.pubArea) }, tier: 'virtual' }],
      acceptSha1: true,
    };
    const result = await verifyEvidence(statement, windows);
    expect([result.tier, failures(result)]).toEqual(['virtual', []]);
    const { acceptSha1: _, ...strict } = windows;
    expect(failures(await verifyEvidence(statement, strict))).toEqual(['hashes', 'ak-creation/hashes', 'tier']);
  });
});

describe('docs/verification.md', () => {
  it('explains every check that is made, and every tier', async () => {
    const page = readFileSync('docs/verification.md', 'utf8');
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
    const signature = sign('sha256', computeSoftwareKeyMessage(CHALLENGE, spki), privateKey);
    const parents = { keyParent: SRK_NAME, akParent: CHALLENGE };
    const results = await Promise.all([
      verifyEvidence(full, { ...options, ...parents, ekAllowList: [{ pubArea: full.ek.pubArea }], expectedKey: full }),
      verifyEvidence({ version: 1, spki, signature }, options),
    ]);
    const checks = new Set(results.flatMap(({ findings }) => findings.map(({ id }) => id)));
    expect(checks.size).toBe(72);
    const words = [...checks].flatMap((check) => {
      const slash = check.indexOf('/');
      return slash < 0 ? [check] : [`${check.slice(0, slash)}/…`, check.slice(slash + 1)];
    });
    expect([...words, ...TIERS].filter((word) => !page.includes(`\`${word}\``))).toEqual([]);
  });
});
