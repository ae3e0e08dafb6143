import { PolicyError, type PolicyProblem } from '../errors/policy-error.ts';
import { checkMembers } from '../known-members.ts';
import { type DeviceLockValue, fromDeviceLock } from './device-lock.ts';
import {
  countsFor,
  type FoundSetting,
  KNOWN_NODE,
  MAX_NOTES,
  type PolicyReading,
  settingValue,
  toLayers,
  unchosen,
} from './policy-layer.ts';
import { plainId, SETTING_BY_NODE, settingHint, splitNode } from './setting-lookup.ts';
import { WINDOWS_SETTINGS, type WindowsSettingName } from './windows-settings.ts';
import { show } from './wording.ts';
import { parseXml, type XmlElement, XmlError } from './xml.ts';

/** Options of {@link readSyncMl}. */
export interface ReadSyncMlOptions {
  /** The tenant, a GUID. Required if the message has settings of several tenants. */
  readonly tenantId?: string | undefined;
  /** The place of the text, for people. Default `SyncML`. */
  readonly origin?: string | undefined;
}

const CONTAINERS = ['SyncML', 'SyncBody', 'Atomic', 'Sequence'];
const PASSED_OVER = ['SyncHdr', 'CmdID', 'Final', 'Meta', 'Status', 'Results', 'Get', 'Exec', 'Alert'];

/** One item of a command: its node and its value. */
interface Item {
  readonly uri: string;
  readonly format: string;
  readonly data: string | undefined;
  readonly isDeleted: boolean;
}

/**
 * Reads the settings of Windows Hello for Business from a SyncML message, or from a fragment with its commands: `Add`,
 * `Replace` and `Delete`, also inside `Atomic` and `Sequence`, for nodes of the PassportForWork CSP (user and device)
 * and of DeviceLock in the Policy CSP. Skips commands for other nodes.
 *
 * @throws PolicyError that lists every wrong element and value, and the tenants to choose from.
 */
