import {
  layerFromEnvironment,
  layerOf,
  type PolicyReading,
  parseLayer,
  readRegistryExport,
  readSyncMl,
  WINDOWS_SETTINGS,
  type WindowsSettingName,
} from '../../../src/policy/index.ts';

/** The sources of a setting, highest rank first. CSP settings come in two ways. */
export const SOURCES = [
  'user GPO',
  'computer GPO',
  'user CSP',
  'user CSP (registry)',
  'device CSP',
  'device CSP (registry)',
  'EAS',
  'environment',
  'file',
  'object',
] as const;
export type Source = (typeof SOURCES)[number];

type Value = boolean | number | string;

const TENANT = 'dcd219dd-bc68-4b9b-bf0b-4a33a796be35';
const SID = 'S-1-5-21-1004336348-1177238915-682003330-512';
const CSP_KEY = 'HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Policies\\PassportForWork';
const NO_LAYERS: PolicyReading = { layers: [], ignored: [] };

/**
 * One setting from a source, read by that source's reader; undefined if the source cannot have it. EAS sets characters as
 * DeviceLock does: requiring one class of characters also requires the classes before it.
 */
export function settingFrom(source: Source, name: WindowsSettingName, value: Value): PolicyReading | undefined {
  const { csp, gpo } = WINDOWS_SETTINGS[name];
  switch (source) {
    case 'user GPO':
    case 'computer GPO': {
      if (gpo === undefined) return undefined;
      const hive = source === 'user GPO' ? 'HKEY_CURRENT_USER' : 'HKEY_LOCAL_MACHINE';
      return fromRegistry(`${hive}\\${gpo.key}`, gpo.value, value);
    }
    case 'user CSP':
    case 'device CSP': {
      if (csp === undefined) return undefined;
      const whose = source === 'user CSP' ? 'User' : 'Device';
      const path = csp.tenant ? `${TENANT}/Policies/${name}` : name;
      return fromSyncMl(`./${whose}/Vendor/MSFT/PassportForWork/${path}`, value);
    }
    case 'user CSP (registry)':
    case 'device CSP (registry)': {
      if (csp === undefined || (!csp.tenant && source === 'user CSP (registry)')) return undefined;
      const whose = source === 'user CSP (registry)' ? SID : 'Device';
      const parts = [CSP_KEY, ...(csp.tenant ? [TENANT, whose, 'Policies'] : []), ...name.split('/')];
      return fromRegistry(parts.slice(0, -1).join('\\'), parts.at(-1) ?? '', value);
    }
    case 'EAS':
      return fromDeviceLock(deviceLockOf(name, value));
    case 'environment': {
      const variable = `KEYPROV_POLICY_${VARIABLES[name] ?? words(name)}`;
      const text = WINDOWS_SETTINGS[name].kind === 'use' ? USES[Number(value)] : String(value);
      const layer = layerFromEnvironment({ [variable]: text });
      return layer === undefined ? NO_LAYERS : { layers: [layer], ignored: [] };
    }
    case 'file':
      return { layers: [parseLayer(JSON.stringify({ windows: { [name]: value } }))], ignored: [] };
    case 'object':
      return { layers: [layerOf({ windows: { [name]: value } })], ignored: [] };
  }
}

/** Rules of the DeviceLock CSP; undefined for none. */
export function fromDeviceLock(rules: Readonly<Record<string, number>> | undefined): PolicyReading | undefined {
  if (rules === undefined) return undefined;
  const nodes = Object.entries(rules).map(([name, value]) =>
    replace(`./Device/Vendor/MSFT/Policy/Config/DeviceLock/${name}`, value),
  );
  return readSyncMl(nodes.join(''));
}

const USES = ['allowed', 'required', 'not-allowed'];

const VARIABLES: Partial<Record<WindowsSettingName, string>> = {
  'PINComplexity/MinimumPINLength': 'PIN_MIN_LENGTH',
  'PINComplexity/MaximumPINLength': 'PIN_MAX_LENGTH',
  'PINComplexity/UppercaseLetters': 'PIN_UPPERCASE',
  'PINComplexity/LowercaseLetters': 'PIN_LOWERCASE',
  'PINComplexity/SpecialCharacters': 'PIN_SPECIAL',
  'PINComplexity/Digits': 'PIN_DIGITS',
  'PINComplexity/History': 'PIN_HISTORY',
  'PINComplexity/Expiration': 'PIN_EXPIRATION_DAYS',
};

const words = (name: string): string =>
  name
    .replace(/([a-z])(?=[A-Z])/g, '$1_')
    .replace('/', '_')
    .toUpperCase();

function deviceLockOf(name: WindowsSettingName, value: Value): Record<string, number> | undefined {
  const number = Number(value);
  const sets = ['Digits', 'LowercaseLetters', 'UppercaseLetters', 'SpecialCharacters'];
  const set = sets.indexOf(name.slice('PINComplexity/'.length));
  if (set >= 0) {
    if (value !== 1) return undefined;
    return { AlphanumericDevicePasswordRequired: 0, MinDevicePasswordComplexCharacters: set + 1 };
  }
  if (name === 'PINComplexity/MinimumPINLength' && number >= 4 && number <= 16)
    return { MinDevicePasswordLength: number };
  if (name === 'PINComplexity/History') return { DevicePasswordHistory: number };
  if (name === 'PINComplexity/Expiration') return { DevicePasswordExpiration: number };
  return undefined;
}

function fromRegistry(key: string, name: string, value: Value): PolicyReading {
  const data = typeof value === 'string' ? JSON.stringify(value) : `dword:${Number(value).toString(16)}`;
  return readRegistryExport(`Windows Registry Editor Version 5.00\r\n\r\n[${key}]\r\n"${name}"=${data}\r\n`);
}

function fromSyncMl(uri: string, value: Value): PolicyReading {
  return readSyncMl(replace(uri, value));
}

function replace(uri: string, value: Value): string {
  return `<Replace><Item><Target><LocURI>${uri}</LocURI></Target><Data>${value}</Data></Item></Replace>`;
}
