import type { Bytes } from '../../bytes.ts';
import { type Row, Table } from './database.ts';

/** A registered key. */
export interface ServiceKey {
  /** GUID of the registration. */
  readonly kid: string;
  readonly upn: string;
  readonly deviceId: string;
  /** SHA-256 of the key material. */
  readonly keyId: Bytes;
  readonly keyMaterial: Bytes;
  /** The value of msDS-KeyCredentialLink. */
  readonly blob: Bytes;
  /**
   * The attestation level of the key: a tier of `verifyEvidence`; `ATT_SOFT`, as in Windows event 300, for a key
   * without attestation; `not-verified` if the attestation was not checked.
   */
  readonly attestation: string;
  readonly created: Date;
}

/** Outcome of an {@link OutboxEntry}. */
export type SyncOutcome = 'written' | 'present' | 'removed' | 'absent' | 'failed';

/** A synchronization task, open or done. */
export interface OutboxEntry {
  readonly id: number;
  readonly action: 'add' | 'remove';
  readonly upn: string;
  readonly keyId: Bytes;
  /** The value to add to the directory, or to remove from it. */
  readonly blob: Bytes;
  readonly due: Date;
  readonly status: 'waiting' | SyncOutcome;
  /** Why it failed, or has not succeeded yet. */
  readonly reason: string | undefined;
}

const STATUS = ['waiting', 'written', 'present', 'removed', 'absent', 'failed'] as const;

/** The registered keys, and the synchronization's tasks. */
export class KeyTable extends Table {
  static readonly schema: string = `
    CREATE TABLE IF NOT EXISTS key (kid TEXT PRIMARY KEY, upn TEXT NOT NULL COLLATE NOCASE,
      device TEXT NOT NULL COLLATE NOCASE, key_id BLOB NOT NULL, material BLOB NOT NULL, blob BLOB NOT NULL,
      attestation TEXT NOT NULL, created INTEGER NOT NULL, UNIQUE (upn, device, key_id));
    CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, action TEXT NOT NULL, upn TEXT NOT NULL,
      key_id BLOB NOT NULL, blob BLOB NOT NULL, due INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT)`;

  /** Adds the key, with an entry due at `due`; or finds the same key of the same user and device. */
  register(key: ServiceKey, due: Date): ServiceKey {
    return this.database.transaction(() => {
      const found = this.find(key);
      if (found !== undefined) return found;
      this.database.run(
        'INSERT INTO key VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
        ...[key.kid, key.upn, key.deviceId, key.keyId, key.keyMaterial, key.blob, key.attestation],
        key.created.getTime(),
      );
      this.#queue('add', key, due);
      return key;
    });
  }

  /** Finds the same key of the same user and device. */
  find({ upn, deviceId, keyId }: Pick<ServiceKey, 'upn' | 'deviceId' | 'keyId'>): ServiceKey | undefined {
    const sql = 'SELECT * FROM key WHERE upn = ? AND device = ? AND key_id = ?';
    const found = this.database.first(sql, upn, deviceId, keyId);
    return found && readKey(found);
  }

  /** Removes the key, and adds the entry that removes it from the directory. False if there is no such key. */
  remove(upn: string, kid: string, due: Date): boolean {
    return this.database.transaction(() => {
      const found = this.database.first('SELECT * FROM key WHERE upn = ? AND kid = ?', upn, kid);
      if (found === undefined) return false;
      const key = readKey(found);
      this.database.run('DELETE FROM key WHERE kid = ?', kid);
      // An unwritten key must not be written after its removal.
      this.database.run(
        `UPDATE outbox SET status = 'absent', reason = 'removed before it was written'
          WHERE action = 'add' AND status IN ('waiting', 'failed') AND upn = ? AND blob = ?`,
        ...[key.upn, key.blob],
      );
      this.#queue('remove', key, due);
      return true;
    });
  }

  /** The keys of a user, or all, the oldest first. */
  list(upn?: string): ServiceKey[] {
    const rows =
      upn === undefined
        ? this.database.all('SELECT * FROM key ORDER BY created, rowid')
        : this.database.all('SELECT * FROM key WHERE upn = ? ORDER BY created, rowid', upn);
    return rows.map(readKey);
  }

  /** All entries, or the open ones due at `time`, including failed ones, which are tried again. */
  outbox(time?: Date): OutboxEntry[] {
    const rows =
      time === undefined
        ? this.database.all('SELECT * FROM outbox ORDER BY id')
        : this.database.all(
            "SELECT * FROM outbox WHERE status IN ('waiting', 'failed') AND due <= ? ORDER BY id",
            time.getTime(),
          );
    return rows.map(readEntry);
  }

  setOutcome(id: number, status: OutboxEntry['status'], reason: string | undefined): void {
    this.database.run('UPDATE outbox SET status = ?, reason = ? WHERE id = ?', status, reason ?? null, id);
  }

  #queue(action: OutboxEntry['action'], { upn, keyId, blob }: ServiceKey, due: Date): void {
    const sql = "INSERT INTO outbox (action, upn, key_id, blob, due, status) VALUES (?, ?, ?, ?, ?, 'waiting')";
    this.database.run(sql, action, upn, keyId, blob, due.getTime());
  }
}

const readKey = (row: Row): ServiceKey => ({
  kid: row.text('kid'),
  upn: row.text('upn'),
  deviceId: row.text('device'),
  keyId: row.bytes('key_id'),
  keyMaterial: row.bytes('material'),
  blob: row.bytes('blob'),
  attestation: row.text('attestation'),
  created: new Date(row.integer('created')),
});

const readEntry = (row: Row): OutboxEntry => ({
  id: row.integer('id'),
  action: row.text('action') === 'remove' ? 'remove' : 'add',
  upn: row.text('upn'),
  keyId: row.bytes('key_id'),
  blob: row.bytes('blob'),
  due: new Date(row.integer('due')),
  status: STATUS.find((status) => status === row.text('status')) ?? 'failed',
  reason: row.optional('reason'),
});
