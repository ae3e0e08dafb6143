import { byteCount } from '../bytes.ts';
import { TAG } from '../crypto/der-write.ts';
import { readName } from '../crypto/x509-names.ts';
import { latin1 } from '../primitives.ts';
import { nameOid } from './certificate-parts.ts';
import type { DerInput } from './der-input.ts';
import { bytesField, field, listOf, nameField, optional } from './fields.ts';
import type { Format } from './format.ts';
import type { Description } from './inspection.ts';

/** The tags of the signed part, which tell a certificate, an attribute certificate and a revocation list apart. */
export function signedTags({ tags, children }: DerInput): string {
  if (tags !== '303003') return '';
  const inner = children[0]?.children() ?? [];
  return inner.map(({ tag }) => tag.toString(16).padStart(2, '0')).join('');
}

/** RFC 5755, 4.1, and RFC 5280, 5.1: signed like certificates, with other content. */
export const SIGNED_FORMATS: readonly Format<DerInput>[] = [
  {
    format: 'attribute-certificate',
    title: 'attribute certificate (X.509), such as a TCG platform certificate',
    claims: (input) => isAttributeCertificate(signedTags(input)),
    read: ({ children }) => describeAttributeCertificate(children),
  },
  {
    format: 'certificate-revocation-list',
    title: 'certificate revocation list (X.509)',
    claims: (input) => isRevocationList(signedTags(input)),
    read: ({ children }) => describeRevocationList(children),
  },
];

/** Version, holder, issuer, signature, serial number, validity, attributes. */
export const isAttributeCertificate = (tags: string): boolean => /^0230(?:a0|30)30023030/.test(tags);

/** The version may be missing; the first time follows the issuer. */
export const isRevocationList = (tags: string): boolean => /^(?:02)?3030(?:17|18)/.test(tags);

function describeAttributeCertificate(children: DerInput['children']): Description {
  const [, holder, , , serial, validity, attributes] = children[0]?.children() ?? [];
  const types = attributes?.children().map((one) => one.children()[0]?.oid() ?? '') ?? [];
  const isOfPlatform = types.some((type) => type.startsWith('2.23.133.'));
  return {
    ...(isOfPlatform && { title: 'TCG platform certificate (X.509 attribute certificate)' }),
    problems: ['keyprov shows only its main fields, and verifies nothing'],
    fields: [
      ...optional(holder, ({ der }) =>
        field('holder', `the certificate that it belongs to (${byteCount(der.length)})`),
      ),
      ...optional(serial, ({ content }) => bytesField('serial number', content)),
      ...(validity?.children() ?? []).map((time, i) =>
        field(i === 0 ? 'not before' : 'not after', latin1(time.content)),
      ),
      listOf('attributes', types, (i, type) => field(i, nameOid(type))),
    ],
  };
}

function describeRevocationList(children: DerInput['children']): Description {
  const inner = (children[0]?.children() ?? []).filter(({ tag }, i) => i > 0 || tag !== TAG.INTEGER);
  const [, issuer, thisUpdate, ...rest] = inner;
  const next = rest.find(({ tag }) => tag === TAG.UTC_TIME || tag === TAG.GENERALIZED_TIME);
  const revoked = rest.find(({ tag }) => tag === TAG.SEQUENCE);
  return {
    fields: [
      ...optional(issuer, (name) => nameField('issuer', readName(name))),
      ...optional(thisUpdate, ({ content }) => field('this update', latin1(content))),
      ...optional(next, ({ content }) => field('next update', latin1(content))),
      field('revoked certificates', revoked?.children().length ?? 0),
    ],
  };
}
