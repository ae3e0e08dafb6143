import type { LdapEntry } from '../../registration/ldap-user.ts';

/**
 * A client that is bound to the directory: what the kit uses of the `Client` of the package ldapts, whose types are there
 * only where it is installed.
 */
export interface LdapClient {
  search(
    base: string,
    options: {
      scope?: 'base' | 'one' | 'sub';
      filter?: string;
      attributes?: string[];
      sizeLimit?: number;
      explicitBufferAttributes?: string[];
    },
  ): Promise<{ readonly searchEntries: readonly LdapEntry[] }>;
  /** Adds an entry. */
  add(dn: string, attributes: Record<string, string>): Promise<void>;
  /** @param change a `Change` of ldapts. */
  modify(dn: string, change: object): Promise<void>;
  /** Renames an entry. */
  modifyDN(dn: string, newDN: string): Promise<void>;
  /** Removes an entry. */
  del(dn: string): Promise<void>;
}

/** What is needed to write keys. */
export type LdapWriter = Pick<LdapClient, 'search' | 'modify'>;
