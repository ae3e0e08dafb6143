import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  type AttestationStatement,
  decodeBareSignature,
  type KeyIdentity,
  type VerifyOptions,
  verifyAttestationKey,
  verifyStatement,
} from '../../../src/attestation/index.ts';
import { concat, fromHex, toHex } from '../../../src/bytes.ts';
import { encodeSpki } from '../../../src/crypto/public-key.ts';
import { decode, encode } from '../../../src/tpm/codec/index.ts';
import { TPM_ALG, TPM_RH, TPM_ST } from '../../../src/tpm/constants.ts';
import { handleName, objectName } from '../../../src/tpm/names.ts';
import { publicKeyOf } from '../../../src/tpm/public-key.ts';
import { TPMT_SIGNATURE } from '../../../src/tpm/structures/algorithm.ts';
import { TPMT_PUBLIC, type TpmaObject, type TpmtPublic } from '../../../src/tpm/structures/object.ts';
import { akTemplate, srkTemplate, userKeyTemplate } from '../../../src/tpm/templates.ts';
import { CHALLENGE, type Changes, flipped, paperKey, paperStatement, SRK_NAME, signAs } from './paper-tpm.ts';

const genuine = paperStatement('rsa-2048', 'p-256');
const attestationKey = { pubArea: genuine.ak.pubArea };
const GENUINE: VerifyOptions = { challenge: CHALLENGE, attestationKey };

/** The checks that did not pass. */
function failed(statement: AttestationStatement, options: Partial<VerifyOptions> = {}): string[] {
  const trusted = { attestationKey: { pubArea: statement.ak.pubArea } };
  const { ok, findings } = verifyStatement(statement, { ...GENUINE, ...trusted, ...options });
  const checks = findings.filter(({ status }) => status === 'fail').map(({ id }) => id);
  expect(ok).toBe(checks.length === 0);
  return checks;
}

const setting =
  (changes: TpmaObject) =>
  (area: TpmtPublic): TpmtPublic => ({
    ...area,
    objectAttributes: { ...area.objectAttributes, ...changes },
  });

describe('verifyStatement on published statements', () => {
  interface Vector {
    readonly description: string;
    readonly input: Readonly<Record<string, string>>;
    readonly expect: readonly string[];
  }
  const { statements } = JSON.parse(readFileSync('test/vectors/attestation.json', 'utf8')) as { statements: Vector[] };

  it.each(statements)('$description: finds just $expect', ({ input, expect: expected }) => {
    const bytes = (name: string) => fromHex(input[name] ?? '');
    const akPubArea = bytes('akPubArea');
    const ak = decode(TPMT_PUBLIC, akPubArea);
    const { bareSignature: bare } = input;
    const signature =
      bare === undefined ? bytes('signature') : encode(TPMT_SIGNATURE, decodeBareSignature(ak, fromHex(bare)));
    const statement = { version: 1, pubArea: bytes('pubArea'), certInfo: bytes('certInfo'), signature } as const;
    const result = verifyStatement(
      { ...statement, ak: { pubArea: akPubArea } },
      { challenge: bytes('challenge'), attestationKey: { spki: encodeSpki(publicKeyOf(ak)) } },
    );
    expect(result.findings.filter(({ status }) => status === 'fail').map(({ id }) => id)).toEqual(expected);
  });

  it("accepts the attestation key of Windows' provider if SHA-1 is accepted", () => {
    const { windowsAik } = JSON.parse(readFileSync('test/vectors/kast.json', 'utf8'));
    const bytes = (name: string) => fromHex(windowsAik[name]);
    const proof = {
      creationData: bytes('creationData'),
      certInfo: bytes('certInfo'),
      signature: bytes('signature'),
    };
    const check = (acceptSha1: boolean, nonce?: Uint8Array) =>
      verifyAttestationKey(bytes('pubArea'), proof, { acceptSha1, nonce })
        .findings.filter(({ status }) => status === 'fail')
        .map(({ id }) => id);
    expect(check(true)).toEqual([]);
    expect(check(true, new Uint8Array(0))).toEqual([]);
    expect(check(true, CHALLENGE)).toEqual(['ak-creation/challenge']);
    expect(check(false)).toEqual(['ak-creation/hashes']);
  });
});

