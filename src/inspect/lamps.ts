import type { AttestationBundle, BundledStatement } from '../formats/x509/lamps-attestation.ts';
import {
  decodeAttestationBundles,
  decodeTpmCertify,
  TPM_CERTIFY_STATEMENT,
} from '../formats/x509/lamps-attestation.ts';
import { TPMT_SIGNATURE } from '../tpm/structures/algorithm.ts';
import { certificatesField } from './certificate-parts.ts';
import { bytesField, describing, field, group, listOf, nested, optional, orNothing } from './fields.ts';
import type { Description, Field } from './inspection.ts';
import { certificationFields, publicAreaField, structureField } from './tpm-formats.ts';

/** The value of the attestation attribute of a request, of any draft. */
export function describeBundles(der: Uint8Array): Description {
  const problems: string[] = [];
  const bundles = decodeAttestationBundles(der);
  if (bundles.length > 1) problems.push('a list of bundles, as in draft-ietf-lamps-csr-attestation-10 and earlier');
  return { problems, fields: bundles.flatMap((bundle) => bundleFields(bundle, problems)) };
}

function bundleFields(bundle: AttestationBundle, problems: string[]): Field[] {
  const { attestations, certificates, otherCertificates = [] } = bundle;
  return [
    listOf('statements', attestations, (i, statement) => statementField(i, statement, problems)),
    ...(certificates.length > 0 ? [certificatesField('certificates', certificates, problems)] : []),
    ...(otherCertificates.length > 0 ? [listOf('certificates in other formats', otherCertificates, bytesField)] : []),
  ];
}

function statementField(name: string, of: BundledStatement, problems: string[]): Field {
  const { type, statement, hint, bindsPublicKey } = of;
  if (hint !== undefined || bindsPublicKey !== undefined)
    problems.push(`statement ${name}: it has members that later drafts removed`);
  const isCertify = type === TPM_CERTIFY_STATEMENT;
  return group(name, [
    field('type', isCertify ? 'TPM certification' : type),
    ...optional(hint, (text) => field('hint', text)),
    isCertify ? nested('certification', describeTpmCertify(statement), problems) : bytesField('statement', statement),
  ]);
}

/** TPM2_Certify of a key, as in a request. */
export function describeTpmCertify(der: Uint8Array): Description {
  const { certInfo, signature, pubArea } = decodeTpmCertify(der);
  return describing((problems) => [
    ...certificationFields({ certInfo }, pubArea, problems),
    signatureField(signature),
    ...optional(pubArea, (area) => publicAreaField('key', area, problems)),
  ]);
}

/** The signature is bare in the published samples, and a TPMT_SIGNATURE in the text of the draft. */
function signatureField(signature: Uint8Array): Field {
  // The length of a bare one never fits a TPMT_SIGNATURE.
  return orNothing(() => structureField('signature', TPMT_SIGNATURE, signature)) ?? bytesField('signature', signature);
}
