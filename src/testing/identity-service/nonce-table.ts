import { randomBytes } from 'node:crypto';
import { toBase64 } from '../../bytes.ts';
import type { Database } from './database.ts';

/** A nonce that was found, and is used up. */
export interface UsedNonce {
  /** The device that it was given to, where that had shown who it is. */
  readonly deviceId: string | undefined;
}

/** Nonces that were given out and have not come back. */
export class NonceTable {
  static readonly schema: string =
    `CREATE TABLE IF NOT EXISTS nonce (value TEXT PRIMARY KEY, use TEXT NOT NULL, device TEXT,
    expires INTEGER NOT NULL)`;

  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** A new one: 32 bytes in base64. Those that have expired are forgotten. */
  give(use: 'registration' | 'sign-in', deviceId: string | undefined, now: Date, lifetimeMs: number): string {
    const value = toBase64(randomBytes(32));
    this.#database.run('DELETE FROM nonce WHERE expires <= ?', now.getTime());
    const sql = 'INSERT INTO nonce VALUES (?, ?, ?, ?)';
    this.#database.run(sql, value, use, deviceId ?? null, now.getTime() + lifetimeMs);
    return value;
  }

  /** Takes it back: it is there once, and until it expires. */
  take(use: 'registration' | 'sign-in', value: string, now: Date): UsedNonce | undefined {
    const row = this.#database.first('SELECT * FROM nonce WHERE value = ? AND use = ?', value, use);
    if (row === undefined) return undefined;
    this.#database.run('DELETE FROM nonce WHERE value = ?', value);
    return row.integer('expires') > now.getTime() ? { deviceId: row.optional('device') } : undefined;
  }
}
