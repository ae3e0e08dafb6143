import { toHex } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { type Certificate, parseCertificate } from '../crypto/x509.ts';
import { sayError } from '../errors.ts';
import { parsePkinitCertificate, SMART_CARD_LOGON } from '../formats/windows/pkinit-certificate.ts';
import { findDerQuirks } from '../formats/x509/der-quirks.ts';
import { readTbs } from '../formats/x509/issue-certificate.ts';
import { certificateField, nameOid, nameText, quirksOf } from './certificate-parts.ts';
import { bytesField, dateField, field, gathered, group, listIfAny, nameField, optional } from './fields.ts';
import type { Description } from './inspection.ts';
import { keyField } from './unused-keys.ts';

/** A certificate in DER. */
export async function describeCertificate(der: Uint8Array): Promise<Description> {
  const tbs = readTbs(der);
  const quirks = findDerQuirks(der);
  const oddities = quirksOf(quirks);
  let certificate: Certificate;
  try {
    certificate = await parseCertificate(der);
  } catch (error) {
    // Its subject and its issuer can still be read.
    return { problems: [...oddities, sayError(error)], fields: certificateField('certificate', der).fields ?? [] };
  }
  const { extendedKeyUsage = [], subjectAltNames, basicConstraints, critical, issuer, subject } = certificate;
  const purposes = extendedKeyUsage.map(nameOid);
  const parts = [
    field('version', certificate.version),
    bytesField('serial number', tbs.serialNumber.content),
    nameField('issuer', issuer),
    nameField('subject', subject),
    dateField('not before', certificate.notBefore),
    dateField('not after', certificate.notAfter),
    keyField(certificate.spki, certificate.publicKey),
    field('signature', certificate.signatureHash ?? 'unknown algorithm'),
    ...optional(basicConstraints, ({ ca }) => field('authority', ca)),
    ...(purposes.length > 0 ? [field('purposes', purposes.join(', '))] : []),
    ...listIfAny('alternative names', subjectAltNames, (i, { kind, value }) => field(i, `${kind}: ${nameText(value)}`)),
    field('critical extensions', critical.map(nameOid).join(', ') || '(none)'),
    field('SHA-256', toHex(digest('sha256', der))),
  ];
  const { problems, fields } = gathered({ problems: oddities, fields: parts });
  if (!extendedKeyUsage.includes(SMART_CARD_LOGON)) {
    const purpose = TPM_PURPOSES.find((name) => purposes.includes(name));
    return { ...(purpose !== undefined && { title: `certificate of an ${purpose} (X.509)` }), problems, fields };
  }
  const { identity, problems: wrong } = await parsePkinitCertificate(der);
  const identityFields = optional(identity, (who) =>
    group(
      'identity',
      Object.entries(who).map(([name, value]) => field(name, value)),
    ),
  );
  // Windows' form puts user, device and tenant into one common name: longer than X.520 allows, but intended.
  const meant = quirksOf(quirks.filter(({ kind }) => identity !== undefined && kind === 'common-name-too-long'));
  return {
    title: 'certificate for smart card logon (X.509)',
    problems: [...problems.filter((problem) => !meant.includes(problem)), ...wrong],
    fields: [...fields, ...identityFields],
  };
}

const TPM_PURPOSES = ['endorsement key', 'attestation key'];
