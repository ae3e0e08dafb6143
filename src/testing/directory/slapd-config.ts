import { createHash, randomBytes } from 'node:crypto';
import { KEY_CREDENTIAL_ATTRIBUTE } from '../../registration/ldap-user.ts';

/** Options of {@link slapdConfig}. */
export interface SlapdConfig {
  /** The suffix: `DC=contoso,DC=test`. */
  readonly base: string;
  /** Directory of the database. */
  readonly directory: string;
  /** The administrator, and the hash of their password. */
  readonly root: { readonly dn: string; readonly hash: string };
  /** The container of the users. */
  readonly users: string;
  readonly connector: string;
  readonly reader: string;
}

const STRING = '1.3.6.1.4.1.1466.115.121.1.15';

/**
 * Returns the slapd.conf(5) of a directory that handles keys like Active Directory. OpenLDAP has no DN-Binary syntax,
 * so a pattern replaces it. The pattern cannot check the length, or whether the DN exists. MS-ADSC, MS-ADA2 2.358.
 */
export function slapdConfig({ base, directory, root, users, connector, reader }: SlapdConfig): string {
  return `
attributetype ( 0.9.2342.19200300.100.1.25 NAME ( 'dc' 'domainComponent' )
  EQUALITY caseIgnoreMatch SYNTAX ${STRING} SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.656 NAME 'userPrincipalName' EQUALITY caseIgnoreMatch SYNTAX ${STRING} SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.2328 NAME '${KEY_CREDENTIAL_ATTRIBUTE}' EQUALITY caseIgnoreMatch SYNTAX ${STRING} )
objectclass ( 1.2.840.113556.1.5.67 NAME 'domainDNS' SUP top STRUCTURAL MUST dc )
objectclass ( 1.2.840.113556.1.3.23 NAME 'container' SUP top STRUCTURAL MUST cn )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP top STRUCTURAL MUST cn
  MAY ( userPrincipalName $ userPassword $ description $ ${KEY_CREDENTIAL_ATTRIBUTE} ) )

loglevel 0
moduleload back_mdb
moduleload constraint
database mdb
suffix ${quote(base)}
rootdn ${quote(root.dn)}
rootpw ${root.hash}
directory ${quote(directory)}
maxsize 67108864
dbnosync
overlay constraint
constraint_attribute ${KEY_CREDENTIAL_ATTRIBUTE} regex ^B:[0-9]+:([0-9A-Fa-f][0-9A-Fa-f])+:[Cc][Nn]=.+$

access to attrs=userPassword by anonymous auth
access to dn.onelevel=${quote(users)} attrs=${KEY_CREDENTIAL_ATTRIBUTE}
  by dn.exact=${quote(connector)} write
  by dn.exact=${quote(reader)} read
access to *
  by dn.exact=${quote(connector)} read
  by dn.exact=${quote(reader)} read
`;
}

/**
 * Returns a password in the form that slapd stores: salted SHA-1, which is enough for 128 random bits. slapd.conf(5),
 * RFC 2307.
 */
export function hashPassword(password: string): string {
  const salt = randomBytes(8);
  const hash = createHash('sha1').update(password).update(salt).digest();
  return `{SSHA}${Buffer.concat([hash, salt]).toString('base64')}`;
}

const quote = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`;
