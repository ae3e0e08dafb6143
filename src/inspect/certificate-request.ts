import { sayError } from '../errors.ts';
import { parseWcceAttributes } from '../formats/windows/ms-wcce.ts';
import type { AlternativeName } from '../formats/x509/alternative-names.ts';
import type { Attribute } from '../formats/x509/attributes.ts';
import { parseCertificateRequest, verifyCertificateRequest } from '../formats/x509/certificate-request.ts';
import { decodeContentEncryption } from '../formats/x509/enveloped-data.ts';
import type { Extension } from '../formats/x509/extensions.ts';
import { ATTESTATION_ATTRIBUTE } from '../formats/x509/lamps-attestation.ts';
import { envelopeFields, nameOid, nameText, quirksOf } from './certificate-parts.ts';
import { bytesField, describing, field, group, hexOf, listOf, nameField, nested, optional } from './fields.ts';
import type { Description, Field } from './inspection.ts';
import { describeBundles } from './lamps.ts';
import { keyField } from './unused-keys.ts';
import { describeKast } from './windows-formats.ts';

/** A PKCS#10 request in DER, with what its attributes attest. */
export function describeCertificateRequest(der: Uint8Array): Description {
  const request = parseCertificateRequest(der);
  const problems = quirksOf(request.quirks);
  if (!verifyCertificateRequest(request)) problems.push('the signature does not verify, or its algorithm is unknown');
  const fields = [
    nameField('subject', request.subject),
    keyField(request.spki, problems),
    field('signature algorithm', request.signature.algorithm),
    ...(request.alternativeNames.length > 0
      ? [listOf('alternative names', request.alternativeNames, alternativeName)]
      : []),
    ...(request.extensions.length > 0 ? [listOf('extensions', request.extensions, describeExtension)] : []),
    ...(request.attributes.length > 0
      ? [listOf('attributes', request.attributes, (_, one) => describeAttribute(one))]
      : []),
    ...attestationFields(request.attributes, problems),
  ];
  return { problems, fields };
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
const describeAttribute = ({ oid, values }: Attribute): Field =>
  field(nameOid(oid), `${values.reduce((sum, { length }) => sum + length, 0)} bytes`);

/** What the attributes attest. Adds a problem instead if that cannot be read. */
function attestationFields(attributes: readonly Attribute[], problems: string[]): Field[] {
  const read = (name: string, describe: () => Description): Field[] => {
    try {
      const description = describe();
      return description.fields.length > 0 ? [nested(name, description, problems)] : [];
    } catch (error) {
      problems.push(`${name}: ${sayError(error)}`);
      return [];
    }
  };
  const bundles = attributes.filter(({ oid }) => oid === ATTESTATION_ATTRIBUTE).flatMap(({ values }) => values);
  return [
    ...bundles.flatMap((bundle) => read('attestation bundle', () => describeBundles(bundle))),
    ...read('Windows attestation', () => describeWcce(attributes)),
  ];
}

function describeWcce(attributes: readonly Attribute[]): Description {
  const { kast, kspName, ekInfo, aikInfo, exchangeCertificateHash, challenge, encryptionAlgorithm } =
    parseWcceAttributes(attributes);
  return describing((problems) => [
    ...optional(kspName, (name) => field('provider', name)),
    ...optional(kast, (bytes) => nested('statement', describeKast(bytes), problems)),
    ...optional(ekInfo, (envelope) => group('endorsement key, encrypted', envelopeFields(envelope))),
    ...optional(aikInfo, (envelope) => group('attestation key, encrypted', envelopeFields(envelope))),
    ...optional(exchangeCertificateHash, (hash) => bytesField('exchange certificate', hash)),
    ...optional(challenge, (bytes) => bytesField('challenge', bytes)),
    ...optional(encryptionAlgorithm, (oid) => field('cipher', decodeContentEncryption(oid) ?? oid)),
  ]);
}
