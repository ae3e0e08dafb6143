import { webcrypto } from 'node:crypto';
import {
  Boolean as Asn1Boolean,
  Set as Asn1Set,
  type BaseBlock,
  BitString,
  Constructed,
  Integer,
  ObjectIdentifier,
  Primitive,
  Sequence,
  Utf8String,
} from 'asn1js';
import { Certificate, CryptoEngine, Extension, PublicKeyInfo, RelativeDistinguishedNames, Time } from 'pkijs';

/** A list of relative names, each with one or several attributes: OID and UTF-8 text. */
export type NameSpec = readonly (readonly (readonly [oid: string, text: string])[])[];

/** `CN=text`. */
export const buildCommonName = (text: string): NameSpec => [[['2.5.4.3', text]]];

type AlternativeNameSpec =
  | { readonly directory: NameSpec }
  | { readonly dns: string }
  | { readonly email: string }
  | { readonly uri: string }
  | { readonly ip: Uint8Array }
  | { readonly registeredId: string };

export interface CertificateSpec {
  readonly subject?: NameSpec;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** Absent: no basicConstraints. */
  readonly ca?: boolean;
  readonly pathLength?: number;
  /** Bit numbers. */
  readonly keyUsage?: readonly number[];
  readonly purposes?: readonly string[];
  readonly names?: readonly AlternativeNameSpec[];
  readonly namesCritical?: boolean;
  readonly permitted?: readonly AlternativeNameSpec[];
  readonly excluded?: readonly AlternativeNameSpec[];
  /** Further extensions: OID, critical, DER. */
  readonly extensions?: readonly (readonly [oid: string, critical: boolean, der: Uint8Array])[];
  /** The certified key, as SubjectPublicKeyInfo. Absent: a new P-256 key. */
  readonly spki?: Uint8Array;
  /** The subject's key pair, which signs the certificates it issues. Absent: a new P-256 key pair. */
  readonly keys?: webcrypto.CryptoKeyPair;
  readonly hash?: 'SHA-1' | 'SHA-256';
  /** Signs in place of the issuer, for a wrong signature. */
  readonly signer?: TestCertificate;
}

export interface TestCertificate {
  readonly der: Uint8Array<ArrayBuffer>;
  readonly subject: NameSpec;
  readonly keys: webcrypto.CryptoKeyPair;
}

const DAY_MS = 86_400_000;

const makeKeys = () => webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);

/** Issues a certificate; without an issuer, a self-signed one. */
export async function issue(spec: CertificateSpec, issuer?: TestCertificate): Promise<TestCertificate> {
  const { subject = [], notBefore = new Date(Date.now() - DAY_MS), notAfter = new Date(Date.now() + DAY_MS) } = spec;
  const keys = spec.keys ?? (await makeKeys());
  const certificate = new Certificate();
  certificate.version = 2;
  certificate.serialNumber = new Integer({ value: 1 + Math.floor(Math.random() * 1e6) });
  certificate.subject = nameOf(subject);
  certificate.issuer = nameOf(issuer?.subject ?? subject);
  certificate.notBefore = timeOf(notBefore);
  certificate.notAfter = timeOf(notAfter);
  const spki = spec.spki ?? new Uint8Array(await webcrypto.subtle.exportKey('spki', keys.publicKey));
  certificate.subjectPublicKeyInfo = PublicKeyInfo.fromBER(new Uint8Array(spki));
  certificate.extensions = extensionsOf(spec);
  const engine = new CryptoEngine({ name: 'test', crypto: globalThis.crypto });
  const { privateKey } = (spec.signer ?? issuer ?? { keys }).keys;
  await certificate.sign(privateKey, spec.hash ?? 'SHA-256', engine);
  return { der: new Uint8Array(certificate.toSchema(true).toBER()), subject, keys };
}

/** Makes a CA with the necessary extensions; `spec` changes them. */
export function issueAuthority(
  name: string,
  issuer?: TestCertificate,
  spec: CertificateSpec = {},
): Promise<TestCertificate> {
  return issue({ subject: buildCommonName(name), ca: true, keyUsage: [5], ...spec }, issuer);
}

/** The contents of an attestation key certificate. WebAuthn Level 3, 8.3.1. */
export const AK_CERTIFICATE: CertificateSpec = {
  ca: false,
  purposes: ['2.23.133.8.3'],
  names: [
    { directory: [[['2.23.133.2.1', 'id:53544D20']], [['2.23.133.2.2', 'paper']], [['2.23.133.2.3', 'id:00010002']]] },
  ],
  namesCritical: true,
};

