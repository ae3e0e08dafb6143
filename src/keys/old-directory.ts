import { join } from 'node:path';
import { decodeSpkiPem } from '../crypto/public-key.ts';
import { KeyprovError } from '../errors.ts';
import { JsonMembers } from '../json.ts';
import { isKeyAlgorithm } from '../policy/index.ts';
import { storeIo } from '../storage/file-error.ts';
import { readPrivateFile } from '../storage/private-files.ts';
import {
  algorithmOf,
  attemptFromJson,
  hexText,
  type KeyRecord,
  pinDerivationFromJson,
  policyFromJson,
  tpmFromJson,
} from './key-record.ts';

/** The files in which keyprov kept the one key of a directory before all keys had one file format. */
export const OLD_FILES = ['record.json', 'key.pem', 'public.pem'] as const;

const FORMAT = 'keyprov-record';

/**
 * Reads the key of a directory that an earlier version wrote: `record.json`, `key.pem` and `public.pem`.
 * Undefined if there is none, or if `record.json` belongs to another program.
 * @throws KeyprovError `store-invalid` for damaged files, `store-io`
 */
export async function readOldDirectory(directory: string): Promise<KeyRecord | undefined> {
  const [record, privateKey, publicKey] = await storeIo(directory, async () =>
    OLD_FILES.map((name) => readPrivateFile(join(directory, name))?.bytes.toString()),
  );
  if (record === undefined || !record.includes(FORMAT)) return undefined;
  try {
    if (privateKey === undefined || publicKey === undefined) throw new TypeError('key.pem or public.pem is missing');
    return decodeOldRecord(JsonMembers.parse('record.json', record), privateKey, publicKey);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KeyprovError('store-invalid', `the key files in ${directory} are damaged: ${reason}`, {
      cause,
      remedy: 'restore a copy of them',
    });
  }
}

function decodeOldRecord(members: JsonMembers, privateKey: string, publicPem: string): KeyRecord {
  if (members.value('format') !== FORMAT || members.value('version') !== 1) throw new TypeError('unknown version');
  const publicKey = decodeSpkiPem(publicPem);
  const algorithm = members.value('algorithm');
  if (!isKeyAlgorithm(algorithm) || algorithmOf(publicKey) !== algorithm) {
    throw new TypeError('public.pem does not belong to record.json');
  }
  const id = `ngc-${members.members('keyId').text('hex').slice(0, 32)}`;
  const [user, deviceId] = ['user', 'deviceId'].map((name) =>
    members.value(name) === null ? undefined : members.text(name),
  );
  return {
    id,
    name: [user, deviceId].filter(Boolean).join(' on ') || id,
    ...(user !== undefined && { user }),
    ...(deviceId !== undefined && { deviceId }),
    backend: members.oneOf('backend', ['tpm', 'software']),
    assurance: members.oneOf('assurance', ['hardware', 'virtual', 'software']),
    ...(members.has('tpm') && { tpm: tpmFromJson(members.members('tpm')) }),
    algorithm,
    publicKey,
    privateKey,
    hasPin: members.boolean('hasPin'),
    ...(members.has('pinDerivation') && { pinDerivation: pinDerivationFromJson(members.members('pinDerivation')) }),
    ...(members.has('parent') && { parent: parentOf(members.members('parent')) }),
    created: members.text('created'),
    policy: policyFromJson(members.object('policy')),
    attempts: members.list('attempts').map(attemptFromJson),
    exports: ['key.pem'],
    annotations: {},
  };
}

/** The parent, whose handle is a hexadecimal number in these files. */
function parentOf(members: JsonMembers): NonNullable<KeyRecord['parent']> {
  return { handle: Number(hexText(members, 'handle')), name: members.hex('name') };
}
