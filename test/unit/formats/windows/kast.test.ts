import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { verifyAttestationKey, verifyStatement } from '../../../../src/attestation/index.ts';
import { concat, fromHex, toHex } from '../../../../src/bytes.ts';
import { decodeKads, encodeKads } from '../../../../src/formats/windows/kads.ts';
import {
  buildKast,
  decodeKast,
  encodeKast,
  type Kast,
  statementFromKast,
} from '../../../../src/formats/windows/kast.ts';
import { decode } from '../../../../src/tpm/codec/index.ts';
import { TPMS_ATTEST } from '../../../../src/tpm/structures/attest.ts';
import { userKeyTemplate } from '../../../../src/tpm/templates.ts';
import { CHALLENGE, flipped, paperStatement } from '../../attestation/paper-tpm.ts';

const { composed, windowsAik } = JSON.parse(readFileSync('test/vectors/kast.json', 'utf8'));
const kastBytes = fromHex(composed.kastHex);
const kast = decodeKast(kastBytes);
const akPubArea = fromHex(composed.aikTpm2bPublicHex).subarray(2);
const invalid = expect.objectContaining({ code: 'request-invalid' });

describe('decodeKast', () => {
  it('reads the composed statement, which is written back to the same bytes', () => {
    expect(kast.idBinding?.pubArea).toEqual(akPubArea);
    expect(kast.aikOpaque).toHaveLength(0);
    if (kast.keyAttestation === undefined) return expect.unreachable();
    expect(toHex(encodeKads(kast.keyAttestation))).toBe(composed.kadsHex);
    expect(decodeKads(fromHex(composed.kadsHex))).toEqual(kast.keyAttestation);
    expect(kast.keyAttestation.signature).toHaveLength(256);
    expect(encodeKast(kast)).toEqual(kastBytes);
  });

  it('reads back each claim, and an opaque attestation key', () => {
    const { idBinding, keyAttestation } = kast;
    if (idBinding === undefined || keyAttestation === undefined) return expect.unreachable();
    const aikOpaque = new Uint8Array(0);
    const claims: Kast[] = [{ idBinding, aikOpaque }, { keyAttestation, aikOpaque }, { aikOpaque: fromHex('c0ffee') }];
    for (const claim of claims) expect(decodeKast(encodeKast(claim))).toEqual(claim);
    expect(toHex(encodeKast({ aikOpaque }))).toBe(`4b415354${'01000000020000001c000000'}${'00'.repeat(12)}`);
  });

  it('reads the binding of a real Windows attestation key, which verifies, and writes the same bytes', () => {
    const parts = ['creationData', 'certInfo', 'signature'].map((name) => fromHex(windowsAik[name]));
    const [creationData, certInfo, signature] = parts as [Uint8Array, Uint8Array, Uint8Array];
    const pubArea = fromHex(windowsAik.pubArea);
    const sized = (bytes: Uint8Array) => concat(new Uint8Array([bytes.length >> 8, bytes.length & 255]), bytes);
    const binding = concat(sized(pubArea), sized(creationData), sized(certInfo), signature);
    const head = fromHex(
      `4b41535401000000020000001c000000${toHex(new Uint8Array([binding.length & 255, binding.length >> 8]))}0000${'00'.repeat(8)}`,
    );
    const bytes = concat(head, binding);
    const { idBinding, ...rest } = decodeKast(bytes);
    expect(idBinding).toEqual({ pubArea, creationData, certInfo, signature });
    expect(rest).toEqual({ aikOpaque: new Uint8Array(0) });
    expect(encodeKast({ idBinding: { pubArea, creationData, certInfo, signature }, ...rest })).toEqual(bytes);
    expect(verifyAttestationKey(pubArea, { creationData, certInfo, signature }, { acceptSha1: true }).ok).toBe(true);
  });

  it('refuses a statement that is cut off anywhere, or has extra bytes', () => {
    for (let length = 0; length < kastBytes.length; length++) {
      expect(() => decodeKast(kastBytes.subarray(0, length))).toThrow(invalid);
    }
    expect(() => decodeKast(concat(kastBytes, new Uint8Array(1)))).toThrow(invalid);
  });

  const KADS_AT = 28 + 0x36a;
  const over = (at: number, replacement: string): Uint8Array => {
    const bytes = kastBytes.slice();
    bytes.set(fromHex(replacement), at);
    return bytes;
  };
  it.each<[string, Uint8Array, RegExp]>([
    ['another magic', over(0, '4c'), /KAST: it does not begin with KAST/],
    ['version 2', over(4, '02'), /KAST: its version is 2/],
    ['TPM 1.2', over(8, '01'), /KAST: its platform is 1/],
    ['a header of another size', over(12, '20'), /KAST: the size of its header is 32/],
    ['an attestation key that is none', over(30, 'ff'), /KAST: .*TPMT_PUBLIC/],
    ['a signature with bytes left over', over(20, '00000000'), /KAST: its header and parts need/],
    ['another magic inside', over(KADS_AT, '4441'), /KADS: it does not begin with the bytes "KADS"/],
    ['the magic inside in the other order', over(KADS_AT, '5344414b'), /KADS: it does not begin with the bytes "KADS"/],
    ['TPM 1.2 inside', over(KADS_AT + 4, '01'), /KADS: its platform is 1/],
    ['a header of another size inside', over(KADS_AT + 8, '1c'), /KADS: the size of its header is 28/],
    ['data that no TPM has signed', over(KADS_AT + 24, '00'), /KADS: TPMS_ATTEST/],
    ['a key that is none', over(KADS_AT + 24 + 0xad + 256, '00'), /PCP key blob: it does not begin/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => decodeKast(bytes)).toThrow(message);
    expect(() => decodeKast(bytes)).toThrow(invalid);
  });
});

