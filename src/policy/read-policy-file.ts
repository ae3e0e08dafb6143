import { PolicyError } from '../errors/policy-error.ts';
import { checkMembers } from '../known-members.ts';
import { checkSize, LIMIT } from '../limits.ts';
import { decodeFileText } from '../text.ts';
import { KNOWN_NAME, KNOWN_NODE, type NothingKnown, type PolicyReading } from './policy-layer.ts';
import { CSP_KEY, DEVICE_LOCK_KEY, type ReadRegistryOptions, readRegistryExport } from './read-registry.ts';
import { parseLayer } from './read-settings.ts';
import { readSyncMl } from './read-syncml.ts';
import { GPO_KEY } from './windows-settings.ts';

/** Options of {@link readPolicyFile}. */
export interface ReadPolicyFileOptions extends ReadRegistryOptions {
  /** The file's name, for people. Default `settings file`. Settings from a registry export name their keys instead. */
  readonly origin?: string | undefined;
}

/**
 * Reads the settings in a file of any supported kind, recognized by the beginning of its text: a registry export,
 * SyncML (`<`), or the JSON of this library (`{`), in UTF-8 or UTF-16. A file that sets nothing is not an error: see
 * `nothingKnown` of the result.
 * @throws PolicyError for other text, and like {@link readRegistryExport}, {@link readSyncMl} and {@link parseLayer}.
 */
export function readPolicyFile(file: Uint8Array, options: ReadPolicyFileOptions = {}): PolicyReading {
  options = checkMembers('readPolicyFile', options, 'userSid:text? tenantId:text? origin:text?');
  const { origin = 'settings file', userSid, tenantId } = options;
  checkSize(file, LIMIT.export, (problem) => {
    return new PolicyError([
      { setting: origin, problem, expected: "an export that contains only the policy's registry keys" },
    ]);
  });
  const text = (decodeFileText(file) ?? '').trimStart();
  if (text.startsWith('<')) return judged('syncml', text, readSyncMl(text, { tenantId, origin }));
  if (text.startsWith('{') && !text.includes('@odata.'))
    return judged('json', text, { layers: [parseLayer(text, { origin })], ignored: [] });
  if (/^(?:Windows Registry Editor|REGEDIT4)/.test(text))
    return judged('registry-export', text, readRegistryExport(text, { userSid, tenantId }));
  throw new PolicyError([{ setting: origin, ...refusalOf(text) }]);
}

const EXPECTED = {
  json: 'a setting, such as { "hardware": "required" }',
  'registry-export': `values below HKEY_LOCAL_MACHINE\\${GPO_KEY}, or below HKEY_LOCAL_MACHINE\\${CSP_KEY}`,
  syncml: 'Add or Replace for ./Device/Vendor/MSFT/PassportForWork/TENANT/Policies/…',
};

/** Tells whether a text is a policy in which nothing is set: one of its keys without values, or SyncML that deletes. */
function setsNothing(form: NothingKnown['form'], text: string): boolean {
  if (form === 'syncml')
    return /<(?:\w+:)?Delete\b/.test(text) && /\/msft\/(?:passportforwork|policy\/config\/devicelock)\//i.test(text);
  const isOurs = (line: string): boolean =>
    line.startsWith('[') &&
    !/WOW6432Node/i.test(line) &&
    [GPO_KEY, CSP_KEY, DEVICE_LOCK_KEY].some((key) => has(line, key));
  return form === 'registry-export' && text.split('\n').some(isOurs);
}

const has = (line: string, key: string): boolean =>
  [']', '\\'].some((end) => line.toLowerCase().includes(`\\${key.toLowerCase()}${end}`));

/** Notes that a file contains nothing known. A known setting without effect here is something. */
function judged(form: NothingKnown['form'], text: string, reading: PolicyReading): PolicyReading {
  if (setsNothing(form, text)) return reading;
  const isEmpty =
    reading.layers.every(({ values }) => Object.keys(values).length === 0) &&
    reading.ignored.every(({ expected }) => expected === KNOWN_NAME || expected === KNOWN_NODE);
  return isEmpty ? { ...reading, nothingKnown: { form, expected: EXPECTED[form] } } : reading;
}

/** Says what the text is, if that is known, and what is expected instead. */
function refusalOf(text: string): { readonly problem: string; readonly expected: string } {
  const asExport = 'a registry export from `reg export KEY FILE`';
  if (text.startsWith('HKEY_')) return { problem: 'is the output of reg query', expected: asExport };
  if (text.startsWith('{')) {
    const problem = 'is a Microsoft Graph response, which describes a policy, not what is in force on a device';
    return { problem, expected: `${asExport} on a device that has the policy, or SyncML` };
  }
  const expected = 'a registry export (.reg), a SyncML message, or a JSON object of settings';
  return { problem: 'is not a settings file', expected };
}