const derOf = (block: BaseBlock): Uint8Array<ArrayBuffer> => new Uint8Array(block.toBER());

function extensionsOf(spec: CertificateSpec): Extension[] {
  const list: Extension[] = [];
  const add = (extnID: string, critical: boolean, block: BaseBlock) =>
    list.push(new Extension({ extnID, critical, extnValue: derOf(block).buffer }));
  if (spec.ca !== undefined) {
    const value: BaseBlock[] = spec.ca ? [new Asn1Boolean({ value: true })] : [];
    if (spec.pathLength !== undefined) value.push(new Integer({ value: spec.pathLength }));
    add('2.5.29.19', true, new Sequence({ value }));
  }
  if (spec.keyUsage !== undefined) {
    const bits = new Uint8Array(1);
    for (const bit of spec.keyUsage) bits[0] = (bits[0] ?? 0) | (0x80 >>> bit);
    add('2.5.29.15', true, new BitString({ valueHex: bits.buffer }));
  }
  if (spec.purposes !== undefined) {
    add('2.5.29.37', false, new Sequence({ value: spec.purposes.map((value) => new ObjectIdentifier({ value })) }));
  }
  if (spec.names !== undefined) {
    add('2.5.29.17', spec.namesCritical ?? false, new Sequence({ value: spec.names.map(alternativeName) }));
  }
  if (spec.permitted !== undefined || spec.excluded !== undefined) {
    const value = [subtrees(0, spec.permitted), subtrees(1, spec.excluded)].flat();
    add('2.5.29.30', true, new Sequence({ value }));
  }
  for (const [extnID, critical, der] of spec.extensions ?? []) {
    list.push(new Extension({ extnID, critical, extnValue: new Uint8Array(der).buffer }));
  }
  return list;
}

const tagged = (tagNumber: number) => ({ idBlock: { tagClass: 3, tagNumber } });

function subtrees(tag: number, bases: readonly AlternativeNameSpec[] | undefined): BaseBlock[] {
  if (bases === undefined) return [];
  const value = bases.map((base) => new Sequence({ value: [alternativeName(base)] }));
  return [new Constructed({ ...tagged(tag), value })];
}

function alternativeName(name: AlternativeNameSpec): BaseBlock {
  const primitive = (tag: number, bytes: Uint8Array) =>
    new Primitive({ ...tagged(tag), valueHex: new Uint8Array(bytes).buffer });
  if ('directory' in name) return new Constructed({ ...tagged(4), value: [nameBlock(name.directory)] });
  if ('email' in name) return primitive(1, Buffer.from(name.email));
  if ('dns' in name) return primitive(2, Buffer.from(name.dns));
  if ('uri' in name) return primitive(6, Buffer.from(name.uri));
  if ('ip' in name) return primitive(7, name.ip);
  return primitive(8, derOf(new ObjectIdentifier({ value: name.registeredId })).subarray(2));
}

const nameBlock = (name: NameSpec): Sequence =>
  new Sequence({
    value: name.map(
      (relative) =>
        new Asn1Set({
          value: relative.map(
            ([type, value]) =>
              new Sequence({ value: [new ObjectIdentifier({ value: type }), new Utf8String({ value })] }),
          ),
        }),
    ),
  });

const nameOf = (name: NameSpec): RelativeDistinguishedNames =>
  new RelativeDistinguishedNames({ valueBeforeDecode: derOf(nameBlock(name)).buffer });

/** UTCTime up to 2049, GeneralizedTime from then on: RFC 5280, 4.1.2.5. */
const timeOf = (value: Date): Time => new Time({ value, type: value.getUTCFullYear() < 2050 ? 0 : 1 });

/** A TPMSpecification in subjectDirectoryAttributes. */
export function specificationExtension(family: string, level: number, revision: number): [string, boolean, Uint8Array] {
  const value = new Sequence({
    value: [new Utf8String({ value: family }), new Integer({ value: level }), new Integer({ value: revision })],
  });
  const attribute = new Sequence({
    value: [new ObjectIdentifier({ value: '2.23.133.2.16' }), new Asn1Set({ value: [value] })],
  });
  return ['2.5.29.9', false, derOf(new Sequence({ value: [attribute] }))];
}
