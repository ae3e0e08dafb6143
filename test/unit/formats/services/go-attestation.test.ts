import { describe, expect, it } from 'vitest';
import { fromBase64, toBase64 } from '../../../../src/bytes.ts';
import {
  buildGoAttestationParameters,
  buildGoCertificationParameters,
  buildGoQuote,
  parseGoAttestationParameters,
  parseGoCertificationParameters,
  parseGoQuote,
} from '../../../../src/formats/services/go-attestation.ts';
import { refusal } from '../../../refusal.ts';
import { paperStatement } from '../../attestation/paper-tpm.ts';

const statement = paperStatement('p-256', 'rsa-2048');
const { pubArea, certInfo, signature } = statement;
const akCreation = statement.akCreation ?? expect.unreachable('paper statements have it');
const ak = { pubArea: statement.ak.pubArea, ...akCreation };

const forms: [string, object, (json: unknown) => object, object][] = [
  ['AttestationParameters', buildGoAttestationParameters(ak), parseGoAttestationParameters, ak],
  [
    'CertificationParameters',
    buildGoCertificationParameters(statement),
    parseGoCertificationParameters,
    { pubArea, certInfo, signature },
  ],
  ['Quote', buildGoQuote({ certInfo, signature }), parseGoQuote, { certInfo, signature }],
];

describe.each(forms)("go-attestation's %s", (name, json, parse, parts) => {
  it('goes through JSON and back', () => {
    expect(parse(JSON.parse(JSON.stringify(json)))).toEqual(parts);
  });

  const texts = Object.entries(json).filter(([, value]) => typeof value === 'string');
  it.each(texts)('is refused if %s is missing, not base64, or cut off at any byte', (member, value) => {
    const where = new RegExp(`^request-invalid: go-attestation (?:${name}: )?${member}: `);
    expect(refusal(() => parse({ ...json, [member]: undefined }))).toMatch(/: missing$/);
    expect(refusal(() => parse({ ...json, [member]: `${value} ` }))).toMatch(where);
    const bytes = fromBase64(value);
    for (let length = 0; length < bytes.length; length++) {
      const cut = { ...json, [member]: toBase64(bytes.subarray(0, length)) };
      expect(refusal(() => parse(cut))).toMatch(where);
    }
  });

  it('is refused with an unknown member, or if it is not an object', () => {
    expect(refusal(() => parse({ ...json, Nonce: '' }))).toBe(
      `request-invalid: go-attestation ${name}: unknown member "Nonce"`,
    );
    expect(refusal(() => parse([json]))).toBe(`request-invalid: go-attestation ${name}: not a JSON object`);
  });
});

describe('go-attestation JSON', () => {
  it("has the names and values that Go's decoder reads", () => {
    expect(buildGoAttestationParameters(ak)).toEqual({
      Public: toBase64(statement.ak.pubArea),
      UseTCSDActivationFormat: false,
      CreateData: toBase64(akCreation.creationData),
      CreateAttestation: toBase64(akCreation.certInfo),
      CreateSignature: toBase64(akCreation.signature),
    });
    expect(JSON.stringify(buildGoCertificationParameters(statement))).toMatch(/"CreateData":null/);
  });

  it('is refused for TPM 1.2', () => {
    const parameters = { ...buildGoAttestationParameters(ak), UseTCSDActivationFormat: true };
    expect(refusal(() => parseGoAttestationParameters(parameters))).toMatch(/UseTCSDActivationFormat: not false$/);
    const quote = { ...buildGoQuote(statement), Version: 1 };
    expect(refusal(() => parseGoQuote(quote))).toBe(
      'request-invalid: go-attestation Quote: Version: 1, not 2 (TPM 2.0)',
    );
    const { Version: _, ...newer } = buildGoQuote(statement);
    expect(parseGoQuote(newer)).toEqual({ certInfo, signature });
  });

  it('is refused as a certification with creation data', () => {
    const parameters = { ...buildGoCertificationParameters(statement), CreateData: 'AAAA' };
    expect(refusal(() => parseGoCertificationParameters(parameters))).toMatch(/CreateData: not null$/);
  });
});
