import { byteCount, EMPTY, toHex } from '../bytes.ts';
import type { DerNode } from '../crypto/der-read.ts';
import { TAG } from '../crypto/der-write.ts';
import { decodePkcs1 } from '../crypto/public-key.ts';
import { CodecError } from '../errors/codec-error.ts';
import { sayError } from '../errors.ts';
import { parseEnvelope } from '../formats/x509/enveloped-data.ts';
import { describeCertificate } from './certificate.ts';
import { envelopeFields } from './certificate-parts.ts';
import { describeCertificateRequest } from './certificate-request.ts';
import type { DerInput } from './der-input.ts';
import { describePublicKey } from './describe-key.ts';
import { bytesField, field, listOf } from './fields.ts';
import type { Format } from './format.ts';
import type { Description, Field } from './inspection.ts';
import { describeBundles, tpmCertifyFields } from './lamps.ts';
import { describeEncryptedKey, describeKeyFile, describePrivateKey } from './private-key.ts';
import { isAttributeCertificate, isRevocationList, SIGNED_FORMATS, signedTags } from './signed-lists.ts';
import { describeSpki } from './unused-keys.ts';

const isPrivateKey = ({ tags, children }: DerInput): boolean =>
  /^023004/.test(tags) ||
  (/^0204/.test(tags) && children[0]?.content[0] === 1) ||
  (/^(?:02){9}/.test(tags) && children[0]?.content[0] === 0);

/** Formats in DER, recognized by their outermost values. */
export const DER_FORMATS: readonly Format<DerInput>[] = [
  {
    format: 'tss2-private-key',
    title: 'TPM key file (TSS2 PRIVATE KEY)',
    claims: ({ oid }) => oid?.startsWith('2.23.133.10.1.') === true,
    read: ({ der, children, oid = '' }) => describeKeyFile(der, children, oid),
  },
  {
    format: 'certificate',
    title: 'X.509 certificate',
    claims: (input) => {
      const inner = signedTags(input);
      return inner.length >= 12 && !isAttributeCertificate(inner) && !isRevocationList(inner);
    },
    read: ({ der }) => describeCertificate(der),
  },
  ...SIGNED_FORMATS,
  {
    format: 'certificate-request',
    title: 'certificate request (PKCS#10)',
    claims: (input) => {
      const inner = signedTags(input);
      return inner !== '' && inner.length < 12 && !isRevocationList(inner);
    },
    read: ({ der }) => describeCertificateRequest(der),
  },
  {
    format: 'spki',
    title: 'public key (SubjectPublicKeyInfo)',
    claims: ({ tags }) => tags === '3003',
    read: ({ der }) => inForm(describeSpki(der), 'SubjectPublicKeyInfo'),
  },
  {
    format: 'private-key',
    title: 'unencrypted private key',
    claims: isPrivateKey,
    read: ({ der }) => describePrivateKey(der.length),
  },
  {
    format: 'pkcs1-public-key',
    title: 'RSA public key (PKCS#1)',
    claims: ({ tags, children }) => tags === '0202' && (children[1]?.content.length ?? 99) <= 9,
    read: ({ der }) => inForm(describePublicKey(decodePkcs1(der)), 'PKCS#1'),
  },
  {
    format: 'ecdsa-signature',
    title: 'ECDSA signature (Ecdsa-Sig-Value)',
    unmarked: true,
    claims: ({ tags }) => tags === '0202',
    read: ({ tags, children }) => {
      if (tags !== '0202') throw new CodecError('Ecdsa-Sig-Value', 'is not two integers');
      return children.map(({ content }, i) => bytesField(i === 0 ? 'r' : 's', content));
    },
  },
  {
    format: 'encrypted-private-key',
    title: 'encrypted private key (PKCS#8)',
    claims: ({ tags, children }) => tags === '3004' && children[0]?.children()[0]?.tag === TAG.OID,
    read: ({ node }) => describeEncryptedKey(node),
  },
  {
    format: 'cms',
    title: 'CMS',
    claims: ({ tags, oid }) => tags === '06a0' && oid?.startsWith('1.2.840.113549.1.7.') === true,
    read: ({ der, oid }) => describeCms(der, oid ?? ''),
  },
  {
    format: 'tpm-certify',
    title: 'TPM certification from a certificate request',
    unmarked: true,
    claims: ({ tags, children }) =>
      /^0404(?:04)?$/.test(tags) && toHex(children[0]?.content.subarray(0, 4) ?? EMPTY) === 'ff544347',
    read: ({ der }) => tpmCertifyFields(der),
  },
  {
    format: 'attestation-bundle',
    title: 'attestation bundle from a certificate request',
    unmarked: true,
    claims: ({ tags }) => /^30(?:30)*$/.test(tags),
    read: ({ der }) => describeBundles(der),
  },
  {
    format: 'der',
    title: 'DER value of an unknown type',
    unmarked: true,
    claims: () => true,
    read: ({ children }) => [listOf('values', children, outline)],
  },
];

const inForm = ({ title, ...rest }: Description, form: string): Description => ({
  title: `public ${title} (${form})`,
  ...rest,
});

/** Shows only tags and sizes, as the content may be secret. */
const outline = (name: string, node: DerNode): Field => {
  const value = node.tag === TAG.OID ? node.oid() : `${byteCount(node.content.length)}`;
  return field(name, `tag 0x${node.tag.toString(16).padStart(2, '0')}: ${value}`);
};

function describeCms(der: Uint8Array, oid: string): Description {
  if (oid !== ENVELOPED_DATA) {
    return {
      title: `CMS of type ${oid}`,
      problems: ['keyprov reads only enveloped data'],
      fields: [field('type', oid)],
    };
  }
  const title = 'CMS EnvelopedData';
  try {
    return { title, fields: envelopeFields(parseEnvelope(der)) };
  } catch (error) {
    // All of it is there. Other programs write more forms, such as passwords for recipients.
    return { title, problems: [`keyprov cannot read it: ${sayError(error)}`], fields: [] };
  }
}

const ENVELOPED_DATA = '1.2.840.113549.1.7.3';