describe('statementFromKast', () => {
  it('returns the statement of the composed KAST, which verifies', () => {
    const statement = statementFromKast(kast);
    const options = {
      challenge: fromHex(composed.keyAttestNonceHex),
      akNonce: fromHex(composed.idBindingNonceHex),
      attestationKey: { pubArea: akPubArea },
      keyParent: fromHex('000b8c4ee60d00bb1a6402f31661bb98f67eec00ef71b05e7d9e3793895df64a300b'),
      akParent: fromHex('000b8c4ee60d00bb1a6402f31661bb98f67eec00ef71b05e7d9e3793895df64a300b'),
      acceptSha1: true,
    };
    const failed = (changes: Partial<typeof options>) =>
      verifyStatement(statement, { ...options, ...changes })
        .findings.filter(({ status }) => status === 'fail')
        .map(({ id }) => id);
    expect(failed({})).toEqual([]);
    expect(failed({ acceptSha1: false })).toEqual(['hashes', 'ak-creation/hashes']);
    expect(failed({ challenge: CHALLENGE })).toEqual(['challenge']);
    expect(failed({ akNonce: CHALLENGE })).toEqual(['ak-creation/challenge']);
    const certified = decode(TPMS_ATTEST, statement.certInfo);
    expect(toHex(certified.qualifiedSigner)).toBe(composed.qualifiedSignerExpected);
    expect('qualifiedName' in certified.attested && toHex(certified.attested.qualifiedName)).toBe(
      composed.qualifiedNameExpected,
    );
  });

  it('needs the attestation key if the KAST lacks it, and refuses another one if it has it', () => {
    const { keyAttestation, aikOpaque } = kast;
    if (keyAttestation === undefined) return expect.unreachable();
    const subjectOnly = { keyAttestation, aikOpaque };
    expect(() => statementFromKast(subjectOnly)).toThrow(/does not contain the attestation key/);
    const { akCreation: _, ...expected } = statementFromKast(kast);
    expect(statementFromKast(subjectOnly, akPubArea)).toEqual(expected);
    expect(statementFromKast(kast, akPubArea)).toEqual(statementFromKast(kast));
    expect(() => statementFromKast(kast, flipped(akPubArea, 100))).toThrow(/another attestation key/);
  });

  it('refuses a KAST without a key, and a key with other policies than its list', () => {
    const { keyAttestation, ...rest } = kast;
    expect(() => statementFromKast(rest)).toThrow(/does not attest a key/);
    if (keyAttestation === undefined) return expect.unreachable();
    const keyBlob = { ...keyAttestation.keyBlob, policyDigests: [] };
    expect(() => statementFromKast({ ...kast, keyAttestation: { ...keyAttestation, keyBlob } })).toThrow(invalid);
  });
});

describe('buildKast', () => {
  const privateArea = fromHex('c0ffee');
  const statement = paperStatement('rsa-2048', 'rsa-2048');
  const { creation: _, akCreation: __, ...bare } = statement;

  it.each([true, false])('contains the statement, with the flag for a key with a PIN: %s', (authRequired) => {
    const both = buildKast(statement, { claim: 'authority-and-subject', privateArea, authRequired });
    const subject = buildKast(bare, { claim: 'subject-only', privateArea, authRequired });
    expect(toHex(both.subarray(0, 16))).toBe('4b41535401000000020000001c000000');
    const read = decodeKast(subject);
    expect(read.keyAttestation?.keyBlob).toMatchObject({
      flags: authRequired ? 1 : 0,
      form: 'windows-10',
      privateArea,
    });
    expect(read.idBinding).toBeUndefined();
    expect(statementFromKast(read, statement.ak.pubArea)).toEqual(bare);
    const { creation: _, ...expected } = statement;
    expect(statementFromKast(decodeKast(both))).toEqual(expected);
  });

  it('leaves out a missing private area, and reads a KAST without it', () => {
    const options = { claim: 'authority-and-subject', authRequired: true } as const;
    const without = buildKast(statement, { ...options, privateArea: new Uint8Array(0) });
    // Without the area and its length.
    expect(without).toHaveLength(buildKast(statement, { ...options, privateArea }).length - privateArea.length - 2);
    const read = decodeKast(without);
    expect(read.keyAttestation?.keyBlob.privateArea).toEqual(new Uint8Array(0));
    expect(encodeKast(read)).toEqual(without);
    const { creation: _, ...expected } = statement;
    expect(statementFromKast(read)).toEqual(expected);
  });

  it('accepts a key without a policy', () => {
    const plain = paperStatement('p-256', 'rsa-2048', { key: (area) => ({ ...area, authPolicy: new Uint8Array(0) }) });
    const read = decodeKast(buildKast(plain, { claim: 'subject-only', privateArea, authRequired: false }));
    expect(read.keyAttestation?.keyBlob.policyDigests).toEqual([]);
    expect(statementFromKast(read, plain.ak.pubArea).pubArea).toEqual(plain.pubArea);
  });

  it('refuses statements that a KAST cannot contain', () => {
    const options = { claim: 'authority-and-subject', privateArea, authRequired: true } as const;
    expect(() => buildKast(paperStatement('rsa-2048', 'p-256'), options)).toThrow(/contain only an RSASSA/);
    expect(() => buildKast(bare, options)).toThrow(/no creation proof for the attestation key/);
    const another = paperStatement('rsa-2048', 'rsa-2048', {
      key: (area) => ({ ...area, authPolicy: flipped(userKeyTemplate('rsa-2048').authPolicy, 0) }),
    });
    expect(() => buildKast(another, options)).toThrow(/policy is not the Windows Hello policy/);
  });
});
