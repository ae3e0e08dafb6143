import type { AttestationBundle, BundledStatement } from '../formats/x509/lamps-attestation.ts';
import {
  decodeAttestationBundles,
  decodeTpmCertify,
  TPM_CERTIFY_STATEMENT,
} from '../formats/x509/lamps-attestation.ts';
import { TPMT_SIGNATURE } from '../tpm/structures/algorithm.ts';
import { certificatesField } from './certificate-parts.ts';
import { bytesField, field, listIfAny, listOf, nested, optional, orNothing } from './fields.ts';
import type { Description, Field, Part } from './inspection.ts';
import { certificationFields, publicAreaField, structureField } from './tpm-formats.ts';

/** The value of the attestation attribute of a request, of any draft. */
export function describeBundles(der: Uint8Array): Description {
  const bundles = decodeAttestationBundles(der);
  const isList = bundles.length > 1;
  return {
    problems: isList ? ['a list of bundles, as in draft-ietf-lamps-csr-attestation-10 and earlier'] : [],
    fields: bundles.flatMap(bundleFields),
  };
}

function bundleFields({ attestations, certificates, otherCertificates = [] }: AttestationBundle): Part[] {
  return [
    listOf('statements', attestations, statementField),
    ...(certificates.length > 0 ? [certificatesField('certificates', certificates)] : []),
    ...listIfAny('certificates in other formats', otherCertificates, bytesField),
  ];
}

function statementField(name: string, { type, statement, hint, bindsPublicKey }: BundledStatement): Part {
  const isCertify = type === TPM_CERTIFY_STATEMENT;
  const isOld = hint !== undefined || bindsPublicKey !== undefined;
  return {
    name,
    problems: isOld ? [`statement ${name}: it has members that later drafts removed`] : [],
    fields: [
      field('type', isCertify ? 'TPM certification' : type),
      ...optional(hint, (text) => field('hint', text)),
      isCertify ? nested('certification', tpmCertifyFields(statement)) : bytesField('statement', statement),
    ],
  };
}

/** TPM2_Certify of a key, as in a request. */
export function tpmCertifyFields(der: Uint8Array): Part[] {
  const { certInfo, signature, pubArea } = decodeTpmCertify(der);
  return [
    ...certificationFields({ certInfo }, pubArea),
    signatureField(signature),
    ...optional(pubArea, (area) => publicAreaField('key', area)),
  ];
}

/** The signature is bare in the published samples, and a TPMT_SIGNATURE in the text of the draft. */
function signatureField(signature: Uint8Array): Field {
  // The length of a bare one never fits a TPMT_SIGNATURE.
  return orNothing(() => structureField('signature', TPMT_SIGNATURE, signature)) ?? bytesField('signature', signature);
}
