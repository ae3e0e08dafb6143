import type { LdapEntry } from '../../registration/ldap-user.ts';

/**
 * A client bound to the directory: the part of the ldapts `Client` that this kit uses. The real ldapts types are
 * available only if the package is installed.
 */
export interface LdapClient {
  /** Finds entries below `base`. */
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
  /** Changes the attributes of an entry. @param change a `Change` of ldapts. */
  modify(dn: string, change: object): Promise<void>;
  /** Renames an entry. */
  modifyDN(dn: string, newDN: string): Promise<void>;
  /** Removes an entry. */
  del(dn: string): Promise<void>;
}

/** The part of the client that writes keys. */
export type LdapWriter = Pick<LdapClient, 'search' | 'modify'>;
