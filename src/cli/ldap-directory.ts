import { rootCertificates } from 'node:tls';
import { withCleanup } from '../errors.ts';
import { loadLdapts } from '../registration/ldap-client.ts';
import { ldapReader } from '../registration/ldap-reader.ts';
import { ldapError } from '../registration/ldap-user.ts';
import type { DirectoryReader } from '../registration/sync-status.ts';
import type { SignalOptions } from '../signal.ts';

/** Where a directory is, and who reads it. */
export interface LdapDirectory {
  /** `ldap:` or `ldaps:`. Of `ldap:` to another machine TLS is demanded before anything is sent. */
  readonly url: URL;
  /** Below which name users are. */
  readonly base: string;
  readonly bindDn: string;
  readonly password: string;
  /** Further roots, in PEM. */
  readonly ca: string | undefined;
}

const TIMEOUT_MS = 10_000;
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * Binds, runs `work` with a reader, and ends the connection.
 * @throws KeyprovError `library-missing` without the package ldapts; `service-unreachable`, `service-refused`.
 */
export async function withLdapReader<T>(
  { url, base, bindDn, password, ca }: LdapDirectory,
  { signal }: SignalOptions,
  work: (reader: DirectoryReader) => Promise<T>,
): Promise<T> {
  const { Client } = await loadLdapts();
  signal?.throwIfAborted();
  const tlsOptions = { minVersion: 'TLSv1.2', ...(ca !== undefined && { ca: [...rootCertificates, ca] }) } as const;
  const client = new Client({
    ...{ url: url.href, timeout: TIMEOUT_MS, connectTimeout: TIMEOUT_MS },
    // With these, ldapts 8.0.17 begins with TLS whatever the URL says.
    ...(url.protocol === 'ldaps:' && { tlsOptions }),
  });
  return await withCleanup(
    async () => {
      try {
        if (url.protocol === 'ldap:' && !LOOPBACK.test(url.hostname)) await client.startTLS(tlsOptions);
        await client.bind(bindDn, password);
      } catch (cause) {
        signal?.throwIfAborted();
        throw ldapError(`bind as ${bindDn} at ${url.protocol}//${url.host}`, cause);
      }
      return await work(ldapReader(client, { base }));
    },
    () => client.unbind(),
  );
}
