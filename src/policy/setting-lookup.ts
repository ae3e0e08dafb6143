import { WINDOWS_SETTING_NAMES, WINDOWS_SETTINGS, type WindowsSettingName } from './windows-settings.ts';
import { didYouMean } from './wording.ts';

/** The settings by the path of their Group Policy registry value, below the hive and in lower case. */
export const SETTING_BY_VALUE: ReadonlyMap<string, WindowsSettingName> = new Map(
  WINDOWS_SETTING_NAMES.flatMap((name) => {
    const { gpo } = WINDOWS_SETTINGS[name];
    return gpo === undefined ? [] : [[`${gpo.key}\\${gpo.value}`.toLowerCase(), name] as const];
  }),
);

/** The settings by their CSP node in lower case: `policies/enablepinrecovery`, `biometrics/usebiometrics`. */
export const SETTING_BY_NODE: ReadonlyMap<string, WindowsSettingName> = new Map(
  WINDOWS_SETTING_NAMES.flatMap((name) => {
    const { csp } = WINDOWS_SETTINGS[name];
    return csp === undefined ? [] : [[`${csp.tenant ? 'policies/' : ''}${name}`.toLowerCase(), name] as const];
  }),
);

/** The keys of Group Policy with settings, below the hive and in lower case. */
export const GPO_KEYS: ReadonlySet<string> = new Set(
  [...SETTING_BY_VALUE.keys()].map((path) => path.slice(0, path.lastIndexOf('\\'))),
);

/** The nodes below the root that are not tenants, in lower case. */
const NODES: ReadonlySet<string> = new Set(
  [...SETTING_BY_NODE.keys()].map((node) => node.slice(0, node.indexOf('/'))).filter((first) => first !== 'policies'),
);

/** Splits the path below `PassportForWork`, in lower case, into the tenant, if any, and the node. */
export function splitNode(path: string): { readonly tenant?: string; readonly node: string } {
  const [first = '', ...rest] = path.split('/');
  if (NODES.has(first)) return { node: path };
  return { tenant: plainId(first), node: rest.join('/') };
}

/** A GUID or SID in lower case and without braces. */
export function plainId(id: string): string {
  return id.toLowerCase().replace(/^\{(.*)\}$/, '$1');
}

/** `, did you mean 'x'?` for a value of a key of Group Policy, below the hive and in lower case. */
export function valueHint(key: string, name: string): string {
  const values = WINDOWS_SETTING_NAMES.flatMap((setting) => {
    const { gpo } = WINDOWS_SETTINGS[setting];
    return gpo?.key.toLowerCase() === key ? [{ value: gpo.value, node: setting.slice(setting.indexOf('/') + 1) }] : [];
  });
  // The CSP uses other names for some.
  const same = values.find(({ node }) => node.toLowerCase() === name.toLowerCase());
  return didYouMean(same?.value ?? name, same === undefined ? values.map(({ value }) => value) : [same.value]);
}

/** `, did you mean 'x'?` for the last part of a path that is not a setting. */
export function settingHint(path: string): string {
  const last = path.slice(Math.max(path.lastIndexOf('\\'), path.lastIndexOf('/')) + 1);
  const names = WINDOWS_SETTING_NAMES.map((name) => name.slice(name.indexOf('/') + 1));
  return didYouMean(last, names);
}