describe('verifyStatement', () => {
  const kinds = ['rsa-2048', 'p-256'] as const;
  it.each(kinds.flatMap((key) => kinds.map((ak) => [key, ak] as const)))(
    'accepts a genuine statement: %s key, %s attestation key',
    (key, ak) => {
      const statement = paperStatement(key, ak);
      const area = decode(TPMT_PUBLIC, statement.pubArea);
      const akArea = decode(TPMT_PUBLIC, statement.ak.pubArea);
      const identities = (of: TpmtPublic): KeyIdentity[] => [
        { pubArea: encode(TPMT_PUBLIC, of) },
        { name: objectName(of) },
        { spki: encodeSpki(publicKeyOf(of)) },
      ];
      for (const expectedKey of identities(area)) {
        for (const attestationKey of identities(akArea)) {
          const known = { keyParent: SRK_NAME, akParent: handleName(TPM_RH.ENDORSEMENT), akNonce: new Uint8Array(0) };
          const result = verifyStatement(statement, { challenge: CHALLENGE, attestationKey, expectedKey, ...known });
          expect(result.findings.filter(({ status }) => status === 'fail')).toEqual([]);
          expect(result).toMatchObject({ ok: true, publicKey: publicKeyOf(area) });
        }
      }
    },
  );

  it('makes each check once and reports the finding', () => {
    const { findings } = verifyStatement(genuine, {
      ...GENUINE,
      expectedKey: { pubArea: genuine.pubArea },
      keyParent: SRK_NAME,
      akParent: handleName(TPM_RH.ENDORSEMENT),
    });
    const ids = ['structures', 'magic', 'type', 'challenge', 'name', 'signature', 'hashes'];
    const creation = [...ids, 'creation-hash', 'parent'];
    expect(findings.map(({ id }) => id)).toEqual([
      ...ids,
      'ak-trusted',
      'ak-parent',
      'public-key',
      'key-attributes',
      'key-strength',
      'key-parent',
      ...creation.map((id) => `creation/${id}`),
      'ak-attributes',
      'ak-strength',
      ...creation.map((id) => `ak-creation/${id}`),
    ]);
    expect(findings.every(({ detail }) => detail.length > 10)).toBe(true);
  });

  const weakRsa = (area: TpmtPublic): TpmtPublic =>
    area.type === TPM_ALG.RSA
      ? {
          ...area,
          parameters: { ...area.parameters, keyBits: 1024 },
          unique: area.unique.subarray(0, 128).with(127, 1),
        }
      : area;
  const { roca } = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8'));
  const rocaModulus = fromHex(roca.vectors.find(({ weak }: { weak: boolean }) => weak).modulusHex);

  it.each<[string, Changes, string[]]>([
    ['an exportable key', { key: setting({ fixedTPM: false, fixedParent: false }) }, ['key-attributes']],
    ['a key that another TPM may hold', { key: setting({ fixedTPM: false }) }, ['key-attributes']],
    ['a key that can change its parent', { key: setting({ fixedParent: false }) }, ['key-attributes']],
    ['a key made elsewhere', { key: setting({ sensitiveDataOrigin: false }) }, ['key-attributes']],
    ['a restricted key', { key: setting({ restricted: true }) }, ['key-attributes']],
    ['a key with encryptedDuplication', { key: setting({ encryptedDuplication: true }) }, ['key-attributes']],
    ['a key for nothing', { key: setting({ sign: false, decrypt: false }) }, ['key-attributes']],
    ['an attestation key that signs anything', { ak: setting({ restricted: false }) }, ['ak-attributes']],
    ['an attestation key that does not sign', { ak: setting({ sign: false }) }, ['ak-attributes']],
    ['an attestation key that decrypts', { ak: setting({ decrypt: true }) }, ['ak-attributes']],
    ['an attestation key made elsewhere', { ak: setting({ sensitiveDataOrigin: false }) }, ['ak-attributes']],
    ['an exportable attestation key', { ak: setting({ fixedTPM: false, fixedParent: false }) }, ['ak-attributes']],
    ['a key of 1024 bits', { key: weakRsa }, ['key-strength']],
    ['another challenge', { certInfo: (attest) => ({ ...attest, extraData: flipped(CHALLENGE, 0) }) }, ['challenge']],
    [
      'a longer challenge',
      { certInfo: (attest) => ({ ...attest, extraData: concat(CHALLENGE, CHALLENGE) }) },
      ['challenge'],
    ],
    ['a wrong magic', { certInfoBytes: (bytes) => flipped(bytes, 3) }, ['magic']],
    [
      'bytes left over',
      { certInfoBytes: (bytes) => concat(bytes, new Uint8Array(1)) },
      expect.arrayContaining(['structures']),
    ],
    [
      'a quote',
      { certInfoBytes: (bytes) => flipped(bytes, 5, 0x0f) },
      expect.arrayContaining(['structures', 'type', 'name']),
    ],
    ['a creation in its place', { certInfoBytes: (bytes) => flipped(bytes, 5, 0x0d) }, ['type', 'creation/parent']],
    [
      'the Name of another key',
      {
        certInfo: (attest) =>
          attest.type === TPM_ST.ATTEST_CERTIFY
            ? { ...attest, attested: { ...attest.attested, name: flipped(attest.attested.name, 33) } }
            : attest,
      },
      ['name'],
    ],
    [
      'the qualified name of another parent',
      {
        certInfo: (attest) =>
          attest.type === TPM_ST.ATTEST_CERTIFY
            ? { ...attest, attested: { ...attest.attested, qualifiedName: flipped(attest.attested.qualifiedName, 33) } }
            : attest,
      },
      ['creation/parent'],
    ],
    [
      'the signature of another key',
      { signer: paperKey(akTemplate('p-256'), 'another') },
      ['signature', 'creation/signature', 'ak-creation/signature'],
    ],
    [
      'the signature of a key of another kind',
      { signer: paperKey(akTemplate('rsa-2048'), 'another') },
      ['signature', 'creation/signature', 'ak-creation/signature'],
    ],
    [
      'a signature with another hash than the public area says',
      { signatureHash: TPM_ALG.SHA384 },
      ['signature', 'creation/signature', 'ak-creation/signature'],
    ],
    [
      'another digest of the creation data',
      {
        creation: (attest) =>
          attest.type === TPM_ST.ATTEST_CREATION
            ? { ...attest, attested: { ...attest.attested, creationHash: new Uint8Array(32) } }
            : attest,
      },
      ['creation/creation-hash'],
    ],
    [
      'another challenge for the creation',
      { creation: (attest) => ({ ...attest, extraData: SRK_NAME }) },
      ['creation/challenge'],
    ],
    [
      'the creation of another key',
      {
        creation: (attest) =>
          attest.type === TPM_ST.ATTEST_CREATION
            ? { ...attest, attested: { ...attest.attested, objectName: SRK_NAME } }
            : attest,
      },
      ['creation/name'],
    ],
    [
      'the creation under another parent',
      { creationData: (data) => ({ ...data, parentQualifiedName: handleName(TPM_RH.OWNER) }) },
      ['creation/parent', 'ak-creation/parent'],
    ],
    [
      'a creation of the attestation key with another nonce',
      { akCreation: (attest) => ({ ...attest, extraData: CHALLENGE }) },
      ['ak-creation/challenge'],
    ],
  ])('refuses %s', (_, changes, checks) => {
    expect(failed(paperStatement('rsa-2048', 'p-256', changes))).toEqual(checks);
  });

  it('explains the problem', () => {
    const said = (changes: Changes, options: Partial<VerifyOptions> = {}) => {
      const statement = paperStatement('rsa-2048', 'p-256', changes);
      const trusted = { attestationKey: { pubArea: statement.ak.pubArea } };
      return verifyStatement(statement, { ...GENUINE, ...trusted, ...options })
        .findings.filter(({ status }) => status === 'fail')
        .map(({ id, detail }) => `${id}: ${detail}`);
    };
    const [attest, attributes] = [
      (extraData: Uint8Array) => said({ certInfo: (one) => ({ ...one, extraData }) }),
      setting,
    ];
    expect(said({ certInfoBytes: (bytes) => flipped(bytes, 3) })[0]).toBe(
      'magic: the signed data begins with ff544346, not ff544347',
    );
    expect(said({ certInfoBytes: (bytes) => flipped(bytes, 5, 0x0d) })[0]).toBe(
      'type: the signed data is of type 0x801a, not 0x8017',
    );
    expect(attest(fromHex('abcd'))).toEqual([`challenge: extraData is abcd, but the challenge is ${toHex(CHALLENGE)}`]);
    expect(attest(new Uint8Array(0))).toEqual([
      `challenge: extraData is empty, but the challenge is ${toHex(CHALLENGE)}`,
    ]);
    expect(said({ key: attributes({ fixedTPM: false, restricted: true }) })).toEqual([
      'key-attributes: fixedTPM is clear, restricted is set',
    ]);
    expect(said({ key: attributes({ sign: false, decrypt: false }) })).toEqual([
      'key-attributes: neither sign nor decrypt is set',
    ]);
    expect(said({}, { attestationKey: { pubArea: CHALLENGE } })).toEqual([
      'ak-trusted: it is not the trusted attestation key',
    ]);
    expect(said({}, { expectedKey: { pubArea: CHALLENGE } })).toEqual(['public-key: it is not the expected key']);
    expect(said({}, { keyParent: CHALLENGE, akParent: CHALLENGE })).toEqual([
      'ak-parent: its qualified name belongs to another parent',
      'key-parent: its qualified name belongs to another parent',
    ]);
    expect(said({}, { akNonce: CHALLENGE })).toEqual([
      "ak-creation/challenge: the creation data's outsideInfo is not the nonce",
    ]);
    const { akCreation: _, ...bare } = genuine;
    expect(failed(genuine, { akNonce: new Uint8Array(0) })).toEqual([]);
    for (const akNonce of [CHALLENGE, new Uint8Array(0)]) {
      expect(failed(bare, { akNonce })).toEqual(['ak-creation/challenge']);
    }
    expect(failed(bare)).toEqual([]);
    const creation = (change: (attested: object) => object) =>
      said({ creation: (one) => ({ ...one, attested: change(one.attested) }) as typeof one });
    expect(creation((one) => ({ ...one, creationHash: new Uint8Array(32) }))).toEqual([
      'creation/creation-hash: the signed digest belongs to other creation data',
    ]);
    expect(creation((one) => ({ ...one, objectName: SRK_NAME }))).toEqual([
      'creation/name: the signed Name belongs to another object',
    ]);
    expect(said({ creationData: (data) => ({ ...data, parentQualifiedName: handleName(TPM_RH.OWNER) }) })).toEqual(
      ['creation/', 'ak-creation/'].map(
        (prefix) => `${prefix}parent: the creation data and the qualified name disagree on the parent`,
      ),
    );
    const sha1 = said({ signatureHash: TPM_ALG.SHA1 });
    expect(sha1).toContain('hashes: the signature or a Name uses SHA-1');
  });

  it('refuses SHA-1 unless it is accepted', () => {
    const sha1 = { details: { hashAlg: TPM_ALG.SHA1 } };
    const statement = paperStatement('p-256', 'rsa-2048', {
      signatureHash: TPM_ALG.SHA1,
      ak: (area) =>
        area.type === TPM_ALG.RSA
          ? { ...area, parameters: { ...area.parameters, scheme: { scheme: TPM_ALG.RSASSA, ...sha1 } } }
          : area,
    });
    expect(failed(statement)).toEqual(['hashes', 'creation/hashes', 'ak-creation/hashes']);
    expect(failed(statement, { acceptSha1: true })).toEqual([]);
    if (statement.akCreation === undefined) return expect.unreachable();
    const verify = (options?: object) =>
      verifyAttestationKey(statement.ak.pubArea, statement.akCreation as never, options);
    expect([verify().ok, verify({ acceptSha1: true }).ok]).toEqual([false, true]);
  });

  it('refuses a key, and an attestation key, with the ROCA fingerprint', () => {
    const weak = (area: TpmtPublic): TpmtPublic =>
      area.type === TPM_ALG.RSA ? { ...area, unique: rocaModulus } : area;
    expect(failed(paperStatement('rsa-2048', 'p-256', { key: weak }))).toEqual(['key-strength']);
    const signatures = ['signature', 'creation/signature', 'ak-creation/signature'];
    const checks = failed(paperStatement('p-256', 'rsa-2048', { ak: weak }));
    expect([...checks].sort()).toEqual([...signatures, 'ak-strength'].sort());
  });

  it('refuses an unexpected key or attestation key, with any identifier', () => {
    const user = paperKey(userKeyTemplate('rsa-2048'), 'another').area;
    const ak = paperKey(akTemplate('p-256'), 'another').area;
    for (const [expected, trusted] of [
      [{ pubArea: encode(TPMT_PUBLIC, user) }, { pubArea: encode(TPMT_PUBLIC, ak) }],
      [{ name: objectName(user) }, { name: objectName(ak) }],
      [{ spki: encodeSpki(publicKeyOf(user)) }, { spki: encodeSpki(publicKeyOf(ak)) }],
    ] as const) {
      expect(failed(genuine, { expectedKey: expected })).toEqual(['public-key']);
      expect(failed(genuine, { attestationKey: trusted })).toEqual(['ak-trusted']);
    }
  });

  it('refuses other parents than the expected ones', () => {
    expect(failed(genuine, { keyParent: handleName(TPM_RH.OWNER) })).toEqual(['key-parent']);
    expect(failed(genuine, { akParent: handleName(TPM_RH.OWNER) })).toEqual(['ak-parent']);
  });

  it.each([0, 15, 17, 64])('refuses a challenge of %i bytes when another was certified', (length) => {
    const challenge = concat(CHALLENGE, new Uint8Array(64)).slice(0, length);
    expect(failed(genuine, { challenge })).toEqual(['challenge', 'creation/challenge']);
  });

  describe.each(['rsa-2048', 'p-256'] as const)('with a %s attestation key', (ak) => {
    const statement = paperStatement('p-256', ak);
    const { creation: _, akCreation: __, ...bare } = statement;
    const trusted = { ...GENUINE, attestationKey: { pubArea: statement.ak.pubArea } };
    const parts = ['pubArea', 'certInfo', 'signature'] as const;

    it.each(parts)('refuses every single changed byte of %s', (part) => {
      const bytes = bare[part];
      for (let at = 0; at < bytes.length; at++) {
        for (const mask of [0x01, 0x80, 0xff]) {
          const { ok } = verifyStatement({ ...bare, [part]: flipped(bytes, at, mask) }, trusted);
          if (ok) expect.fail(`${part}, byte ${at}, mask ${mask}`);
        }
      }
    });

    it.each(parts)('refuses %s cut off at every byte, and with a byte more', (part) => {
      const bytes = bare[part];
      for (let length = 0; length < bytes.length; length++) {
        const { ok, findings } = verifyStatement({ ...bare, [part]: bytes.subarray(0, length) }, trusted);
        if (ok || findings[0]?.status !== 'fail') expect.fail(`${part}, ${length} bytes`);
      }
      const { ok } = verifyStatement({ ...bare, [part]: concat(bytes, new Uint8Array(1)) }, trusted);
      expect(ok).toBe(false);
    });

    it('refuses every single changed byte of the public area of the attestation key', () => {
      const name = objectName(decode(TPMT_PUBLIC, statement.ak.pubArea));
      for (const attestationKey of [{ pubArea: statement.ak.pubArea }, { name }]) {
        for (let at = 0; at < statement.ak.pubArea.length; at++) {
          const changed = { ...bare, ak: { pubArea: flipped(statement.ak.pubArea, at) } };
          if (verifyStatement(changed, { ...trusted, attestationKey }).ok) expect.fail(`byte ${at}`);
        }
      }
    });
  });

  it('refuses input without a Name or signature, or with a Name without a hash', () => {
    const detailOf = (statement: AttestationStatement, id: string) =>
      verifyStatement(statement, GENUINE).findings.find((one) => one.id === id)?.detail;
    const quote = { type: TPM_ST.ATTEST_QUOTE, attested: { pcrSelect: [], pcrDigest: new Uint8Array(32) } } as const;
    const quoted = paperStatement('rsa-2048', 'p-256', { certInfo: (one) => ({ ...one, ...quote }) });
    expect(detailOf(quoted, 'name')).toBe('the signed Name belongs to another object');
    const unsigned = { ...genuine, signature: encode(TPMT_SIGNATURE, { sigAlg: TPM_ALG.NULL }) };
    expect(failed(unsigned)).toEqual(['signature']);
    const nameless = {
      ...genuine,
      pubArea: concat(genuine.pubArea.subarray(0, 2), fromHex('0010'), genuine.pubArea.subarray(4)),
    };
    expect(detailOf(nameless, 'creation/creation-hash')).toBe('the hash algorithm 0x10 is not supported');
  });

  it('refuses what is not an asymmetric key', () => {
    const sealed: TpmtPublic = {
      type: TPM_ALG.KEYEDHASH,
      nameAlg: TPM_ALG.SHA256,
      objectAttributes: { fixedTPM: true, fixedParent: true, sensitiveDataOrigin: true, sign: true },
      authPolicy: new Uint8Array(0),
      parameters: { scheme: { scheme: TPM_ALG.NULL } },
      unique: new Uint8Array(32),
    };
    expect(failed(paperStatement('p-256', 'p-256', { key: () => sealed }))).toEqual(['key-strength']);
    const storage = srkTemplate('p-256');
    expect(failed(paperStatement('p-256', 'p-256', { key: () => storage }))).toEqual([
      'key-attributes',
      'key-strength',
    ]);
  });

  it('accepts an ECDSA signature without leading zeros in its numbers, as some TPMs make it', () => {
    const { creation: _, akCreation: __, ...statement } = genuine;
    const ak = paperKey(akTemplate('p-256'), 'ak');
    for (;;) {
      const signature = decode(TPMT_SIGNATURE, signAs(ak, statement.certInfo));
      if (signature.sigAlg !== TPM_ALG.ECDSA) return expect.unreachable();
      const { hash, signatureR, signatureS } = signature.signature;
      if (signatureR[0] !== 0) continue;
      const stripped = { hash, signatureR: signatureR.subarray(1), signatureS };
      const bytes = encode(TPMT_SIGNATURE, { sigAlg: TPM_ALG.ECDSA, signature: stripped });
      expect(failed({ ...statement, signature: bytes })).toEqual([]);
      return;
    }
  });

  it('never throws, whatever the bytes', () => {
    const hostile = [new Uint8Array(0), new Uint8Array(2000), new Uint8Array(70_000).fill(0xff)];
    for (const bytes of hostile) {
      const proof = { creationData: bytes, certInfo: bytes, signature: bytes };
      const statement = {
        version: 1,
        pubArea: bytes,
        certInfo: bytes,
        signature: bytes,
        ak: { pubArea: bytes },
      } as const;
      const all = { ...statement, creation: proof, akCreation: proof };
      for (const identity of [{ pubArea: bytes }, { name: bytes }, { spki: bytes }]) {
        const options = { attestationKey: identity, expectedKey: identity, keyParent: bytes, akParent: bytes };
        const result = verifyStatement(all, { ...GENUINE, ...options, akNonce: bytes });
        expect(result.ok).toBe(false);
        expect(result.findings).toHaveLength(7 + 8 + 9 + 9);
      }
    }
  });
});
