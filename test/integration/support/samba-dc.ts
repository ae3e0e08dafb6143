import { createHash, randomInt } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DN } from 'ldapts';
import { findLdapUser } from '../../../src/registration/ldap-user.ts';
import {
  type BoundClient,
  bindDirectory,
  type DirectoryAccount,
  type DirectoryConnection,
} from '../../../src/testing/index.ts';
import { WatchedChild } from '../../../src/tpm/transports/watched-child.ts';
import { isRoot } from '../../ordinary-user.ts';
import { missingOutsideCi, missingPrograms, PYTHON, toolEnvironment } from '../../programs.ts';
import { inNamespace, namespaceMissing, relayInto } from './network-namespace.ts';
import { runToolWell } from './tool-run.ts';

/** A domain controller for a test: Samba with Active Directory's 2016 schema. It serves only LDAP. */
export interface SambaDc extends AsyncDisposable {
  readonly connection: DirectoryConnection;
  addUser(user: { readonly upn: string; readonly name?: string | undefined }): Promise<string>;
  removeUser(upn: string): Promise<void>;
  /** Changes the user's common name. Returns the distinguished name. */
  renameUser(upn: string, name: string): Promise<string>;
  /** The security identifier of the user: `S-1-5-21-…`. */
  sidOf(upn: string): Promise<string>;
  /** The values of an attribute, read from the files by samba-tool. */
  readWithSambaTool(account: string, attribute: string): string[];
}

const SCRIPT = 'test/integration/children/samba_provision.py';
// The folder for npm's caches, in which nobody else can place a file.
const CACHE = 'node_modules/.cache/keyprov';
const BASE = 'DC=contoso,DC=test';
const USERS = `CN=Users,${BASE}`;
const START_TIMEOUT_MS = 30_000;

const account = (name: string): DirectoryAccount => ({ dn: `CN=${name},${USERS}`, password: 'P4ssw0rd.Test' });

/** The reason why tests that use Samba must be skipped; see `missingOutsideCi`. */
export function sambaMissing(): string | undefined {
  const programs = missingPrograms('samba', 'samba-tool', 'tar');
  if (programs !== undefined) return programs;
  const schema = '/usr/share/samba/setup/ad-schema/AD_DS_Classes__Windows_Server_2016.ldf';
  if (!existsSync(schema)) return missingOutsideCi('samba-ad-provision not installed');
  return missingOutsideCi(isRoot ? undefined : namespaceMissing());
}

/** Starts a domain controller. The first start provisions it, which takes some seconds; later starts copy the result. */
export async function startSambaDc(): Promise<SambaDc> {
  const directory = mkdtempSync(join(tmpdir(), 'keyprov-samba-'));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  // Samba serves LDAP only on port 389, but there are many loopback addresses.
  const address = `127.${randomInt(64, 128)}.${randomInt(256)}.${randomInt(1, 255)}`;
  try {
    provision(directory, address);
    const samba = [
      ...['samba', '-F', '-M', 'single', '--no-process-group', '-d', '1'],
      ...['-l', `${directory}/logs`, '-s', `${directory}/etc/smb.conf`],
    ];
    const child = new WatchedChild({
      command: isRoot ? samba : inNamespace(samba),
      directory,
      env: { ...toolEnvironment(), KRB5_CONFIG: `${directory}/etc/krb5.conf` },
    });
    const relay = isRoot ? undefined : await relayInto(child.pid, address, 389);
    const url = relay === undefined ? `ldap://${address}` : `ldap://127.0.0.1:${relay.port}`;
    const stop = async () => {
      await relay?.[Symbol.asyncDispose]();
      await child.kill();
      remove();
    };
    try {
      const administrator = await bindWhenReady(child, url, `${directory}/logs/samba.log`);
      return running(directory, url, administrator, stop);
    } catch (error) {
      await stop();
      throw error;
    }
  } catch (error) {
    remove();
    throw error;
  }
}

const FOLDERS = 'etc logs run private state cache lock sysvol binddns ncalrpc ntp'.split(' ');

