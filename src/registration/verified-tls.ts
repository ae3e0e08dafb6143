import { readFileSync } from 'node:fs';
import type { PeerCertificate, SecureContext } from 'node:tls';
import { KeyprovError, sayError } from '../errors.ts';

/** Loaded when a connection is made: it is the dearest of Node's modules, and many who import this make none. */
const tls = (): typeof import('node:tls') => process.getBuiltinModule('node:tls');

/** Whom a client trusts, and what it shows. There is nothing that leaves the certificate of the peer unverified. */
export interface TlsTrust {
  /** Further roots that are trusted, in PEM. */
  readonly ca?: string | readonly string[] | undefined;
  /** Trusts the roots in `ca`, and no others. */
  readonly onlyTheseRoots?: boolean | undefined;
  /** What the client shows: in PEM, the certificate with those below its root, and the private key. */
  readonly clientCertificate?: { readonly certificate: string; readonly privateKey: string } | undefined;
}

/** Options of `connect` of node:tls, as others take them. */
export interface VerifiedTls {
  readonly minVersion: 'TLSv1.2';
  readonly rejectUnauthorized: true;
  readonly secureContext: SecureContext;
  readonly checkServerIdentity: (host: string, certificate: PeerCertificate) => Error | undefined;
}

/**
 * The options for every connection with TLS that is made: version 1.2 or newer, and the certificate always verified.
 * That is said in so many words, since the environment variable NODE_TLS_REJECT_UNAUTHORIZED changes what Node does
 * where nothing is said.
 *
 * @param host the name that the certificate must have. Absent: the one that the connection is made to.
 * @throws TypeError for certificates or a key that cannot be read or do not belong together, no `ca` where only that is
 * to be trusted. KeyprovError `store-io` if the file cannot be read that NODE_EXTRA_CA_CERTS names.
 */
export function verifiedTls({ ca, onlyTheseRoots = false, clientCertificate }: TlsTrust, host?: string): VerifiedTls {
  const given = ca === undefined ? [] : [ca].flat();
  if (onlyTheseRoots && given.length === 0) throw new TypeError('no roots are given, and no others are to be trusted');
  return {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    secureContext: secureContextOf(given, onlyTheseRoots, clientCertificate),
    checkServerIdentity: (name, certificate) => tls().checkServerIdentity(host ?? name, certificate),
  };
}

function secureContextOf(
  given: readonly string[],
  onlyThese: boolean,
  shown: TlsTrust['clientCertificate'],
): SecureContext {
  // Given none, Node takes all of its own.
  const ca = given.length > 0 && (onlyThese ? [...given] : [...defaultRoots(), ...given]);
  try {
    return tls().createSecureContext({
      minVersion: 'TLSv1.2',
      ...(ca && { ca }),
      ...(shown && { cert: shown.certificate, key: shown.privateKey }),
    });
  } catch (cause) {
    throw new TypeError(`a certificate or the private key: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
}

/** What Node trusts by itself: `ca` would replace it. @throws KeyprovError `store-io` */
function defaultRoots(): string[] {
  const { rootCertificates } = tls();
  const further = process.env.NODE_EXTRA_CA_CERTS;
  if (!further) return [...rootCertificates];
  try {
    return [...rootCertificates, readFileSync(further, 'utf8')];
  } catch (cause) {
    throw new KeyprovError('store-io', `the roots that NODE_EXTRA_CA_CERTS names cannot be read: ${sayError(cause)}`, {
      remedy: 'correct or remove that environment variable',
      cause,
    });
  }
}
