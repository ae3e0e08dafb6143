import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { PeerCertificate, SecureContext } from 'node:tls';
import { checkObject, checkText, utf8 } from '../bytes.ts';
import { atLeastOne, splitLabelled } from '../crypto/certificate-bytes.ts';
import { encodePem } from '../crypto/pem.ts';
import { isKeyprovError, KeyprovError, sayError } from '../errors.ts';
import { describeFileError } from '../storage/file-error.ts';

/**
 * Loaded when a connection is made: it is Node's most expensive module, and many programs that import this never
 * connect.
 */
const tls = (): typeof import('node:tls') => process.getBuiltinModule('node:tls');

/**
 * The roots that a client trusts, and its certificate. No option turns off the verification of the peer's certificate.
 */
export interface TlsTrust {
  /** Further roots that are trusted, in PEM. A text without one, or with one that cannot be read, is a TypeError. */
  readonly ca?: string | readonly string[] | undefined;
  /** Trusts only the roots in `ca`. */
  readonly onlyTheseRoots?: boolean | undefined;
  /** The client's certificate, with those up to its root, and private key, both in PEM. */
  readonly clientCertificate?: { readonly certificate: string; readonly privateKey: string } | undefined;
}

/** Options of `connect` of node:tls. */
export interface VerifiedTls {
  readonly minVersion: 'TLSv1.2';
  readonly rejectUnauthorized: true;
  readonly secureContext: SecureContext;
  readonly checkServerIdentity: (host: string, certificate: PeerCertificate) => Error | undefined;
}

/**
 * The options for every TLS connection: version 1.2 or newer, and the certificate always verified. The options say so
 * explicitly, since the environment variable NODE_TLS_REJECT_UNAUTHORIZED changes Node's default.
 *
 * @param host the name that the certificate must have. Absent: the host of the connection.
 * @throws TypeError if certificates or key cannot be read or do not belong together, or `onlyTheseRoots` is set without
 * `ca`. KeyprovError `store-io` if the file in NODE_EXTRA_CA_CERTS cannot be read.
 */
export function verifiedTls({ ca, onlyTheseRoots = false, clientCertificate }: TlsTrust, host?: string): VerifiedTls {
  const given = ca === undefined ? [] : [ca].flat();
  if (!given.every((text) => typeof text === 'string'))
    throw new TypeError('ca must be certificates in PEM: a string, or an array of strings');
  const roots = given.flatMap(rootsIn);
  if (clientCertificate !== undefined) {
    checkObject(clientCertificate, 'clientCertificate', 'certificate', 'privateKey');
    checkText(clientCertificate.certificate, 'the certificate of clientCertificate');
    checkText(clientCertificate.privateKey, 'the privateKey of clientCertificate');
    const problem = clientKeyProblem(clientCertificate);
    if (problem !== undefined) throw new TypeError(`the privateKey of clientCertificate ${problem}`);
  }
  if (onlyTheseRoots && given.length === 0) throw new TypeError('onlyTheseRoots needs roots in ca');
  return {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    secureContext: secureContextOf(roots, onlyTheseRoots, clientCertificate),
    checkServerIdentity: (name, certificate) => tls().checkServerIdentity(host ?? name, certificate),
  };
}

/**
 * What is wrong with a client's private key; undefined if it fits the certificate or that cannot be read. OpenSSL accepts
 * a key of another type than the certificate's, and then connects without a certificate.
 */
export function clientKeyProblem({
  certificate,
  privateKey,
}: NonNullable<TlsTrust['clientCertificate']>): string | undefined {
  const spkiOf = (key: KeyObject): string => String(key.export({ type: 'spki', format: 'pem' }));
  let own: string;
  try {
    // Deno 2.9.6 refuses a blank line at the end, which its TLS accepts.
    own = spkiOf(createPublicKey(createPrivateKey(privateKey.trim())));
  } catch {
    // The message of OpenSSL names neither of the two reasons.
    return privateKey.includes('ENCRYPTED') ? 'is encrypted: decrypt it first' : 'is not a private key in PEM';
  }
  try {
    return own === spkiOf(createPublicKey(certificate.trim())) ? undefined : 'does not belong to the certificate';
  } catch {
    return undefined; // The TLS library reports an unreadable certificate.
  }
}

function rootsIn(text: string): string[] {
  try {
    return readableCertificates(utf8(text));
  } catch (error) {
    if (!isKeyprovError(error)) throw error;
    throw new TypeError(`ca must be certificates in PEM: ${sayError(error)}`, { cause: error });
  }
}

/**
 * The certificates in a file, in any form that {@link splitLabelled} reads, each in PEM. Node would ignore a text
 * without one, and one that it cannot read.
 * @throws KeyprovError `certificate-invalid` for these.
 */
export function readableCertificates(bytes: Uint8Array): string[] {
  return atLeastOne(splitLabelled(bytes)).map(({ label, der }) => {
    try {
      return new X509Certificate(der) && encodePem(label, der);
    } catch (cause) {
      throw new KeyprovError('certificate-invalid', 'it contains a certificate that cannot be read', { cause });
    }
  });
}

function secureContextOf(
  given: readonly string[],
  onlyThese: boolean,
  shown: TlsTrust['clientCertificate'],
): SecureContext {
  // Without any, Node takes all of its own.
  const ca = given.length > 0 && (onlyThese ? [...given] : [...defaultRoots(), ...given]);
  try {
    return tls().createSecureContext({
      minVersion: 'TLSv1.2',
      ...(ca && { ca }),
      ...(shown && { cert: shown.certificate, key: shown.privateKey }),
    });
  } catch (cause) {
    throw new TypeError(
      `a certificate or the private key cannot be used: ${cause instanceof Error ? cause.message : cause}`,
      {
        cause,
      },
    );
  }
}

/** The roots that Node trusts by default, which `ca` would replace. @throws KeyprovError `store-io` */
function defaultRoots(): string[] {
  const { rootCertificates } = tls();
  const further = process.env.NODE_EXTRA_CA_CERTS;
  if (!further) return [...rootCertificates];
  try {
    return [...rootCertificates, readFileSync(further, 'utf8')];
  } catch (cause) {
    const { what } = describeFileError(further, cause);
    throw new KeyprovError('store-io', `the NODE_EXTRA_CA_CERTS file ${further} ${what}`, {
      remedy: 'correct or unset that environment variable',
      cause,
    });
  }
}
