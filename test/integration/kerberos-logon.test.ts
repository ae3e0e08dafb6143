import '../cheap-scrypt.mjs';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bytes, utf8 } from '../../src/bytes.ts';
import type { SigningKey } from '../../src/formats/services/jws.ts';
import { encodeCngBlob } from '../../src/formats/windows/cng-blob.ts';
import {
  buildKeyCredentialLink,
  KEY_CREDENTIAL_SOURCE,
  parseKeyCredentialLink,
} from '../../src/formats/windows/key-credential-link.ts';
import { buildPkinitCertificate } from '../../src/formats/windows/pkinit-certificate.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { ldapReader } from '../../src/registration/ldap-reader.ts';
import { syncStatus } from '../../src/registration/sync-status.ts';
import { addKeyCredential, type BoundClient, bindDirectory, removeKeyCredential } from '../../src/testing/index.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { type TestSigningKey, testKeyOf } from '../signing-key.ts';
import { type LogonIdentity, type MitKdc, makeMitKdc, mitKdcMissing } from './support/mit-kdc.ts';
import { fileIdentity, proveLogon } from './support/prove-logon.ts';
import { type SambaDc, sambaMissing, startSambaDc } from './support/samba-dc.ts';
import { makePkcs11Token, pkcs11Missing } from './support/tpm2-pkcs11.ts';

const missing = sambaMissing() ?? mitKdcMissing();
const DEVICE = randomUUID();
const TENANT = randomUUID();
const base = 'DC=contoso,DC=test';
const PIN = utf8('271828');

interface User {
  readonly upn: string;
  readonly certificate: Bytes;
  /** The value for the directory. */
  readonly blob: Bytes;
}

const newKey = () => testKeyOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);

