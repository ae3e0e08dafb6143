import { checkBytes } from '../bytes.ts';
import { PolicyError, type PolicyProblem } from '../errors/policy-error.ts';
import { checkMembers } from '../known-members.ts';
import { decodeFileText } from '../text.ts';
import { type DeviceLockValue, fromDeviceLock } from './device-lock.ts';
import {
  countsFor,
  type FoundSetting,
  KNOWN_NAME,
  MAX_NOTES,
  type PolicyReading,
  type PolicyScope,
  settingValue,
  toLayers,
  unchosen,
} from './policy-layer.ts';
import { parseRegistryExport } from './registry-export.ts';
import {
  GPO_KEYS,
  plainId,
  SETTING_BY_NODE,
  SETTING_BY_VALUE,
  settingHint,
  splitNode,
  valueHint,
} from './setting-lookup.ts';
import { GPO_KEY, WINDOWS_SETTINGS, type WindowsSettingName } from './windows-settings.ts';

/** Options of {@link readRegistryExport}. */
export interface ReadRegistryOptions {
  /** The SID of the user. Required if the export has settings of several users. */
  readonly userSid?: string | undefined;
  /** The tenant, a GUID. Required if the export has settings of several tenants. */
  readonly tenantId?: string | undefined;
}

/** The key with the settings of the PassportForWork CSP, below HKEY_LOCAL_MACHINE. */
export const CSP_KEY = 'SOFTWARE\\Microsoft\\Policies\\PassportForWork';
/** The key with the settings of the DeviceLock CSP. */
export const DEVICE_LOCK_KEY = 'SOFTWARE\\Microsoft\\PolicyManager\\current\\device\\DeviceLock';
const CSP_PREFIX = `${CSP_KEY.toLowerCase()}\\`;
const CURRENT_USER = 'the current user';

/** A registry key whose values are settings under their own names. Paths are in lower case. */
type SettingSection =
  | { readonly source: 'gpo'; readonly scope: PolicyScope; readonly user?: string; readonly path: string }
  | {
      readonly source: 'csp';
      readonly scope: PolicyScope;
      readonly user?: string;
      readonly tenant?: string;
      readonly path: string;
    };

/** The contents of a registry key. */
type Section = SettingSection | { readonly source: 'eas' };

/**
 * Reads the settings of Windows Hello for Business from a registry export (`.reg`): the keys of Group Policy in
 * HKEY_LOCAL_MACHINE, HKEY_USERS and HKEY_CURRENT_USER, those of the PassportForWork CSP, and of the DeviceLock CSP.
 * Bytes may be UTF-16 or UTF-8. Skips everything else in the export.
 *
 * @throws PolicyError that lists every invalid line and wrong value, and the users or tenants to choose from.
 */
export function readRegistryExport(file: Uint8Array | string, options: ReadRegistryOptions = {}): PolicyReading {
  if (typeof file !== 'string') checkBytes(file, 'the file, unless it is text,');
  options = checkMembers('readRegistryExport', options, 'userSid:text? tenantId:text?');
  const { userSid, tenantId } = options;
  const text = typeof file === 'string' ? file : (decodeFileText(file) ?? '');
  const problems: PolicyProblem[] = [];
  const ignored: PolicyProblem[] = [];
  const found: FoundSetting[] = [];
  const deviceLock: DeviceLockValue[] = [];
  const [users, tenants] = [new Set<string>(), new Set<string>()];
  const [otherUsers, otherTenants] = [new Set<string>(), new Set<string>()];
  const isWanted = (key: string): boolean => sectionOf(key) !== undefined;
  for (const { key, name, data } of parseRegistryExport(text, isWanted, problems)) {
    if (problems.length >= MAX_NOTES) break;
    const section = sectionOf(key);
    if (section?.source === 'eas') deviceLock.push({ name, value: data, origin: key });
    if (section === undefined || section.source === 'eas') continue;
    const { user } = section;
    const tenant = section.source === 'csp' ? section.tenant : undefined;
    if (tenant !== undefined && tenantId !== undefined && tenant !== plainId(tenantId)) {
      otherTenants.add(tenant);
      continue;
    }
    if (tenant !== undefined && tenantId !== undefined) tenants.add(tenant); // also if it has settings of others only
    if (user !== undefined && userSid !== undefined && user !== CURRENT_USER && user !== plainId(userSid)) {
      otherUsers.add(user);
      continue;
    }
    if (user !== undefined) users.add(user === CURRENT_USER && userSid !== undefined ? plainId(userSid) : user);
    if (tenant !== undefined) tenants.add(tenant);
    const { source, scope } = section;
    const known = name.includes('\\') ? undefined : nameOf(section, name.toLowerCase());
    const place = known && WINDOWS_SETTINGS[known][source];
    const setting = `${key}\\${name}`;
    if (known === undefined || place === undefined) {
      if (ignored.length >= MAX_NOTES || (source === 'gpo' && !isBelowRoot(section.path))) continue;
      ignored.push({
        setting,
        problem: `is not a known setting${(source === 'gpo' && valueHint(section.path, name)) || settingHint(name)}`,
        expected: KNOWN_NAME,
      });
    } else if (!countsFor(scope, place)) {
      if (ignored.length >= MAX_NOTES) continue;
      ignored.push({ setting, problem: 'applies only to the machine', expected: 'a value under the machine key' });
    } else {
      const read = settingValue(known, fromData(known, data));
      if ('value' in read) found.push({ source, scope, name: known, value: read.value, origin: key });
      else problems.push({ setting, problem: read.problem, expected: `${read.expected}, ${typeOf(known)}` });
    }
  }
  found.push(...fromDeviceLock(deviceLock, problems));
  ignored.push(...unchosen('userSid', userSid, users, otherUsers));
  ignored.push(...unchosen('tenantId', tenantId, tenants, otherTenants));
  askForOne('userSid', users, problems);
  askForOne('tenantId', tenants, problems);
  if (problems.length > 0) throw new PolicyError(problems);
  return { layers: toLayers(found), ignored };
}

