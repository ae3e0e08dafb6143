import type { Bytes } from '../../bytes.ts';
import { type Row, Table } from './database.ts';

/** A joined device. */
export interface ServiceDevice {
  /** GUID. */
  readonly deviceId: string;
  /** The user who joined it. */
  readonly upn: string;
  readonly displayName: string;
  /** Its certificate in DER. */
  readonly certificate: Bytes;
  readonly enabled: boolean;
  readonly joined: Date;
}

/** The joined devices. */
export class DeviceTable extends Table {
  static readonly schema: string =
    `CREATE TABLE IF NOT EXISTS device (id TEXT PRIMARY KEY COLLATE NOCASE, upn TEXT NOT NULL,
    name TEXT NOT NULL, certificate BLOB NOT NULL UNIQUE, enabled INTEGER NOT NULL, joined INTEGER NOT NULL)`;

  add({ deviceId, upn, displayName, certificate, enabled, joined }: ServiceDevice): void {
    const sql = 'INSERT INTO device VALUES (?, ?, ?, ?, ?, ?)';
    this.database.run(sql, deviceId, upn, displayName, certificate, Number(enabled), joined.getTime());
  }

  find(deviceId: string): ServiceDevice | undefined {
    return record(this.database.first('SELECT * FROM device WHERE id = ?', deviceId));
  }

  /** The device with that certificate. */
  withCertificate(der: Uint8Array): ServiceDevice | undefined {
    return record(this.database.first('SELECT * FROM device WHERE certificate = ?', der));
  }

  all(): ServiceDevice[] {
    return this.database.all('SELECT * FROM device ORDER BY joined, id').map(read);
  }

  /** False if there is no such device. */
  setEnabled(deviceId: string, enabled: boolean): boolean {
    return this.database.run('UPDATE device SET enabled = ? WHERE id = ?', Number(enabled), deviceId) > 0;
  }
}

const record = (row: Row | undefined): ServiceDevice | undefined => row && read(row);

const read = (row: Row): ServiceDevice => ({
  deviceId: row.text('id'),
  upn: row.text('upn'),
  displayName: row.text('name'),
  certificate: row.bytes('certificate'),
  enabled: row.integer('enabled') === 1,
  joined: new Date(row.integer('joined')),
});
