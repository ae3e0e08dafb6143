import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bytes } from '../bytes.ts';
import { PolicyError, type PolicyProblem } from '../errors/policy-error.ts';
import { KeyprovError, withCleanup } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import type { SignalOptions } from '../signal.ts';
import { errorCode } from '../storage/file-error.ts';
import { readInput } from '../storage/read-input.ts';
import { runProgram } from '../storage/run-program.ts';
import { temporaryDirectory } from '../storage/temporary-directory.ts';
import { windowsProgram } from '../storage/windows.ts';
import type { PolicyReading } from './policy-layer.ts';
import { CSP_KEY, DEVICE_LOCK_KEY, type ReadRegistryOptions, readRegistryExport } from './read-registry.ts';
import { GPO_KEY, WINDOWS_SETTINGS } from './windows-settings.ts';

/**
 * Options of {@link readWindowsRegistry}. Default of `userSid`: the user of this process. Another user must be signed in,
 * since Windows loads a user's settings then; if not, `ignored` says so.
 */
export interface ReadWindowsRegistryOptions extends ReadRegistryOptions, SignalOptions {}

/**
 * Reads the settings of Windows Hello for Business from the registry of this Windows machine, for one user. Runs `reg.exe
 * export` for each key that can hold settings, and {@link readRegistryExport} for its output.
 * @throws PolicyError like {@link readRegistryExport}, and for an existing key that this user may not read; KeyprovError
 * `library-missing` without `reg.exe` or `whoami.exe`, as on any other system; `library-unsuitable` if one of them fails,
 * is ended, does not end within a minute, prints more than 1 MiB, or prints no SID; `store-io` for an export of more than
 * 16 MiB, or without a usable temporary directory.
 *
 * @example
 * ```ts
 * import { policyInForce, readWindowsRegistry } from 'keyprov/policy';
 *
 * const { layers } = await readWindowsRegistry();
 * const { policy } = await policyInForce({ layers });
 * ```
 */
export async function readWindowsRegistry(options: ReadWindowsRegistryOptions = {}): Promise<PolicyReading> {
  const { signal, ...rest } = checkMembers('readWindowsRegistry', options, 'userSid:text? tenantId:text? signal');
  const directory = await temporaryDirectory('keyprov-registry-');
  return await withCleanup(
    async () => {
      const userSid = rest.userSid ?? (await ownSid({ signal }));
      const hive = `HKEY_USERS\\${userSid}`;
      const readings: PolicyReading[] = [];
      const absent: PolicyProblem[] = [];
      for (const [index, key] of settingKeys(userSid).entries()) {
        const file = await exportKey(key, join(directory, `${index}.reg`), { signal });
        if (file !== undefined) readings.push(readRegistryExport(file, { ...rest, userSid }));
        else if (key.startsWith(hive) && !(await isThere(hive, { signal }))) absent.push(notSignedIn(userSid));
      }
      return {
        layers: readings.flatMap(({ layers }) => layers),
        // Each export has the settings of all users.
        ignored: [
          ...readings.flatMap(({ ignored }) => ignored.filter(({ setting }) => setting !== 'userSid')),
          ...absent,
        ],
      };
    },
    // Windows may hold a file for a moment longer than the program that wrote it.
    () => rm(directory, { recursive: true, force: true, maxRetries: 10 }),
  );
}

const notSignedIn = (userSid: string): PolicyProblem => ({
  setting: 'userSid',
  problem: `${userSid} is not signed in, so Windows has not loaded that user's settings`,
  expected: 'a user who is signed in',
});

/** The keys that can hold settings, none of them below another. */
function settingKeys(userSid: string): readonly string[] {
  const places = Object.values(WINDOWS_SETTINGS).flatMap(({ gpo }) => gpo?.key ?? []);
  const others = places.filter((key) => key !== GPO_KEY && !key.startsWith(`${GPO_KEY}\\`));
  const machine = [GPO_KEY, ...others, CSP_KEY, DEVICE_LOCK_KEY].map((key) => `HKEY_LOCAL_MACHINE\\${key}`);
  return [...new Set(machine), `HKEY_USERS\\${userSid}\\${GPO_KEY}`];
}

/** Returns the output of `reg export` for a key; undefined if the key does not exist. */
async function exportKey(key: string, file: string, options: SignalOptions): Promise<Bytes | undefined> {
  // A 32-bit Node.js would see other keys than those of the policies.
  const exported = await runReg(['export', key, file, '/y', '/reg:64'], options);
  if (exported !== undefined && existsSync(file)) return await readInput(file, options);
  if (!(await isThere(key, options))) return undefined;
  const expected = 'a key that this user can read';
  throw new PolicyError([{ setting: key, problem: 'cannot be read with reg.exe', expected }], {
    remedy: 'run this as a user who can read that registry key',
  });
}

/**
 * Tells whether a key exists, by listing its parent: `reg` fails alike for a missing key and a forbidden one.
 * @throws KeyprovError `library-unsuitable` if `reg` cannot list a root key, such as where policy forbids it to run.
 */
async function isThere(key: string, options: SignalOptions): Promise<boolean> {
  const parent = key.slice(0, key.lastIndexOf('\\'));
  const query = ['query', parent, '/reg:64'];
  const listed = parent.includes('\\')
    ? await runReg(query, options)
    : await runProgram(windowsProgram('reg.exe'), query, {
        ...options,
        remedy: `run reg.exe query ${parent} to see why`,
      });
  if (listed === undefined) return await isThere(parent, options);
  return listed.split('\n').some((line) => line.trim().toLowerCase() === key.toLowerCase());
}

/** Without it, the settings of another user could not be told from those of this one. */
async function ownSid(options: SignalOptions): Promise<string> {
  const remedy = 'pass the SID as userSid';
  const printed = await runProgram(windowsProgram('whoami.exe'), ['/user', '/fo', 'csv', '/nh'], {
    ...options,
    remedy,
  });
  const [, , comma, sid, end] = printed.trim().split('"');
  if (comma === ',' && end === '' && sid?.startsWith('S-1-')) return sid;
  throw new KeyprovError('library-unsuitable', "whoami.exe does not report this user's SID", { remedy });
}

/** Returns the output of `reg.exe`; undefined if it fails with exit code 1, as for a missing key. */
async function runReg(args: readonly string[], options: SignalOptions): Promise<string | undefined> {
  try {
    return await runProgram(windowsProgram('reg.exe'), args, options);
  } catch (error) {
    if (error instanceof KeyprovError && errorCode(error.cause) === 1) return undefined;
    throw error;
  }
}