/** What reg.exe accepts for the hives. */
const HIVES: ReadonlyMap<string, string> = new Map([
  ['hklm', 'hkey_local_machine'],
  ['hkcu', 'hkey_current_user'],
  ['hku', 'hkey_users'],
]);

/** The kind of settings in a registry key; undefined if it has none. */
function sectionOf(key: string): Section | undefined {
  const [first = '', ...parts] = key.toLowerCase().split('\\', 16);
  const hive = HIVES.get(first) ?? first;
  const below = parts.join('\\');
  if (hive === 'hkey_current_user') return gpoSection(below, 'user', CURRENT_USER);
  if (hive === 'hkey_users') return gpoSection(parts.slice(1).join('\\'), 'user', parts[0]);
  if (hive !== 'hkey_local_machine') return undefined;
  if (below === DEVICE_LOCK_KEY.toLowerCase()) return { source: 'eas' };
  if (!below.startsWith(CSP_PREFIX)) return gpoSection(below, 'machine');
  const path = below.slice(CSP_PREFIX.length).replaceAll('\\', '/');
  const { tenant, node } = splitNode(path);
  if (tenant === undefined) return { source: 'csp', scope: 'machine', path: node };
  const [whose = '', ...rest] = node.split('/');
  if (rest[0] !== 'policies') return undefined;
  if (whose === 'device') return { source: 'csp', scope: 'machine', tenant, path: rest.join('/') };
  return { source: 'csp', scope: 'user', user: whose, tenant, path: rest.join('/') };
}

function gpoSection(path: string, scope: PolicyScope, user?: string): Section | undefined {
  if (!isBelowRoot(path) && (scope === 'user' || !GPO_KEYS.has(path))) return undefined;
  return { source: 'gpo', scope, path, ...(user !== undefined && { user }) };
}

function isBelowRoot(path: string): boolean {
  const root = GPO_KEY.toLowerCase();
  return path === root || path.startsWith(`${root}\\`);
}

function nameOf({ source, path }: SettingSection, valueName: string): WindowsSettingName | undefined {
  return source === 'gpo' ? SETTING_BY_VALUE.get(`${path}\\${valueName}`) : SETTING_BY_NODE.get(`${path}/${valueName}`);
}

/** Converts a dword 1 or 0 to a boolean if the setting is one. */
function fromData(name: WindowsSettingName, data: number | string | undefined): unknown {
  return WINDOWS_SETTINGS[name].kind === 'boolean' && (data === 0 || data === 1) ? data === 1 : data;
}

function typeOf(name: WindowsSettingName): string {
  const { kind } = WINDOWS_SETTINGS[name];
  return kind === 'text' ? 'as a string' : kind === 'boolean' ? 'as dword 1 or 0' : 'as a dword';
}

/** Adds a problem if there are several users or tenants, since their settings must not be mixed. */
function askForOne(option: 'userSid' | 'tenantId', seen: ReadonlySet<string>, problems: PolicyProblem[]): void {
  if (seen.size < 2) return;
  const whose = `${seen.size} ${option === 'userSid' ? 'users' : 'tenants'}`;
  const problem = `there are settings for ${whose}: ${[...seen].sort().slice(0, 5).join(', ')}`;
  problems.push({ setting: option, problem, expected: 'one of them' });
}