/** Fills the directory, from the cache if possible. Only its settings contain paths. */
function provision(directory: string, address: string): void {
  const version = runToolWell('samba', ['--version']);
  const made = createHash('sha256').update(version).update(readFileSync(SCRIPT)).update(settings('', ''));
  const archive = join(CACHE, `samba-${made.digest('hex').slice(0, 16)}.tar.gz`);
  const isThere = existsSync(archive);
  if (isThere) runToolWell('tar', ['xzf', archive, '-C', directory, '--no-same-owner']);
  else for (const name of FOLDERS) mkdirSync(join(directory, name), { mode: name === 'ntp' ? 0o750 : 0o700 });
  writeFileSync(join(directory, 'etc/smb.conf'), settings(directory, address));
  writeFileSync(join(directory, 'etc/krb5.conf'), KRB5);
  if (isThere) return;
  const command = [PYTHON, SCRIPT, directory, address];
  const [program = '', ...args] = isRoot ? command : inNamespace(command);
  runToolWell(program, args, { env: { KRB5_CONFIG: `${directory}/etc/krb5.conf` } });
  try {
    mkdirSync(CACHE, { recursive: true });
    accessSync(CACHE, constants.W_OK);
  } catch {
    // The checkout belongs to another user, so there is no cache and each start takes some seconds.
    return;
  }
  // Other processes may do the same at this moment.
  const unfinished = `${archive}.${process.pid}`;
  runToolWell('tar', ['czf', unfinished, '-C', directory, ...FOLDERS]);
  renameSync(unfinished, archive);
}

const KRB5 = `[libdefaults]
default_realm = CONTOSO.TEST
dns_lookup_kdc = false
dns_lookup_realm = false
`;

const settings = (directory: string, address: string): string => `[global]
netbios name = DC1
realm = CONTOSO.TEST
workgroup = CONTOSO
server role = active directory domain controller
server services = ldap
dcerpc endpoint servers = none
interfaces = ${address}/8
bind interfaces only = yes
krb5 port = 10088
kpasswd port = 10464
cldap port = 10389
smb ports = 10445
disable netbios = yes
private dir = ${directory}/private
state directory = ${directory}/state
cache directory = ${directory}/cache
lock directory = ${directory}/lock
pid directory = ${directory}/run
binddns dir = ${directory}/binddns
ncalrpc dir = ${directory}/ncalrpc
ntp signd socket directory = ${directory}/ntp
log file = ${directory}/logs/samba.log
logging = file
ldap server require strong auth = no
tls enabled = no
[sysvol]
path = ${directory}/sysvol
read only = no
[netlogon]
path = ${directory}/sysvol/contoso.test/scripts
read only = no
`;

async function bindWhenReady(child: WatchedChild, url: string, log: string): Promise<BoundClient> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      return await bindDirectory({ url }, account('Administrator'));
    } catch (cause) {
      if (child.hasEnded || Date.now() > deadline) {
        const said = existsSync(log) ? readFileSync(log, 'utf8').slice(-2_000) : child.said;
        throw new Error(`samba is not ready: ${said}`, { cause });
      }
      await delay(20);
    }
  }
}

function running(directory: string, url: string, { client, close }: BoundClient, stop: () => Promise<void>): SambaDc {
  const dnOf = async (user: string) => (await findLdapUser(client, { base: BASE, user })).dn;
  const named = (name: string) => `${new DN({ CN: name })},${USERS}`;
  return {
    connection: { url, base: BASE, connector: account('connector'), reader: account('reader') },
    async addUser({ upn, name = accountOf(upn) }) {
      const attributes = { objectClass: 'user', sAMAccountName: accountOf(upn), userPrincipalName: upn };
      await client.add(named(name), attributes);
      return named(name);
    },
    async removeUser(upn) {
      await client.del(await dnOf(upn));
    },
    async renameUser(upn, name) {
      await client.modifyDN(await dnOf(upn), named(name));
      return named(name);
    },
    async sidOf(upn) {
      const attributes = ['objectSid'];
      const filter = `(userPrincipalName=${upn})`;
      const found = await client.search(BASE, { filter, attributes, explicitBufferAttributes: attributes });
      const sid = found.searchEntries[0]?.objectSid;
      if (!Buffer.isBuffer(sid)) throw new Error(`no objectSid of ${upn}`);
      // MS-DTYP 2.4.2.2: revision, count, authority (48 bits, big endian), and 32 bits (little endian) each.
      const parts = Array.from({ length: sid.readUInt8(1) }, (_, index) => sid.readUInt32LE(8 + 4 * index));
      return ['S', sid.readUInt8(0), sid.readUIntBE(2, 6), ...parts].join('-');
    },
    readWithSambaTool(user, attribute) {
      const files = ['-s', `${directory}/etc/smb.conf`, '-H', `${directory}/private/sam.ldb`];
      const args = ['user', 'show', user, `--attributes=${attribute}`, ...files];
      const lines = runToolWell('samba-tool', args).replaceAll('\n ', '').split('\n');
      const prefix = `${attribute}: `;
      return lines.filter((line) => line.startsWith(prefix)).map((line) => line.slice(prefix.length));
    },
    async [Symbol.asyncDispose]() {
      await close();
      await stop();
    },
  };
}

const accountOf = (upn: string): string => upn.split('@')[0] ?? upn;
