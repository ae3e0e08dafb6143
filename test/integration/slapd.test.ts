import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { toHex, view } from '../../src/bytes.ts';
import { isKeyprovError } from '../../src/errors.ts';
import { buildKeyCredentialLink, parseKeyCredentialLink } from '../../src/formats/windows/key-credential-link.ts';
import { ldapReader } from '../../src/registration/ldap-reader.ts';
import { addKeyCredential, bindDirectory, startDirectory, type TestDirectory } from '../../src/testing/index.ts';
import { checkoutIsClosed, isRoot, ORDINARY_USER } from '../ordinary-user.ts';
import { missingPrograms } from '../programs.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { bundle } from './support/bundle.ts';
import { failureOf } from './support/failure.ts';
import { isRunning } from './support/is-running.ts';

const missing = missingPrograms('slapd');
const USER = 'ada@contoso.test';
const newBlob = () => buildKeyCredentialLink({ keyMaterial: view(randomBytes(283)) });

/** Work in which temporary files are below `path`. */
async function withTemporary<T>(path: string, work: () => Promise<T>): Promise<T> {
  const before = process.env.TMPDIR;
  process.env.TMPDIR = path;
  try {
    return await work();
  } finally {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  }
}

async function add({ connection }: TestDirectory, blob: Uint8Array): Promise<string> {
  await using connector = await bindDirectory(connection, connection.connector);
  return await addKeyCredential(connector.client, { base: connection.base, user: USER, blob });
}

async function keyIds({ connection }: TestDirectory): Promise<string[]> {
  await using reader = await bindDirectory(connection, connection.reader);
  const keys = await ldapReader(reader.client, { base: connection.base }).read(USER);
  return keys.map(({ keyId }) => toHex(keyId));
}

const keyIdOf = (blob: Uint8Array) => toHex(parseKeyCredentialLink(blob).keyId);

