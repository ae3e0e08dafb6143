import { sayError } from '../errors.ts';
import { parseWcceAttributes } from '../formats/windows/ms-wcce.ts';
import type { AlternativeName } from '../formats/x509/alternative-names.ts';
import type { Attribute } from '../formats/x509/attributes.ts';
import { parseCertificateRequest, verifyCertificateRequest } from '../formats/x509/certificate-request.ts';
import { decodeContentEncryption } from '../formats/x509/enveloped-data.ts';
import type { Extension } from '../formats/x509/extensions.ts';
import { ATTESTATION_ATTRIBUTE } from '../formats/x509/lamps-attestation.ts';
import { envelopeFields, nameOid, nameText, quirksOf } from './certificate-parts.ts';
import { bytesField, field, group, hexOf, joined, listIfAny, nameField, nested, optional } from './fields.ts';
import type { Content, Description, Field, Part } from './inspection.ts';
import { describeBundles } from './lamps.ts';
import { keyField } from './unused-keys.ts';
import { kastFields } from './windows-formats.ts';

/** A PKCS#10 request in DER, with what its attributes attest. */
export function describeCertificateRequest(der: Uint8Array): Description {
  const request = parseCertificateRequest(der);
  const problems = quirksOf(request.quirks);
  if (!verifyCertificateRequest(request)) problems.push('the signature does not verify, or its algorithm is unknown');
  const fields = [
    nameField('subject', request.subject),
    keyField(request.spki),
    field('signature algorithm', request.signature.algorithm),
    ...listIfAny('alternative names', request.alternativeNames, alternativeName),
    ...listIfAny('extensions', request.extensions, describeExtension),
    ...listIfAny('attributes', request.attributes, describeAttribute),
  ];
  return joined({ problems, fields }, ...attestationsIn(request.attributes));
}

function alternativeName(name: string, of: AlternativeName): Field {
  switch (of.kind) {
    case 'permanent-identifier':
      return field(
        name,
        `permanent identifier: ${of.value ?? ''}${of.assigner === undefined ? '' : ` (${of.assigner})`}`,
      );
    case 'hardware-module':
      return field(name, `hardware module: ${hexOf(of.serialNumber)} (${of.type})`);
    case 'other-name':
      return field(name, `other name ${of.type}: ${hexOf(of.value)}`);
    default:
      return field(name, `${of.kind}: ${nameText(of.value)}`);
  }
}

const describeExtension = (_: string, { oid, critical, value }: Extension): Field =>
  field(nameOid(oid), `${critical ? 'critical, ' : ''}${hexOf(value)}`);

/** Shows only the size, as a challengePassword is a secret. */
const describeAttribute = (_: string, { oid, values }: Attribute): Field =>
  field(nameOid(oid), `${values.reduce((sum, { length }) => sum + length, 0)} bytes`);

/** What the attributes attest, or why that cannot be read. */
function attestationsIn(attributes: readonly Attribute[]): Content[] {
  const read = (name: string, describe: () => Content): Content => {
    try {
      const part = nested(name, describe());
      return part.fields?.length === 0 ? [] : [part];
    } catch (error) {
      return { problems: [`${name}: ${sayError(error)}`], fields: [] };
    }
  };
  const bundles = attributes.filter(({ oid }) => oid === ATTESTATION_ATTRIBUTE).flatMap(({ values }) => values);
  return [
    ...bundles.map((bundle) => read('attestation bundle', () => describeBundles(bundle))),
    read('Windows attestation', () => wcceFields(attributes)),
  ];
}

function wcceFields(attributes: readonly Attribute[]): Part[] {
  const { kast, kspName, ekInfo, aikInfo, exchangeCertificateHash, challenge, encryptionAlgorithm } =
    parseWcceAttributes(attributes);
  return [
    ...optional(kspName, (name) => field('provider', name)),
    ...optional(kast, (bytes) => nested('statement', kastFields(bytes))),
    ...optional(ekInfo, (envelope) => group('endorsement key, encrypted', envelopeFields(envelope))),
    ...optional(aikInfo, (envelope) => group('attestation key, encrypted', envelopeFields(envelope))),
    ...optional(exchangeCertificateHash, (hash) => bytesField('exchange certificate', hash)),
    ...optional(challenge, (bytes) => bytesField('challenge', bytes)),
    ...optional(encryptionAlgorithm, (oid) => field('cipher', decodeContentEncryption(oid) ?? oid)),
  ];
}
