import type { KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { equal } from '../../../src/bytes.ts';
import { encodePem } from '../../../src/crypto/pem.ts';
import { decodeSpki } from '../../../src/crypto/public-key.ts';
import { parseCertificate } from '../../../src/crypto/x509.ts';
import { encodeCngBlob } from '../../../src/formats/windows/cng-blob.ts';
import { KEY_CREDENTIAL_USAGE } from '../../../src/formats/windows/key-credential-link.ts';
import { ldapReader } from '../../../src/registration/ldap-reader.ts';
import { bindDirectory, type DirectoryConnection } from '../../../src/testing/index.ts';
import type { LogonIdentity, LogonOutcome, MitKdc } from './mit-kdc.ts';

/** A user who logs on at `kdc` with a key. `directory` contains the users' keys. */
export interface LogonProof {
  readonly kdc: MitKdc;
  readonly directory: DirectoryConnection;
  /** The user principal name. */
  readonly user: string;
  /** The self-signed certificate for the key, in DER. */
  readonly certificate: Uint8Array;
  readonly identity: LogonIdentity;
}

/**
 * Logs the user on with the key. `ticketOf` is the owner of the ticket. No KDC here reads msDS-KeyCredentialLink, so this
 * function acts as a domain controller: it trusts a certificate if the directory lists its key for the user. The KDC checks the
 * signature and the name in the certificate. MS-PKCA 3.1.5.2.1.
 */
export async function proveLogon({ kdc, directory, ...logon }: LogonProof): Promise<LogonOutcome> {
  const publicKey = decodeSpki((await parseCertificate(logon.certificate)).spki);
  if (publicKey.kty !== 'RSA') throw new Error('key trust is for RSA keys');
  const material = encodeCngBlob({ magic: 'RSA1', key: publicKey });
  await using reader = await bindDirectory(directory, directory.reader);
  const keys = await ldapReader(reader.client, { base: directory.base }).read(logon.user);
  const trusted = keys.some(
    ({ usage, keyMaterial }) => usage === KEY_CREDENTIAL_USAGE.NGC && equal(keyMaterial, material),
  );
  return await kdc.logOn({ ...logon, trusted });
}

/** The client's credentials if the private key is not in a TPM: two files. */
export function fileIdentity(key: {
  readonly certificate: Uint8Array;
  readonly privateKey: KeyObject;
  readonly directory: string;
}): LogonIdentity {
  const [certificateFile, keyFile] = [join(key.directory, 'c.pem'), join(key.directory, 'k.pem')];
  writeFileSync(certificateFile, encodePem('CERTIFICATE', key.certificate));
  writeFileSync(keyFile, key.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  return { argument: `FILE:${certificateFile},${keyFile}` };
}
