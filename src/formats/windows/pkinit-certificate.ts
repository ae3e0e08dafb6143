import { type Bytes, checkObject } from '../../bytes.ts';
import type { DistinguishedName } from '../../crypto/distinguished-name.ts';
import { type Certificate, parseCertificate } from '../../crypto/x509.ts';
import { isKeyprovError, KeyprovError, rethrowAs } from '../../errors.ts';
import { checkMembers } from '../../known-members.ts';
import type { SigningKey } from '../services/jws.ts';
import { type DerQuirk, findDerQuirks } from '../x509/der-quirks.ts';
import { extendedKeyUsage, noAuthority } from '../x509/extensions.ts';
import { issueCertificate } from '../x509/issue-certificate.ts';
import { buildCommonName, encodeName, NAME_OID } from '../x509/names.ts';
import type { SigningHash } from '../x509/signature-algorithm.ts';

/** The identity in a certificate for a key-trust logon. */
export interface PkinitIdentity {
  /** The user's SID: `S-1-5-21-…`. */
  readonly sid: string;
  /** GUID of the device. */
  readonly deviceId: string;
  /** GUID of the tenant. */
  readonly tenantId: string;
  /** The user principal name. */
  readonly upn: string;
}

/** Options of {@link buildPkinitCertificate}. */
export interface PkinitCertificateOptions {
  /** The present time. The certificate is valid from ten minutes before it, for 30 years. */
  readonly now?: Date | undefined;
  /** String type of the common name. Default `bmp`, as Windows writes it. */
  readonly strings?: 'bmp' | 'utf8' | undefined;
  readonly serialNumber?: Uint8Array | undefined;
  /** Default: SHA-256; for P-384 SHA-384, for P-521 SHA-512. */
  readonly hash?: SigningHash | undefined;
}

/** Smart card logon, the one purpose that Windows names. */
export const SMART_CARD_LOGON = '1.3.6.1.4.1.311.20.2.2';

const HOST = 'login.windows.net';
const SID = String.raw`S-1-\d+(?:-\d+)+`;
const GUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
const WHOLE_GUID = new RegExp(`^(?:${GUID})$`, 'i');
/** What each part must be, by its name. */
const PARTS = [
  ['sid', new RegExp(`^(?:${SID})$`, 'i'), 'a SID such as S-1-5-21-1-2-3-1001'],
  ['deviceId', WHOLE_GUID, 'a GUID'],
  ['tenantId', WHOLE_GUID, 'a GUID'],
  ['upn', /^[^/]+$/, 'a name without /'],
] as const;
const IDENTITY = new RegExp(`^(${SID})/(${GUID})/${HOST.replaceAll('.', '\\.')}/(${GUID})/([^/]+)$`, 'i');
const EARLIER_MS = 10 * 60_000;
const YEARS = 30;

/**
 * Builds the self-signed certificate for PKINIT with a registered key (key trust), as Windows does. The domain
 * controller identifies the user by the key, not by an issuer. The common name of about 156 characters is longer than
 * X.520 allows. It has no key usage and no other name.
 *
 * @throws TypeError for a malformed identity; KeyprovError `key-invalid` if `key` does not sign with its public key;
 * errors of signing.
 *
 * @example
 * ```ts
 * import { buildPkinitCertificate, type PkinitIdentity, parsePkinitCertificate } from 'keyprov/formats/windows';
 * import type { SigningKey } from 'keyprov/formats/x509';
 *
 * declare const [identity, key]: [PkinitIdentity, SigningKey];
 * const certificate = await buildPkinitCertificate(identity, key);
 * console.log((await parsePkinitCertificate(certificate)).problems); // []
 * ```
 */
export async function buildPkinitCertificate(
  identity: PkinitIdentity,
  key: SigningKey,
  options: PkinitCertificateOptions = {},
): Promise<Bytes> {
  options = checkMembers(
    'buildPkinitCertificate',
    options,
    'now:date? strings:=bmp|utf8? serialNumber:bytes? hash:=sha256|sha384|sha512?',
  );
  const { now = new Date(), strings = 'bmp', serialNumber, hash } = options;
  checkObject(key, 'the key of buildPkinitCertificate', 'publicKey:object', 'sign:function');
  const { sid, deviceId, tenantId, upn } = checkObject(identity, 'an identity', 'sid', 'deviceId', 'tenantId', 'upn');
  for (const [part, form, what] of PARTS) {
    if (!form.test(identity[part])) throw new TypeError(`the ${part} ${JSON.stringify(identity[part])} is not ${what}`);
  }
  const text = [sid, deviceId, HOST, tenantId, upn].join('/');
  const name = encodeName(buildCommonName(text), strings);
  const notAfter = new Date(now);
  notAfter.setUTCFullYear(now.getUTCFullYear() + YEARS);
  return await issueCertificate(
    {
      issuer: name,
      subject: name,
      publicKey: key.publicKey,
      notBefore: new Date(now.getTime() - EARLIER_MS),
      notAfter,
      extensions: [noAuthority(), extendedKeyUsage(SMART_CARD_LOGON)],
      serialNumber,
      hash,
    },
    key,
  );
}

/** The content of a certificate for PKINIT. */
export interface PkinitCertificate {
  readonly certificate: Certificate;
  /** `undefined` if the common name has another form, such as a computer's, which is only a SID. */
  readonly identity: PkinitIdentity | undefined;
  /** Why it is not a certificate for PKINIT; empty if it is one. */
  readonly problems: readonly string[];
  /** Violations of the standards, which are tolerated. */
  readonly quirks: readonly DerQuirk[];
}

/**
 * Reads a certificate for PKINIT in DER, and verifies its self-signature.
 * @throws KeyprovError `certificate-invalid` if it is not a certificate.
 */
export async function parsePkinitCertificate(der: Uint8Array): Promise<PkinitCertificate> {
  const certificate = await parseCertificate(der);
  const { subject, basicConstraints, extendedKeyUsage: purposes = [] } = certificate;
  const problems = [
    certificate.isSignedBy(certificate) ? undefined : 'it is not signed with its own key',
    basicConstraints?.ca === false ? undefined : 'its basic constraints are not those of an end-entity certificate',
    purposes.includes(SMART_CARD_LOGON) ? undefined : 'it is not for smart card logon',
  ];
  return {
    certificate,
    identity: identityIn(subject),
    problems: problems.filter((problem) => problem !== undefined),
    quirks: quirksOf(certificate),
  };
}

/** Finds the quirks. Parts of the certificate that nothing else reads may not be DER. */
function quirksOf({ der }: Certificate): readonly DerQuirk[] {
  return rethrowAs(
    () => findDerQuirks(der),
    (cause) => {
      if (!isKeyprovError(cause, 'request-invalid')) return undefined;
      return new KeyprovError('certificate-invalid', `certificate for PKINIT: ${cause.message}`, { cause });
    },
  );
}

function identityIn(subject: DistinguishedName): PkinitIdentity | undefined {
  const [only, ...more] = subject.flat();
  if (only?.type !== NAME_OID.COMMON_NAME || more.length > 0) return undefined;
  const [, sid, deviceId, tenantId, upn] = IDENTITY.exec(only.value) ?? [];
  if (sid === undefined || deviceId === undefined || tenantId === undefined || upn === undefined) return undefined;
  return { sid, deviceId, tenantId, upn };
}
