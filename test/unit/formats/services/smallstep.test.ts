import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromHex, toBase64 } from '../../../../src/bytes.ts';
import { encodeSpki } from '../../../../src/crypto/public-key.ts';
import {
  buildSmallstepAttest,
  buildSmallstepChain,
  buildSmallstepSecret,
  parseSmallstepAttest,
  parseSmallstepChain,
  parseSmallstepSecret,
} from '../../../../src/formats/services/smallstep.ts';
import { decode } from '../../../../src/tpm/codec/index.ts';
import { publicKeyOf } from '../../../../src/tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../../../src/tpm/structures/object.ts';
import { refusal } from '../../../refusal.ts';

const { p256 } = JSON.parse(readFileSync('test/vectors/make-credential.json', 'utf8'));
const ekArea = fromHex(p256.ekPublic.slice(4));
const vendor = {
  manufacturer: 'IBM',
  manufacturerId: 0x49424d00,
  vendorString: 'SW   TPM',
  firmwareVersion: 0x0007_0055_0001_0002n,
  revision: '1.64',
};
const akCreation = { creationData: fromHex('01'), certInfo: fromHex('02'), signature: fromHex('03') };

describe("smallstep's protocol", () => {
  it("asks with go-attestation's parameters", () => {
    const ak = { pubArea: fromHex('0405') };
    expect(buildSmallstepAttest({ vendor, ek: { pubArea: ekArea }, ak, akCreation })).toEqual({
      tpmInfo: { version: 2, manufacturer: '1229081856', model: 'SW   TPM', firmwareVersion: '7.85' },
      ek: toBase64(encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, ekArea)))),
      params: { public: 'BAU=', createData: 'AQ==', createAttestation: 'Ag==', createSignature: 'Aw==' },
    });
  });

  it('adds certificates if there are any', () => {
    const ek = { pubArea: ekArea, certificates: [fromHex('aa'), fromHex('bb')] };
    const ak = { pubArea: fromHex('0405'), certificates: [fromHex('cc'), fromHex('dd')] };
    const { ekCerts, akCert } = buildSmallstepAttest({ vendor, ek, ak, akCreation });
    expect([ekCerts, akCert]).toEqual([['qg==', 'uw=='], 'zA==']);
  });

  it('is read back as written, as text or parsed', () => {
    const ek = { pubArea: ekArea, certificates: [fromHex('aa')] };
    const ak = { pubArea: ekArea, certificates: [fromHex('cc')] };
    const body = buildSmallstepAttest({ vendor, ek, ak, akCreation });
    const expected = {
      tpmInfo: body.tpmInfo,
      ek: publicKeyOf(decode(TPMT_PUBLIC, ekArea)),
      ekCertificates: ek.certificates,
      ...{ ak, akCreation },
    };
    expect(parseSmallstepAttest(body)).toEqual(expected);
    expect(parseSmallstepAttest(JSON.stringify(body))).toEqual(expected);
    const bare = buildSmallstepAttest({ vendor, ek: { pubArea: ekArea }, ak: { pubArea: ekArea }, akCreation });
    expect(parseSmallstepAttest(bare)).toEqual({ ...expected, ekCertificates: [], ak: { pubArea: ekArea } });
    const tpmInfo = { ...body.tpmInfo, version: 1 };
    const wrong = [
      { ...body, tpmInfo },
      { ...body, ek: 'AAAA' },
      { ...body, more: 1 },
      { ...body, ekCerts: ['*'] },
    ];
    const params = [{ ...body.params, public: 'AAAA' }, { ...body.params, createData: 1 }, undefined];
    for (const json of [...wrong, ...params.map((one) => ({ ...body, params: one })), null, '{"ek":"","ek":""}']) {
      expect(refusal(() => parseSmallstepAttest(json))).toMatch(/^request-invalid: smallstep attest/);
    }
  });

  it('answers with secret and certificates that are read back', () => {
    expect(parseSmallstepSecret(buildSmallstepSecret(fromHex('00ff')))).toEqual(fromHex('00ff'));
    expect(refusal(() => parseSmallstepSecret({ secret: 'AP8' }))).toMatch(/^request-invalid: /);
    const chain = [fromHex('3000'), fromHex('300101')];
    expect(parseSmallstepChain(buildSmallstepChain(chain))).toEqual(chain);
  });

  it('sends the secret in base64', () => {
    expect(buildSmallstepSecret(fromHex('00ff'))).toEqual({ secret: 'AP8=' });
  });

  it('gets certificates in base64', () => {
    expect(parseSmallstepChain({ chain: ['MAA=', 'MAEB'] })).toEqual([fromHex('3000'), fromHex('300101')]);
  });

  it.each([[null], [{}], [{ chain: [] }], [{ chain: 'MAA=' }], [{ chain: ['*'] }], [{ chain: [7] }]])(
    'gets no certificates from %j',
    (json) => {
      expect(refusal(() => parseSmallstepChain(json))).toMatch(/^request-invalid: /);
    },
  );
});
