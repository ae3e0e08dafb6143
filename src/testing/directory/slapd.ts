import { randomBytes, randomInt } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ServiceError } from '../../errors/service-error.ts';
import { isKeyprovError, KeyprovError, undoOnFailure, withCleanup } from '../../errors.ts';
import { checkMembers } from '../../known-members.ts';
import { findLdapUser, ldapError, ldapResultCode } from '../../registration/ldap-user.ts';
import { loadLdapts } from '../../registration/load-package.ts';
import type { SignalOptions } from '../../signal.ts';
import { fileError } from '../../storage/file-error.ts';
import { openPrivateDirectory } from '../../storage/private-files.ts';
import { runProgram } from '../../storage/run-program.ts';
import { temporaryDirectory } from '../../storage/temporary-directory.ts';
import { refuseOnWindows } from '../../storage/windows.ts';
import { WatchedChild } from '../../tpm/transports/watched-child.ts';
import {
  type BoundClient,
  bindDirectory,
  type DirectoryAccount,
  type DirectoryConnection,
} from './directory-connection.ts';
import { hashPassword, slapdConfig } from './slapd-config.ts';

/** Options of {@link startDirectory}. */
export interface DirectoryOptions extends SignalOptions {
  /**
   * The directory for its data, for one server at a time; created if missing. Absent: the data is removed with the
   * server.
   */
  readonly directory?: string | undefined;
  /** The name or path of the program. Default `slapd`, in PATH or the usual directories. */
  readonly executable?: string | undefined;
}

/** A directory server that this process started and will end. */
export interface TestDirectory extends AsyncDisposable {
  readonly pid: number;
  /** Its address and accounts. Their passwords are new at each start. */
  readonly connection: DirectoryConnection;
  /**
   * Adds a user without keys.
   * @param user.upn the user principal name, `ada@contoso.test`.
   * @param user.name the common name; default: the part of `upn` before the `@`.
   * @returns its distinguished name.
   * @throws KeyprovError `service-refused` if there is a user with that common name.
   */
  addUser(user: { readonly upn: string; readonly name?: string | undefined }): Promise<string>;
  /** Removes a user with all keys. @throws KeyprovError `service-answer` if there is no such user. */
  removeUser(upn: string): Promise<void>;
  /** Ends the process and removes temporary files. Idempotent. */
  close(): Promise<void>;
}

const BASE = 'DC=contoso,DC=test';
const USERS = `CN=Users,${BASE}`;
const ENTRY_EXISTS = 68;
const MAX_PORT_TRIES = 20;
const START_TIMEOUT_MS = 60_000;
const POLL_MS = 5;
const WITHOUT_SLAPD = 'run slapd in WSL or on another machine';
const INSTALL = 'install it (Debian: systemctl mask slapd, to keep its service from starting; apt-get install slapd)';
const CONFINED = 'if AppArmor confines slapd, copy the program elsewhere and give that path as `executable`';

/**
 * Starts an OpenLDAP slapd on a free port of 127.0.0.1 that stores users' keys as Active Directory does: entries with
 * `userPrincipalName` and `msDS-KeyCredentialLink`, below `DC=contoso,DC=test`. It needs no root, does not touch the
 * system's configuration, and ends with `close`, or with this process, even if the process is killed.
 * @throws KeyprovError `library-missing` without slapd or the package ldapts; `state-io` or `not-private` if `directory` cannot be used;
 * `service-unreachable` if slapd ends at once (the message quotes its output); `service-timeout`.
 */
export async function startDirectory(options: DirectoryOptions = {}): Promise<TestDirectory> {
  options = checkMembers('startDirectory', options, 'directory:text? executable:text? signal');
  const { directory: kept, executable = 'slapd', signal } = options;
  signal?.throwIfAborted();
  refuseOnWindows('slapd', WITHOUT_SLAPD);
  await loadLdapts();
  const temporary = await temporaryDirectory('keyprov-directory-');
  const remove = () => rm(temporary, { recursive: true, force: true });
  const start = async (): Promise<TestDirectory> => {
    const directory = kept ?? join(temporary, 'data');
    try {
      openPrivateDirectory(directory);
    } catch (cause) {
      throw fileError('state-io', directory, cause, 'the state of slapd in ');
    }
    const accounts = {
      root: newAccount('root'),
      connector: newAccount('connector'),
      reader: newAccount('reader'),
    };
    const config = join(temporary, 'slapd.conf');
    const root = { dn: accounts.root.dn, hash: hashPassword(accounts.root.password) };
    const names = { base: BASE, users: USERS, connector: accounts.connector.dn, reader: accounts.reader.dn };
    await writeFile(config, slapdConfig({ ...names, directory, root }), { mode: 0o600 });
    for (let tries = 1; ; tries++) {
      // Linux uses ports from 32768 on for outgoing connections.
      const url = `ldap://127.0.0.1:${randomInt(10_000, 32_768)}`;
      const child = new WatchedChild({
        // "-d none" keeps slapd in the foreground, and has it report why it ends.
        command: [executable, '-f', config, '-h', url, '-d', 'none'],
        directory: temporary,
        env: environment(),
      });
      try {
        const bound = await bindWhenReady(child, url, accounts.root, signal);
        const { connector, reader } = accounts;
        return await running(child, bound, { url, base: BASE, connector, reader }, remove);
      } catch (error) {
        await child.kill();
        if (tries === MAX_PORT_TRIES || !child.said.includes('Address already in use')) throw error;
      }
    }
  };
  return await undoOnFailure(start, remove);
}

