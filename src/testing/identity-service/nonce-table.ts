import { randomBytes } from 'node:crypto';
import { toBase64 } from '../../bytes.ts';
import { Table } from './database.ts';

/** A used nonce. */
export interface UsedNonce {
  /** The device that got the nonce, if it was authenticated. */
  readonly deviceId: string | undefined;
}

/** Unused nonces. */
export class NonceTable extends Table {
  static readonly schema: string =
    `CREATE TABLE IF NOT EXISTS nonce (value TEXT PRIMARY KEY, use TEXT NOT NULL, device TEXT,
    expires INTEGER NOT NULL)`;

  /** Returns a new nonce: 32 bytes in base64. Forgets expired ones. */
  give(use: 'registration' | 'sign-in', deviceId: string | undefined, now: Date, lifetimeMs: number): string {
    const value = toBase64(randomBytes(32));
    this.database.run('DELETE FROM nonce WHERE expires <= ?', now.getTime());
    const sql = 'INSERT INTO nonce VALUES (?, ?, ?, ?)';
    this.database.run(sql, value, use, deviceId ?? null, now.getTime() + lifetimeMs);
    return value;
  }

  /** Uses up a nonce. Undefined if it is unknown, used or expired. */
  take(use: 'registration' | 'sign-in', value: string, now: Date): UsedNonce | undefined {
    const row = this.database.first('SELECT * FROM nonce WHERE value = ? AND use = ?', value, use);
    if (row === undefined) return undefined;
    this.database.run('DELETE FROM nonce WHERE value = ?', value);
    return row.integer('expires') > now.getTime() ? { deviceId: row.optional('device') } : undefined;
  }
}
