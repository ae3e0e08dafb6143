import { PolicyError } from '../errors/policy-error.ts';
import { checkMembers } from '../known-members.ts';
import { checkSize, LIMIT } from '../limits.ts';
import { decodeFileText } from '../text.ts';
import type { PolicyReading } from './policy-layer.ts';
import { type ReadRegistryOptions, readRegistryExport } from './read-registry.ts';
import { parseLayer } from './read-settings.ts';
import { readSyncMl } from './read-syncml.ts';

/** Options of {@link readPolicyFile}. */
export interface ReadPolicyFileOptions extends ReadRegistryOptions {
  /** The file's name, for people. Default `settings file`. Settings from a registry export name their keys instead. */
  readonly origin?: string | undefined;
}

/**
 * Reads the settings in a file of any supported kind, recognized by the beginning of its text: a registry export,
 * SyncML (`<`), or the JSON of this library (`{`), in UTF-8 or UTF-16.
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
  if (text.startsWith('<')) return readSyncMl(text, { tenantId, origin });
  if (text.startsWith('{') && !text.includes('@odata.')) return { layers: [parseLayer(text, { origin })], ignored: [] };
  if (/^(?:Windows Registry Editor|REGEDIT4)/.test(text)) return readRegistryExport(text, { userSid, tenantId });
  throw new PolicyError([{ setting: origin, ...refusalOf(text) }]);
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