/** Checks that {@link startDirectory} finds slapd. @throws KeyprovError `library-missing` or `library-unsuitable`. */
export async function checkSlapd({ signal }: SignalOptions): Promise<void> {
  refuseOnWindows('slapd', WITHOUT_SLAPD);
  await runProgram('slapd', ['-VV'], { env: environment(), remedy: INSTALL, signal });
}

/** Ordinary users may lack the directories of system programs. */
const environment = (): NodeJS.ProcessEnv => ({
  ...process.env,
  PATH: [process.env.PATH, '/usr/local/sbin:/usr/sbin:/sbin'].filter(Boolean).join(':'),
});

const newAccount = (name: string): DirectoryAccount => ({
  dn: `CN=${name},${BASE}`,
  password: randomBytes(16).toString('hex'),
});

/**
 * Binds as soon as our slapd is ready. Only our slapd knows the password, so another program on that port cannot be
 * mistaken for it.
 */
async function bindWhenReady(
  child: WatchedChild,
  url: string,
  root: DirectoryAccount,
  signal: AbortSignal | undefined,
): Promise<BoundClient> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      return await bindDirectory({ url }, root, { signal });
    } catch (cause) {
      if (!isKeyprovError(cause)) throw cause;
      if (child.hasEnded) throw failure(child);
      if (Date.now() > deadline) {
        throw new ServiceError('service-timeout', `slapd: not ready after ${START_TIMEOUT_MS} ms`, { cause });
      }
    }
    await delay(POLL_MS);
    signal?.throwIfAborted();
  }
}

function failure({ said, notRun, ending }: WatchedChild): KeyprovError {
  const text = said.trim().slice(-1024).replaceAll('\n', ' / ');
  if (notRun !== undefined) {
    return new KeyprovError('library-missing', notRun, { remedy: INSTALL });
  }
  // Ubuntu's AppArmor profile lets /usr/sbin/slapd open only the files of the system's own directory.
  const remedy = said.includes('Permission denied') ? CONFINED : undefined;
  return new ServiceError('service-unreachable', `slapd: ended with ${ending}: ${text}`, remedy && { remedy });
}

/** The running server with its entries. An existing directory has them, and gets new passwords. */
async function running(
  child: WatchedChild,
  root: BoundClient,
  connection: DirectoryConnection,
  remove: () => Promise<void>,
): Promise<TestDirectory> {
  const { client } = root;
  const add = async (dn: string, attributes: Record<string, string>, ignored?: number): Promise<void> => {
    await client.add(dn, attributes).catch((cause: unknown) => {
      if (ignored === undefined || ldapResultCode(cause) !== ignored) throw ldapError(`addition of ${dn}`, cause);
    });
  };
  await add(BASE, { objectClass: 'domainDNS', dc: 'contoso' }, ENTRY_EXISTS);
  await add(USERS, { objectClass: 'container', cn: 'Users' }, ENTRY_EXISTS);
  const { Attribute, Change, DN } = await loadLdapts();
  for (const { dn, password } of [connection.connector, connection.reader]) {
    await add(dn, { objectClass: 'user' }, ENTRY_EXISTS);
    const modification = new Attribute({ type: 'userPassword', values: [hashPassword(password)] });
    await client.modify(dn, new Change({ operation: 'replace', modification }));
  }
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= withCleanup(
      () => root.close(),
      () => withCleanup(() => child.kill(), remove),
    );
    return closing;
  };
  return {
    ...{ pid: child.pid, connection },
    async addUser({ upn, name = upn.split('@')[0] ?? upn }) {
      const dn = `${new DN({ CN: name })},${USERS}`;
      await add(dn, { objectClass: 'user', userPrincipalName: upn });
      return dn;
    },
    async removeUser(upn) {
      const { dn } = await findLdapUser(client, { base: USERS, user: upn });
      await client.del(dn).catch((cause: unknown) => {
        throw ldapError(`removal of ${dn}`, cause);
      });
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