describe.skipIf(missing)('startDirectory', () => {
  it('starts 20, 5 at a time, each with its own address, passwords and users', async () => {
    const [addresses, passwords] = [new Set<string>(), new Set<string>()];
    let left = 20;
    const worker = async () => {
      while (left-- > 0) {
        await using directory = await startDirectory();
        const { url, connector, reader } = directory.connection;
        addresses.add(`${url} ${directory.pid}`);
        for (const { password } of [connector, reader]) passwords.add(password);
        await directory.addUser({ upn: USER });
        const blob = newBlob();
        await add(directory, blob);
        expect(await keyIds(directory)).toEqual([keyIdOf(blob)]);
      }
    };
    await Promise.all(Array.from({ length: 5 }, worker));
    expect([addresses.size, passwords.size]).toEqual([20, 40]);
  });

  it('listens on the loopback address only, below the ports for outgoing connections', async () => {
    await using directory = await startDirectory();
    const { hostname, port } = new URL(directory.connection.url);
    expect(hostname).toBe('127.0.0.1');
    expect(Number(port)).toBeGreaterThanOrEqual(10_000);
    expect(Number(port)).toBeLessThan(32_768);
    // Of all sockets that listen at that port: proc(5), state 0A, in hexadecimal and little endian.
    const sockets = ['tcp', 'tcp6'].flatMap((kind) => readFileSync(`/proc/net/${kind}`, 'utf8').split('\n'));
    const wanted = new RegExp(`: ([0-9A-F]+):${Number(port).toString(16).padStart(4, '0')} [0-9A-F:]+ 0A`, 'i');
    expect(sockets.flatMap((line) => wanted.exec(line)?.[1] ?? [])).toEqual(['0100007F']);
  });

  it('ends the process and removes temporary files at close', async () => {
    using parent = temporaryDirectory();
    await withTemporary(parent.path, async () => {
      const directory = await startDirectory();
      const [folder = ''] = readdirSync(parent.path);
      expect(readdirSync(join(parent.path, folder)).sort()).toEqual(['data', 'log', 'slapd.conf']);
      expect(isRunning(directory.pid)).toBe(true);
      await Promise.all([directory.close(), directory.close()]);
      expect(isRunning(directory.pid)).toBe(false);
      expect(readdirSync(parent.path)).toEqual([]);
      await directory.close();
    });
  });

  it('writes no password into a file', async () => {
    using parent = temporaryDirectory();
    using kept = temporaryDirectory();
    await withTemporary(parent.path, async () => {
      await using directory = await startDirectory({ directory: kept.path });
      const { connector, reader } = directory.connection;
      const files = [parent.path, kept.path].flatMap((path) =>
        readdirSync(path, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1')),
      );
      expect(files.length).toBeGreaterThan(2);
      expect(files.some((text) => text.includes('{SSHA}'))).toBe(true);
      for (const { password } of [connector, reader])
        expect(files.filter((text) => text.includes(password))).toEqual([]);
    });
  });

  it('keeps users and keys in a directory that was named, with new passwords at each start', async () => {
    using kept = temporaryDirectory();
    const directory = join(kept.path, 'with "quotes" and a \\');
    const passwords = new Set<string>();
    const blobs = [newBlob(), newBlob()];
    for (const [start, blob] of blobs.entries()) {
      await using running = await startDirectory({ directory });
      if (start === 0) await running.addUser({ upn: USER, name: 'Ada' });
      passwords.add(running.connection.connector.password);
      await add(running, blob);
      expect(await keyIds(running)).toEqual(blobs.slice(0, start + 1).map(keyIdOf));
    }
    expect(passwords.size).toBe(2);
    expect(readdirSync(directory)).toContain('data.mdb');
  });

  it('adds users with any name, and says when there is one already or none', async () => {
    await using directory = await startDirectory();
    expect(await directory.addUser({ upn: USER })).toBe('CN=ada,CN=Users,DC=contoso,DC=test');
    for (const name of ['Lovelace, Ada', ' "Ada" <+>; ', 'Adé # 洛', 'a=b\\c']) {
      await directory.addUser({ upn: `${Buffer.from(name).toString('hex')}@contoso.test`, name });
    }
    const taken = await failureOf(directory.addUser({ upn: 'other@contoso.test', name: 'ada' }));
    expect([taken.code, taken.message.includes('result code 68')]).toEqual(['service-refused', true]);
    await directory.removeUser(USER);
    expect((await failureOf(directory.removeUser(USER))).code).toBe('service-answer');
  });

  it('shows nothing to those who do not say who they are', async () => {
    await using directory = await startDirectory();
    await directory.addUser({ upn: USER });
    const { connection } = directory;
    await using nobody = await bindDirectory(connection, { dn: '', password: '' });
    const filter = `(userPrincipalName=${USER})`;
    await expect(nobody.client.search(connection.base, { filter })).rejects.toMatchObject({ code: 32 });
    await using reader = await bindDirectory(connection, connection.reader);
    const found = await reader.client.search(connection.base, { filter: '(objectClass=*)' });
    expect(found.searchEntries).toHaveLength(5);
    expect(found.searchEntries.filter((entry) => 'userPassword' in entry)).toEqual([]);
  });

  it('reports a missing directory as a temporary problem', async () => {
    const directory = await startDirectory();
    await directory.addUser({ upn: USER });
    const { connection } = directory;
    const { client } = await bindDirectory(connection, connection.connector);
    await directory.close();
    const blob = newBlob();
    for (const work of [
      addKeyCredential(client, { base: connection.base, user: USER, blob }),
      bindDirectory(connection, connection.reader),
    ]) {
      expect((await failureOf(work)).code).toBe('service-unreachable');
    }
  });

  it('uses another port if the first one is taken', async () => {
    using directory = temporaryDirectory();
    const executable = join(directory.path, 'slapd');
    const log = join(directory.path, 'ports');
    const firstFails = `echo "$4" >> '${log}'; [ $(wc -l < '${log}') -gt 2 ] && exec slapd "$@"`;
    writeFileSync(executable, `#!/bin/sh\n${firstFails}\necho 'Address already in use' >&2\nexit 1\n`, { mode: 0o755 });
    await using running = await startDirectory({ executable });
    const tried = readFileSync(log, 'utf8').trim().split('\n');
    expect([new Set(tried).size, tried[2]]).toEqual([3, running.connection.url]);
  });

  it('shows the output of a slapd that ended at once, and leaves nothing behind', async () => {
    using parent = temporaryDirectory();
    using data = temporaryDirectory();
    writeFileSync(join(data.path, 'data.mdb'), 'no database'.repeat(1000));
    await withTemporary(parent.path, async () => {
      const error = await failureOf(startDirectory({ directory: data.path }));
      expect(error.code).toBe('service-unreachable');
      expect(error.message).toMatch(/^slapd: ended with exit code 1: .*MDB_INVALID/);
      await expect(startDirectory({ signal: AbortSignal.abort('enough') })).rejects.toBe('enough');
      const abort = new AbortController();
      const starting = startDirectory({ signal: abort.signal });
      setTimeout(() => abort.abort('enough'), 5);
      await expect(starting).rejects.toBe('enough');
      expect(readdirSync(parent.path)).toEqual([]);
    });
  });

  it('says what may help if it may not read its files', async () => {
    using directory = temporaryDirectory();
    const executable = join(directory.path, 'slapd');
    writeFileSync(executable, '#!/bin/sh\necho "could not open config file: Permission denied" >&2\nexit 1\n', {
      mode: 0o755,
    });
    const error = await failureOf(startDirectory({ executable }));
    expect([error.code, error.remedy?.includes('AppArmor')]).toEqual(['service-unreachable', true]);
  });

  it('refuses a directory that is a file', async () => {
    using directory = temporaryDirectory();
    const file = join(directory.path, 'file');
    writeFileSync(file, '');
    expect(await failureOf(startDirectory({ directory: file }))).toMatchObject({
      ...{ code: 'state-io', message: `the state of slapd in ${file} is not a directory` },
      remedy: 'give the path of a directory',
    });
  });

  it.skipIf(checkoutIsClosed())(
    'works as an ordinary user, and ends with its parent, also when that is killed',
    async () => {
      using script = await bundle('test/integration/children/directory-parent.ts');
      using place = temporaryDirectory();
      chmodSync(place.path, 0o1777);
      chmodSync(join(script.path, '..'), 0o755);
      for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
        const parent = spawn(process.execPath, [script.path], {
          stdio: ['pipe', 'pipe', 'inherit'],
          // Root may be any user; another is an ordinary one already.
          ...(isRoot && ORDINARY_USER),
          env: { PATH: process.env.PATH, TMPDIR: place.path },
        });
        const [line] = await once(createInterface({ input: parent.stdout }), 'line');
        const { pid, dn }: { pid: number; dn: string } = JSON.parse(line);
        expect([isRunning(pid), dn]).toEqual([true, 'CN=ada,CN=Users,DC=contoso,DC=test']);
        expect(readFileSync(`/proc/${pid}/status`, 'utf8')).not.toMatch(/^Uid:\t0/m);
        parent.kill(signal);
        await once(parent, 'exit');
        await expect.poll(() => isRunning(pid), { timeout: 60_000 }).toBe(false);
        await expect.poll(() => readdirSync(place.path), { timeout: 60_000 }).toEqual([]);
      }
      expect(existsSync(place.path)).toBe(true);
    },
  );
});

describe('startDirectory without slapd', () => {
  it.each([
    ['keyprov-has-no-such-program', 'there is no keyprov-has-no-such-program in PATH'],
    ['/nonexistent/slapd', '/nonexistent/slapd does not exist'],
    ['/dev/null', '/dev/null is not an executable program'],
  ])('says how to get it: %s', async (executable, said) => {
    const error = await failureOf(startDirectory({ executable }));
    expect(isKeyprovError(error, 'library-missing')).toBe(true);
    expect(error.message).toBe(said);
    expect(error.remedy).toBe(
      'install it (Debian: systemctl mask slapd, to keep its service from starting; apt-get install slapd)',
    );
  });
});
