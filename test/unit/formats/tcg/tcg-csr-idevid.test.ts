import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { encodeBareSignature, verifyStatement } from '../../../../src/attestation/index.ts';
import { type Bytes, concat, equal, fromHex, toHex } from '../../../../src/bytes.ts';
import { digest } from '../../../../src/crypto/kdf.ts';
import {
  decodeIdevidContent,
  encodeIdevidContent,
  type IdevidContent,
} from '../../../../src/formats/tcg/idevid-content.ts';
import {
  buildTcgCsrIdevid,
  encodeTcgCsrIdevid,
  parseTcgCsrIdevid,
  statementFromIdevid,
  verifyTcgCsrIdevid,
} from '../../../../src/formats/tcg/tcg-csr-idevid.ts';
import { signingKeyOf } from '../../../../src/testing/signing-key.ts';
import { decode, encode } from '../../../../src/tpm/codec/index.ts';
import { TPM_ALG } from '../../../../src/tpm/constants.ts';
import { publicKeyOf } from '../../../../src/tpm/public-key.ts';
import { TPMT_SIGNATURE } from '../../../../src/tpm/structures/algorithm.ts';
import { TPMT_PUBLIC } from '../../../../src/tpm/structures/object.ts';
import { akTemplate, userKeyTemplate } from '../../../../src/tpm/templates.ts';
import { asyncRefusal, refusal } from '../../../refusal.ts';
import { CHALLENGE, flipped, paperKey, paperStatement } from '../../attestation/paper-tpm.ts';

const { statements } = JSON.parse(readFileSync('test/vectors/attestation.json', 'utf8'));
const device = statements.find((one: { source: string }) => one.source.startsWith('openconfig/attestz')).input;
const EMPTY = new Uint8Array(0);

/** The parts of a real device's request that were published. */
const content: IdevidContent = {
  hashAlgoId: TPM_ALG.SHA384,
  prodModel: 'model',
  prodSerial: 'Sérial',
  prodCaData: fromHex('01'),
  bootEvntLog: EMPTY,
  ekCert: fromHex('30020500'),
  attestPub: fromHex(device.akPubArea),
  atCreateTkt: EMPTY,
  atCertifyInfo: EMPTY,
  atCertifyInfoSignature: EMPTY,
  signingPub: fromHex(device.pubArea),
  sgnCertifyInfo: fromHex(device.certInfo),
  sgnCertifyInfoSignature: fromHex(device.signature),
  pad: fromHex('aabbcc'),
};
const bytes = encodeIdevidContent(content);

/** With a new digest if the other parts are changed. */
function withDigest(changed: Uint8Array): Bytes {
  return concat(changed.subarray(0, 12), digest('sha384', changed.subarray(60)), changed.subarray(60));
}

describe('a content', () => {
  it('begins with version, hash algorithm and the digest of the rest, then thirteen sizes', () => {
    expect(toHex(bytes.subarray(0, 12))).toBe('000001000000000c00000030');
    expect(toHex(bytes.subarray(12, 60))).toBe(toHex(digest('sha384', bytes.subarray(60))));
    const sizes = Array.from({ length: 13 }, (_, i) => new DataView(bytes.buffer).getUint32(60 + 4 * i));
    const { attestPub, signingPub, sgnCertifyInfo, sgnCertifyInfoSignature } = content;
    const [pub, certified] = [[attestPub.length, 0, 0, 0, signingPub.length], sgnCertifyInfo.length];
    expect(sizes).toEqual([5, 7, 1, 0, 4, ...pub, certified, sgnCertifyInfoSignature.length, 3]);
    expect(Buffer.from(bytes.subarray(112, 124)).toString()).toBe('modelSérial');
  });

  it('is read back, and written to the same bytes', () => {
    expect(decodeIdevidContent(bytes)).toEqual(content);
    expect(encodeIdevidContent(decodeIdevidContent(bytes))).toEqual(bytes);
  });

  it.each([TPM_ALG.SHA256, TPM_ALG.SHA384, TPM_ALG.SHA512] as const)(
    'with hash 0x%s is filled up to 16',
    (hashAlgoId) => {
      for (const model of ['', 'a', 'ab', 'abcdefghijklmno']) {
        const { pad, ...rest } = content;
        const padded = encodeIdevidContent({ ...rest, hashAlgoId, prodModel: model });
        expect(padded.length % 16).toBe(0);
        const read = decodeIdevidContent(padded);
        expect(read.pad.length).toBeLessThan(16);
        expect({ ...read, pad }).toEqual({ ...content, hashAlgoId, prodModel: model });
      }
    },
  );

  it("names a real device's IDevID, which its IAK certifies", () => {
    const statement = statementFromIdevid(decodeIdevidContent(bytes));
    const pubArea = content.attestPub;
    const result = verifyStatement(statement, { challenge: EMPTY, attestationKey: { pubArea } });
    expect(result.findings.filter(({ status }) => status === 'fail')).toEqual([]);
    expect(result.ok).toBe(true);
  });

  it('is read with TPM2Bs in place of TPMTs, returned without their sizes', () => {
    const sized = (part: Uint8Array) => concat(new Uint8Array([part.length >> 8, part.length & 0xff]), part);
    const { attestPub, signingPub, sgnCertifyInfo } = content;
    const other = encodeIdevidContent({
      ...content,
      attestPub: sized(attestPub),
      signingPub: sized(signingPub),
      sgnCertifyInfo: sized(sgnCertifyInfo),
    });
    expect(equal(other, bytes)).toBe(false);
    expect(decodeIdevidContent(other)).toEqual(content);
  });

  it('is refused when it is cut off anywhere, or any byte is changed', () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(refusal(() => decodeIdevidContent(bytes.subarray(0, length)))).toMatch(/^request-invalid: /);
    }
    for (let at = 0; at < bytes.length; at++) {
      expect(refusal(() => decodeIdevidContent(flipped(bytes, at)))).toMatch(/^request-invalid: /);
    }
  });

  const over = (at: number, hex: string): Bytes => {
    const changed = bytes.slice();
    changed.set(fromHex(hex), at);
    return withDigest(changed);
  };
  const areaAt = 112 + 12 + 1 + 4;
  it.each<[string, Uint8Array, RegExp]>([
    ['another version', over(0, '01'), /the content version 0x1000100 is unknown/],
    ['an unknown hash algorithm', over(6, '0004'), /hash algorithm 0x4 is unknown/],
    ['a digest of another size', over(8, '00000020'), /the digest size does not/],
    ['a size beyond the end', over(60, 'ffffffff'), /4294967295 bytes expected/],
    ['a size that leaves bytes over', over(108, '00000000'), /3 bytes left over/],
    ['text that is no UTF-8', over(112, 'ff'), /prodModel/],
    ['a key that is none', over(areaAt, 'ff'), /attestPub: .*TPMT_PUBLIC/],
  ])('is refused with %s', (_, changed, problem) => {
    expect(refusal(() => decodeIdevidContent(changed))).toMatch(/^request-invalid: TCG-CSR-IDEVID/);
    expect(refusal(() => decodeIdevidContent(changed))).toMatch(problem);
  });
});

