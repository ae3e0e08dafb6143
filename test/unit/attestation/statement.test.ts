import { describe, expect, it } from 'vitest';
import {
  type AttestationStatement,
  decodePublicArea,
  decodeStatement,
  encodeStatement,
} from '../../../src/attestation/index.ts';
import { fromHex } from '../../../src/bytes.ts';
import { decodeSpkiPem } from '../../../src/crypto/public-key.ts';
import { CodecError } from '../../../src/errors/codec-error.ts';
import { decode } from '../../../src/tpm/codec/index.ts';
import { publicKeyOf } from '../../../src/tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../../src/tpm/structures/object.ts';
import { refusal } from '../../refusal.ts';
import { flipped, paperStatement } from './paper-tpm.ts';

const certificates = [fromHex('3003020101'), fromHex('3003020102')];
const genuine = paperStatement('rsa-2048', 'p-256');
const full: AttestationStatement = {
  ...genuine,
  ak: { ...genuine.ak, certificates },
  ek: { pubArea: paperStatement('p-256', 'rsa-2048').pubArea, certificates: [] },
};
const { creation: _, akCreation: __, ...least } = genuine;

describe('encodeStatement', () => {
  it('contains the structures, and their contents in the forms of other tools', () => {
    const json = encodeStatement(genuine);
    expect(Object.keys(json)).toEqual([
      ...['version', 'pubArea', 'publicKey', 'certInfo', 'extraData', 'signature', 'bareSignature', 'ak'],
      ...['creation', 'akCreation'],
    ]);
    expect(json.certInfo).toMatch(/^ff54434780170022000b/);
    expect(json.extraData).toBe('00112233445566778899aabbccddeeff');
    expect(json.signature).toMatch(/^0018000b0020/);
    expect(json.bareSignature).toMatch(/^30[34][0-9a-f]02/);
    const keyOf = (pubArea: Uint8Array) => publicKeyOf(decode(TPMT_PUBLIC, pubArea));
    expect(decodeSpkiPem(json.publicKey)).toEqual(keyOf(genuine.pubArea));
    expect(decodeSpkiPem(json.ak.publicKey)).toEqual(keyOf(genuine.ak.pubArea));
  });

  it('gives an RSA signature as its bare bytes', () => {
    const json = encodeStatement(paperStatement('p-256', 'rsa-2048'));
    expect(json.signature).toBe(`0014000b0100${json.bareSignature}`);
    expect(json.bareSignature).toHaveLength(512);
  });

  it.each(['pubArea', 'certInfo', 'signature'] as const)('refuses a %s that cannot be read', (part) => {
    const broken = { ...genuine, [part]: genuine[part].subarray(1) };
    expect(() => encodeStatement(broken)).toThrow(
      expect.objectContaining({
        code: 'statement-invalid',
        message: 'attestation statement: one of its structures cannot be read',
        cause: expect.any(Error),
      }),
    );
  });
});

it('decodePublicArea reads a public area and nothing else', () => {
  expect(decodePublicArea(genuine.pubArea)).toEqual(decode(TPMT_PUBLIC, genuine.pubArea));
  expect(() => decodePublicArea(genuine.pubArea.subarray(1))).toThrow(CodecError);
});

describe('decodeStatement', () => {
  it.each([
    ['the least', least],
    ['all there can be', full],
  ])('reads back %s', (_, statement) => {
    expect(decodeStatement(JSON.parse(JSON.stringify(encodeStatement(statement))))).toEqual(statement);
  });

  it('does not need the redundant members', () => {
    const { publicKey: _, extraData: __, bareSignature: ___, ak, ek: ____, ...json } = encodeStatement(full);
    const { publicKey: _____, ...shortAk } = ak;
    const { ek: ______, ...expected } = full;
    expect(decodeStatement({ ...json, ak: shortAk })).toEqual(expected);
  });

  const json = encodeStatement(full);
  it.each<[string, unknown]>([
    ['nothing', null],
    ['text', 'statement'],
    ['a list', [json]],
    ['no version', { ...json, version: undefined }],
    ['version 2', { ...json, version: 2 }],
    ['version 1 as text', { ...json, version: '1' }],
    ['an unknown member', { ...json, nonce: '00' }],
    ['an unknown member of the attestation key', { ...json, ak: { ...json.ak, trusted: true } }],
    ['an unknown member of a creation', { ...json, creation: { ...json.creation, x: 1 } }],
    ['no public area', { ...json, pubArea: undefined }],
    ['no attestation key', { ...json, ak: undefined }],
    ['an attestation key of text', { ...json, ak: json.ak.pubArea }],
    ['a number for bytes', { ...json, signature: 18 }],
    ['half a byte', { ...json, certInfo: `${json.certInfo}0` }],
    ['upper case', { ...json, certInfo: json.certInfo.toUpperCase() }],
    ['bytes left over', { ...json, certInfo: `${json.certInfo}00` }],
    ['another extraData', { ...json, extraData: 'ff112233445566778899aabbccddeeff' }],
    [
      'another bare signature',
      { ...json, bareSignature: json.bareSignature.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')) },
    ],
    ['the public key of the attestation key', { ...json, publicKey: json.ak.publicKey }],
    ['another public key of the attestation key', { ...json, ak: { ...json.ak, publicKey: json.publicKey } }],
    ['certificates that are no list', { ...json, ak: { ...json.ak, certificates: 'MAMCAQE=' } }],
    ['a certificate that is not base64', { ...json, ak: { ...json.ak, certificates: ['MAMCAQE'] } }],
    ['a creation without its data', { ...json, creation: { ...json.creation, creationData: undefined } }],
    ['a creation of null', { ...json, creation: null }],
  ])('refuses %s', (_, value) => {
    expect(() => decodeStatement(value)).toThrow(expect.objectContaining({ code: 'statement-invalid' }));
  });

  it.each<[string, unknown, string]>([
    [
      'of version 2',
      { ...json, version: 2 },
      'version 2 is unknown; read it with the version of keyprov that wrote it',
    ],
    ['with another member', { ...json, ak: { ...json.ak, x: 1 } }, 'ak.x is an unknown member'],
    ['with a member of the name of a method', { ...json, toString: '' }, 'toString is an unknown member'],
    ['with half a byte', { ...json, certInfo: '0' }, 'certInfo: not an even number of hexadecimal digits'],
    ['with another key', { ...json, ak: { ...json.ak, publicKey: 'x' } }, 'ak.publicKey does not match the structures'],
    ['with a text for a creation', { ...json, creation: 'x' }, 'creation: not an object'],
  ])('explains the problem with one %s', (_, value, problem) => {
    expect(refusal(() => decodeStatement(value))).toBe(`statement-invalid: attestation statement: ${problem}`);
  });

  it('keeps the cause', () => {
    const thrown = () => decodeStatement({ ...json, certInfo: '0' });
    expect(thrown).toThrow(expect.objectContaining({ cause: expect.any(TypeError) }));
  });

  it('refuses a statement whose signature was replaced but not its bare form', () => {
    const { signature } = encodeStatement({ ...full, signature: flipped(full.signature, 40) });
    expect(() => decodeStatement({ ...json, signature })).toThrow(/bareSignature does not match the structures/);
  });
});