export function readSyncMl(xml: string, options: ReadSyncMlOptions = {}): PolicyReading {
  const { origin = 'SyncML', tenantId } = checkMembers('readSyncMl', options, 'tenantId:text? origin:text?');
  const problems: PolicyProblem[] = [];
  const ignored: PolicyProblem[] = [];
  const [tenants, others] = [new Set<string>(), new Set<string>()];
  const found = new Map<string, FoundSetting>();
  const deviceLock = new Map<string, DeviceLockValue>();
  for (const { uri, format, data, isDeleted } of itemsOf(parse(xml), problems)) {
    if (problems.length >= MAX_NOTES) break;
    const lock = /^\.\/(?:Device\/)?Vendor\/MSFT\/Policy\/Config\/DeviceLock\/(\w+)$/i.exec(uri)?.[1];
    if (lock !== undefined) {
      if (isDeleted || data === undefined) deviceLock.delete(lock);
      else deviceLock.set(lock, { name: lock, value: /^\d{1,9}$/.test(data) ? Number(data) : data, origin });
      continue;
    }
    const [, whose = 'device', below] =
      /^\.\/(?:(device|user)\/)?vendor\/msft\/passportforwork\/(.+)$/i.exec(uri) ?? [];
    if (below === undefined) {
      if (!/(?:passportforwork|config\/+devicelock)\//i.test(uri) || ignored.length >= MAX_NOTES) continue;
      ignored.push({ setting: uri, problem: 'is not the path of a node', expected: KNOWN_NODE });
      continue;
    }
    const scope = whose.toLowerCase() === 'user' ? 'user' : 'machine';
    const { tenant, node } = splitNode(below.toLowerCase());
    if (tenant !== undefined && tenantId !== undefined && tenant !== plainId(tenantId)) {
      others.add(tenant);
      continue;
    }
    if (tenant !== undefined) tenants.add(tenant);
    const id = `${scope}/${node}`;
    if (isDeleted) {
      // Deleting a node also deletes those below it; a tenant's policies are below it.
      const gone = `${id === `${scope}/` ? `${id}policies` : id}/`;
      for (const other of found.keys()) if (`${other}/`.startsWith(gone)) found.delete(other);
      continue;
    }
    const name = SETTING_BY_NODE.get(node);
    const place = name && WINDOWS_SETTINGS[name].csp;
    if (name === undefined || place === undefined) {
      if (data === undefined || ignored.length >= MAX_NOTES) continue;
      ignored.push({ setting: uri, problem: `is not a known node${settingHint(node)}`, expected: KNOWN_NODE });
    } else if (!countsFor(scope, place)) {
      if (ignored.length >= MAX_NOTES) continue;
      ignored.push({ setting: uri, problem: 'applies only to the machine', expected: './Device/Vendor/MSFT/…' });
    } else if (format !== '' && format !== place.format) {
      problems.push({ setting: uri, problem: `has the format ${show(format)}`, expected: `'${place.format}'` });
    } else {
      const read = settingValue(name, fromText(name, data));
      if ('value' in read) found.set(id, { source: 'csp', scope, name, value: read.value, origin });
      else problems.push({ setting: uri, ...read });
    }
  }
  const all = [...found.values(), ...fromDeviceLock([...deviceLock.values()], problems)];
  if (tenants.size > 1) {
    const some = [...tenants].sort().slice(0, 5).join(', ');
    const problem = `there are settings for ${tenants.size} tenants: ${some}`;
    problems.push({ setting: 'tenantId', problem, expected: 'one of them' });
  }
  if (problems.length > 0) throw new PolicyError(problems);
  return { layers: toLayers(all), ignored: [...ignored, ...unchosen('tenantId', tenantId, tenants, others)] };
}

function parse(xml: string): readonly XmlElement[] {
  try {
    return parseXml(xml);
  } catch (cause) {
    if (!(cause instanceof XmlError)) throw cause;
    throw new PolicyError([{ setting: 'SyncML', problem: cause.message, expected: 'well-formed XML' }], { cause });
  }
}

function itemsOf(elements: readonly XmlElement[], problems: PolicyProblem[]): Item[] {
  return elements.flatMap((element): Item[] => {
    if (CONTAINERS.includes(element.name)) return itemsOf(element.children, problems);
    if (PASSED_OVER.includes(element.name)) return [];
    if (!['Add', 'Replace', 'Delete'].includes(element.name)) {
      problems.push({
        setting: element.name,
        problem: 'is not a SyncML command',
        expected: "'Add' | 'Replace' | 'Delete'",
      });
      return [];
    }
    const items = element.children.filter(({ name }) => name === 'Item');
    if (items.length === 0) {
      problems.push({ setting: element.name, problem: 'has no Item', expected: 'at least one Item' });
    }
    return items.flatMap((item) => {
      const uri = textAt(item, 'Target', 'LocURI');
      if (uri === undefined || uri === '') {
        problems.push({ setting: element.name, problem: 'has an Item without LocURI', expected: 'Target and LocURI' });
        return [];
      }
      const format = textAt(item, 'Meta', 'Format') ?? textAt(element, 'Meta', 'Format') ?? '';
      return [{ uri, format, data: textAt(item, 'Data'), isDeleted: element.name === 'Delete' }];
    });
  });
}

/** The trimmed text of the element that these names lead to. */
function textAt(element: XmlElement, ...path: readonly string[]): string | undefined {
  const [name, ...rest] = path;
  if (name === undefined) return element.text.trim();
  const child = element.children.find((candidate) => candidate.name === name);
  return child && textAt(child, ...rest);
}

function fromText(name: WindowsSettingName, data: string | undefined): unknown {
  const { kind } = WINDOWS_SETTINGS[name];
  if (data === undefined || kind === 'text') return data;
  if (kind === 'boolean') {
    const text = data.toLowerCase();
    return text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : data;
  }
  return /^\d{1,9}$/.test(data) ? Number(data) : data;
}