describe.each(['rsa-2048', 'p-256'] as const)('a request of a %s key', (kind) => {
  const withScheme = (hash: typeof TPM_ALG.SHA256 = TPM_ALG.SHA256) =>
    ({
      key: (area) =>
        ({ ...akTemplate(kind), ...area, parameters: { ...area.parameters, scheme: schemeOf(hash) } }) as typeof area,
    }) satisfies Parameters<typeof paperStatement>[2];
  const schemeOf = (hashAlg: number) => ({
    scheme: kind === 'rsa-2048' ? TPM_ALG.RSASSA : TPM_ALG.ECDSA,
    details: { hashAlg },
  });
  const statement = paperStatement(kind, 'p-256', withScheme());
  const key = signingKeyOf(paperKey(userKeyTemplate(kind), 'user').privateKey);
  const options = { statement, key, prodModel: 'M', prodSerial: 'S', ekCert: fromHex('30020500') };

  it('is built, read, and verified', async () => {
    const csr = await buildTcgCsrIdevid(options);
    const read = parseTcgCsrIdevid(csr);
    expect(verifyTcgCsrIdevid(read)).toBe(true);
    expect(read.content).toMatchObject({ prodModel: 'M', prodSerial: 'S', hashAlgoId: TPM_ALG.SHA256 });
    expect(read.content.ekCert).toEqual(options.ekCert);
    expect(csr.length).toBe(12 + read.contentBytes.length + read.signature.length);
    expect(encodeTcgCsrIdevid(read)).toEqual(csr);
    const again = statementFromIdevid(read.content);
    const attestationKey = { pubArea: statement.ak.pubArea };
    expect(verifyStatement(again, { challenge: CHALLENGE, attestationKey }).ok).toBe(true);
  });

  it('is read with the other outer version and a bare signature', async () => {
    const read = parseTcgCsrIdevid(await buildTcgCsrIdevid(options));
    const signature = encodeBareSignature(decode(TPMT_SIGNATURE, read.signature));
    const other = encodeTcgCsrIdevid({ ...read, signature });
    other.set(fromHex('01000100'));
    expect(parseTcgCsrIdevid(other)).toEqual(read);
  });

  it('does not verify with another content, key or signature', async () => {
    const read = parseTcgCsrIdevid(await buildTcgCsrIdevid(options));
    const { contentBytes, signature } = read;
    expect(verifyTcgCsrIdevid({ ...read, contentBytes: flipped(contentBytes, 100) })).toBe(false);
    expect(verifyTcgCsrIdevid({ ...read, signature: flipped(signature, signature.length - 1) })).toBe(false);
    expect(verifyTcgCsrIdevid({ ...read, signature: EMPTY })).toBe(false);
    const signingPub = statement.ak.pubArea;
    expect(verifyTcgCsrIdevid({ ...read, content: { ...read.content, signingPub } })).toBe(false);
  });

  it('is refused when it is cut off anywhere, or has another version', async () => {
    const csr = await buildTcgCsrIdevid(options);
    for (let length = 0; length < csr.length; length++) {
      expect(refusal(() => parseTcgCsrIdevid(csr.subarray(0, length)))).toMatch(/^request-invalid: /);
    }
    expect(refusal(() => parseTcgCsrIdevid(flipped(csr, 3)))).toMatch(/version 0x101/);
    expect(refusal(() => parseTcgCsrIdevid(concat(csr, fromHex('00'))))).toMatch(/1 byte left over/);
  });

  it('is not built for a key without scheme, or with another signing key', async () => {
    const plain = { ...options, statement: paperStatement(kind, 'p-256') };
    expect(await asyncRefusal(() => buildTcgCsrIdevid(plain))).toMatch(/has no signing scheme/);
    const other = { ...options, key: signingKeyOf(paperKey(akTemplate('p-256'), 'ak').privateKey) };
    expect(await asyncRefusal(() => buildTcgCsrIdevid(other))).toMatch(/the statement is for another key/);
  });
});

it('the sample key has the public key of the signing key', () => {
  const { area, privateKey } = paperKey(userKeyTemplate('p-256'), 'user');
  expect(publicKeyOf(decode(TPMT_PUBLIC, encode(TPMT_PUBLIC, area)))).toEqual(signingKeyOf(privateKey).publicKey);
});
