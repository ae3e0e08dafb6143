import type { Bytes } from '../../bytes.ts';
import { AttestationKeyTable } from './attestation-key-table.ts';
import { Database } from './database.ts';
import { DeviceCodeTable } from './device-code-table.ts';
import { DeviceTable } from './device-table.ts';
import { KeyTable } from './key-table.ts';
import { NonceTable } from './nonce-table.ts';

/** The state of the service. */
export interface ServiceState {
  readonly devices: DeviceTable;
  readonly keys: KeyTable;
  readonly nonces: NonceTable;
  readonly deviceCodes: DeviceCodeTable;
  readonly attestationKeys: AttestationKeyTable;
  setting(name: string): Bytes | undefined;
  setSetting(name: string, value: Uint8Array): void;
  close(): Promise<void>;
}

const SCHEMA = [
  'CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value BLOB NOT NULL)',
  DeviceTable.schema,
  KeyTable.schema,
  NonceTable.schema,
  DeviceCodeTable.schema,
  AttestationKeyTable.schema,
].join(';');

/** Opens the state in `directory`. It throws as `Database.open` does. */
export async function openState(directory: string): Promise<ServiceState> {
  const database = await Database.open(directory, SCHEMA);
  return {
    devices: new DeviceTable(database),
    keys: new KeyTable(database),
    nonces: new NonceTable(database),
    deviceCodes: new DeviceCodeTable(database),
    attestationKeys: new AttestationKeyTable(database),
    setting: (name) => database.first('SELECT value FROM setting WHERE name = ?', name)?.bytes('value'),
    setSetting: (name, value) => {
      database.run('INSERT OR REPLACE INTO setting VALUES (?, ?)', name, value);
    },
    close: () => database.close(),
  };
}
