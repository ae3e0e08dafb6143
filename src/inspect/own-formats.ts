import { toHex } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { decodeKeyRecord } from '../keys/key-record.ts';
import { commandName } from '../tpm/constants.ts';
import { decodeStateFile } from '../tpm/state-file.ts';
import { importSwtpmState } from '../tpm/swtpm-state.ts';
import { decodeRecording, formatRecording } from '../tpm/transports/recording.ts';
import { describePublicKey } from './describe-key.ts';
import { bytesField, field, group, nested, optional, secretField } from './fields.ts';
import type { Format } from './format.ts';
import type { Field, Part } from './inspection.ts';
import type { JsonInput } from './json-input.ts';

const stateFields = (state: Uint8Array): Field[] => [
  secretField('state', state.length),
  field('SHA-256 of the state', toHex(digest('sha256', state))),
];

/** States of virtual TPMs, which hold all their keys in the clear. */
export const STATE_FORMATS: readonly Format<Uint8Array>[] = [
  {
    format: 'tpm-state',
    title: 'virtual TPM state (libtpms) in a keyprov file',
    large: true,
    claims: (bytes) => Buffer.from(bytes.subarray(0, 8)).toString('latin1') === 'KPTPM2ST',
    read: (bytes) => stateFields(decodeStateFile(bytes, 'it')),
  },
  {
    format: 'swtpm-state',
    title: 'swtpm permanent state',
    large: true,
    // Version 2, size of the header.
    claims: (bytes) => toHex(bytes.subarray(0, 4)) === '0201000a',
    read: (bytes) => stateFields(importSwtpmState(bytes)),
  },
];

/** JSON files that keyprov writes and that name their format. */
export const OWN_JSON_FORMATS: readonly Format<JsonInput>[] = [
  {
    format: 'keyprov-record',
    title: 'record of keyprov provision',
    claims: ({ members }) => members.get('format') === 'keyprov-record',
    read: ({ members }) => ({
      problems: members.get('version') === 1 ? [] : ['its version is unknown'],
      fields: [...members].map(([name, value]) => jsonField(name, value)),
    }),
  },
  {
    format: 'keyprov-key',
    title: 'key store record',
    claims: ({ members }) => members.get('format') === 'keyprov-key',
    read: keyRecordFields,
  },
  storeFile('keyprov-run', "journal of an unfinished run, which contains the run's key"),
  storeFile('keyprov-last-key', "note of where a user's last key was"),
  storeFile('keyprov-pin-attempts', "count of a software key's wrong PINs"),
  {
    format: 'tpm-recording',
    title: 'recording of TPM traffic',
    large: true,
    claims: ({ members }) => members.get('format') === 'keyprov-tpm-recording',
    read: ({ value }) => {
      const recording = decodeRecording(value);
      const { kind, emulator, managed, entries } = recording;
      const shown = entries.slice(0, MAX_COMMANDS);
      const lines = formatRecording({ ...recording, entries: shown }, (code) => commandName(code))
        .trimEnd()
        .split('\n');
      const commands = group(
        'commands',
        shown.map((_, i) => field(`${i + 1}`, lines[i]?.trim() ?? '')),
      );
      const head = [field('transport', kind), field('emulator', emulator), field('managed', managed)];
      return [...head, field('number of commands', entries.length), commands];
    },
  },
];

/** A file that keyprov keeps beside the keys of a store. */
function storeFile(format: string, title: string): Format<JsonInput> {
  return {
    ...{ format, title },
    claims: ({ members }) => members.get('format') === format,
    read: ({ members }) => [...members].map(([name, value]) => jsonField(name, value)),
  };
}

const MAX_COMMANDS = 1000;
const MAX_DEPTH = 6;
const MAX_MEMBERS = 50;

/** A value of JSON, or of a record that was read from JSON, as a field. */
export function jsonField(name: string, value: unknown, depth = 0): Field {
  if (value instanceof Uint8Array) return bytesField(name, value);
  if (name === 'privateKey' && typeof value === 'string') return secretField('private key, protected', value.length);
  if (typeof value === 'bigint') return field(name, `${value}`);
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return field(name, value);
  if (typeof value !== 'object' || value === null) return field(name, '(none)');
  const members = Object.entries(value);
  if (depth >= MAX_DEPTH) return field(name, `${members.length} members`);
  return group(
    name,
    members.slice(0, MAX_MEMBERS).map(([key, member]) => jsonField(key, member, depth + 1)),
  );
}

function keyRecordFields({ text }: JsonInput): Part[] {
  const { publicKey, privateKey, pinDerivation, parent, policy, attempts, annotations, ...record } = decodeKeyRecord(
    text,
    'itself',
  );
  return [
    ...Object.entries(record).map(([name, value]) => jsonField(name, value)),
    nested('public key', describePublicKey(publicKey)),
    secretField('private key, protected', privateKey.length),
    ...optional(pinDerivation, ({ kdf }) => field('PIN derivation', kdf)),
    ...optional(parent, ({ handle, name }) => field('parent', `0x${handle.toString(16)}, Name ${toHex(name)}`)),
    jsonField('policy', policy),
    jsonField('attempts', attempts),
    field('annotations', `${Object.keys(annotations).length} members`),
  ];
}