describe.skipIf(missing !== undefined)('a user logs on', () => {
  let samba: SambaDc;
  let kdc: MitKdc;
  let connector: BoundClient;
  let reader: BoundClient;

  beforeAll(async () => {
    samba = await startSambaDc();
    kdc = await makeMitKdc();
    connector = await bindDirectory(samba.connection, samba.connection.connector);
    reader = await bindDirectory(samba.connection, samba.connection.reader);
  });

  afterAll(async () => {
    await connector?.close();
    await reader?.close();
    kdc?.[Symbol.dispose]();
    await samba?.[Symbol.asyncDispose]();
  });

  const folder = (name: string): string => {
    const path = join(kdc.directory, name);
    mkdirSync(path);
    return path;
  };

  /** A certificate as Windows makes it over the key. */
  const certify = async (upn: string, key: SigningKey) =>
    await buildPkinitCertificate({ sid: await samba.sidOf(upn), deviceId: DEVICE, tenantId: TENANT, upn }, key);

  /** A user of the directory and the realm who has no key there yet. */
  async function newUser(name: string, key: SigningKey): Promise<User> {
    const upn = `${name}@contoso.test`;
    await samba.addUser({ upn });
    kdc.addUser(upn);
    if (key.publicKey.kty !== 'RSA') expect.fail('not an RSA key');
    const blob = buildKeyCredentialLink({
      keyMaterial: encodeCngBlob({ magic: 'RSA1', key: key.publicKey }),
      source: KEY_CREDENTIAL_SOURCE.AZURE_AD,
      deviceId: DEVICE,
    });
    return { upn, certificate: await certify(upn, key), blob };
  }

  const inFiles = (certificate: Uint8Array, { privateKey }: TestSigningKey) =>
    fileIdentity({ certificate, privateKey, directory: folder(randomUUID()) });

  const synchronize = ({ upn, blob }: User) => addKeyCredential(connector.client, { base, user: upn, blob });
  const remove = ({ upn, blob }: User) =>
    removeKeyCredential(connector.client, { base, user: upn, keyId: parseKeyCredentialLink(blob).keyId });
  const logOn = ({ upn, certificate }: User, identity: LogonIdentity) =>
    proveLogon({ kdc, directory: samba.connection, user: upn, certificate, identity });

  /** The state that our client tells, and who has got a ticket or why the KDC gave none. */
  async function stateAndLogon(user: User, identity: LogonIdentity): Promise<string> {
    const { keyId } = parseKeyCredentialLink(user.blob);
    const key = { user: user.upn, keyId, deviceId: DEVICE, registered: new Date() };
    const { state } = await syncStatus(key, { reader: ldapReader(reader.client, { base }) });
    const { ticketOf, said, log } = await logOn(user, identity);
    const [, refused] = /kinit: (.*) while getting initial credentials/.exec(said) ?? [];
    expect(log.includes(': ISSUE: ')).toBe(ticketOf !== undefined);
    return `${state}: ${ticketOf ?? refused}`;
  }

  /** Before the synchronization, after it, and when the key was removed. */
  async function threeLogons(user: User, identity: LogonIdentity): Promise<string[]> {
    const before = await stateAndLogon(user, identity);
    await synchronize(user);
    const after = await stateAndLogon(user, identity);
    await remove(user);
    return [before, after, await stateAndLogon(user, identity)];
  }

  it('with a key in a file, only while the directory has it', async () => {
    const key = newKey();
    const user = await newUser('ada', key);
    expect(await threeLogons(user, inFiles(user.certificate, key))).toEqual([
      'pending: Preauthentication failed',
      'synced: ada@CONTOSO.TEST',
      'pending: Preauthentication failed',
    ]);
  });

  it.skipIf(pkcs11Missing() !== undefined)(
    'with a key in the TPM and its PIN, only while the directory has it',
    async () => {
      await using swtpm = await startSwtpm({ listen: 'tcp' });
      const tpm = await Tpm.open(await swtpm.open());
      const provider = await openTpmKeyProvider(tpm);
      const key = await provider.create({ algorithm: 'rsa-2048', pin: PIN });
      const user = await newUser('grace', {
        publicKey: key.publicKey,
        sign: (options) => provider.sign(key, { ...options, pin: PIN }),
      });
      await tpm.close();
      const token = { swtpm, key, pin: PIN, certificate: user.certificate, directory: folder('grace') };
      const identity = await makePkcs11Token(token);
      expect(await threeLogons(user, identity)).toEqual([
        'pending: Preauthentication failed',
        'synced: grace@CONTOSO.TEST',
        'pending: Preauthentication failed',
      ]);
      await synchronize(user);
      expect((await logOn(user, { ...identity, pin: 'wrong' })).ticketOf).toBe(undefined);
      expect((await logOn(user, identity)).ticketOf).toBe('grace@CONTOSO.TEST');
      await swtpm.stop();
      expect((await logOn(user, identity)).ticketOf).toBe(undefined);
    },
  );

  describe('not', () => {
    it('with a key that the directory lists for another user', async () => {
      const key = newKey();
      const owner = await newUser('owner', key);
      await synchronize(owner);
      const other = await newUser('other', key);
      expect(await stateAndLogon(other, inFiles(other.certificate, key))).toBe('pending: Preauthentication failed');
    });

    it('with a key whose value in the directory is damaged', async () => {
      const key = newKey();
      const user = await newUser('damaged', key);
      const damaged = user.blob.with(-1, (user.blob.at(-1) ?? 0) ^ 1);
      await synchronize({ ...user, blob: damaged });
      expect(await stateAndLogon(user, inFiles(user.certificate, key))).toBe('pending: Preauthentication failed');
    });

    it('with the certificate alone', async () => {
      const user = await newUser('robbed', newKey());
      await synchronize(user);
      expect(await stateAndLogon(user, inFiles(user.certificate, newKey()))).toBe('synced: Invalid signature');
    });

    it("with a certificate in another user's name", async () => {
      const key = newKey();
      const [user, someone] = [await newUser('john', key), await newUser('jane', newKey())];
      await synchronize(user);
      const certificate = await certify(someone.upn, key);
      expect(await stateAndLogon({ ...user, certificate }, inFiles(certificate, key))).toBe(
        'synced: Certificate mismatch',
      );
    });
  });
});
