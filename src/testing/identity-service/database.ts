import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SQLiteValue, Database as SqliteDatabase } from 'node-sqlite3-wasm';
import { type Bytes, copy } from '../../bytes.ts';
import { isKeyprovError, KeyprovError, withCleanup } from '../../errors.ts';
import { errorCode } from '../../storage/atomic-file.ts';
import { type HeldLock, holdLock } from '../../storage/hold-lock.ts';
import { openPrivateDirectory } from '../../storage/private-files.ts';
import { loadPackage } from './load-package.ts';

/** What can be stored in a column. */
export type Value = string | number | Uint8Array | null;

/** One row of a query, read column by column. */
export class Row {
  readonly #columns: ReadonlyMap<string, unknown>;

  constructor(columns: Readonly<Record<string, unknown>>) {
    this.#columns = new Map(Object.entries(columns));
  }

  text(name: string): string {
    const value = this.#columns.get(name);
    if (typeof value !== 'string') throw new TypeError(`the column ${name} holds no text`);
    return value;
  }

  integer(name: string): number {
    const value = Number(this.#columns.get(name));
    if (!Number.isSafeInteger(value)) throw new TypeError(`the column ${name} holds no integer`);
    return value;
  }

  bytes(name: string): Bytes {
    const value = this.#columns.get(name);
    if (!(value instanceof Uint8Array)) throw new TypeError(`the column ${name} holds no bytes`);
    return copy(value);
  }

  /** The text, or undefined where the column is NULL. */
  optional(name: string): string | undefined {
    return this.#isNull(name) ? undefined : this.text(name);
  }

  /** The time, or undefined where the column is NULL. */
  time(name: string): Date | undefined {
    return this.#isNull(name) ? undefined : new Date(this.integer(name));
  }

  #isNull(name: string): boolean {
    return (this.#columns.get(name) ?? null) === null;
  }
}

/** A database in one file, for one process at a time. What is written is there after a kill of the process. */
export class Database {
  readonly #database: SqliteDatabase;
  readonly #lock: HeldLock;

  private constructor(database: SqliteDatabase, lock: HeldLock) {
    this.#database = database;
    this.#lock = lock;
  }

  /**
   * Opens the database in `directory`, which is made where it is missing, and makes the tables of `schema`.
   * @throws KeyprovError `state-in-use` where another service has it, `state-invalid` for a file that is no such database,
   * `state-io` for a directory that cannot be used, `library-missing` without node-sqlite3-wasm.
   */
  static async open(directory: string, schema: string): Promise<Database> {
    const { default: sqlite } = await loadPackage('node-sqlite3-wasm', () => import('node-sqlite3-wasm'));
    await stateIo(directory, async () => openPrivateDirectory(directory));
    const lock = await claim(directory);
    const database = new sqlite.Database(join(directory, FILE));
    try {
      // One process has it: no lock per statement. What the system has taken survives the end of the process.
      database.exec(`PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF; ${schema}`);
    } catch (cause) {
      const path = join(directory, FILE);
      const error = new KeyprovError('state-invalid', `${path} is no database of an identity service`, { cause });
      return await withCleanup(
        () => Promise.reject(error),
        () => new Database(database, lock).close(),
      );
    }
    return new Database(database, lock);
  }

  run(sql: string, ...values: readonly Value[]): number {
    return this.#database.run(sql, bound(values)).changes;
  }

  all(sql: string, ...values: readonly Value[]): Row[] {
    return this.#database.all(sql, bound(values)).map((row) => new Row(row));
  }

  first(sql: string, ...values: readonly Value[]): Row | undefined {
    const row = this.#database.get(sql, bound(values));
    return row === null ? undefined : new Row(row);
  }

  /** Runs `work`, all of it or nothing. */
  transaction<T>(work: () => T): T {
    this.#database.exec('BEGIN');
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  async close(): Promise<void> {
    if (!this.#database.isOpen) return;
    this.#database.close();
    await this.#lock.release();
  }
}

const FILE = 'service.db';

const bound = (values: readonly Value[]): SQLiteValue[] => [...values];

/** Runs `work`; an error of the file system becomes KeyprovError `state-io`. */
async function stateIo<T>(directory: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (errorCode(cause) === undefined || cause instanceof KeyprovError) throw cause;
    throw new KeyprovError('state-io', `the state of the identity service at ${directory} cannot be read or written`, {
      cause,
    });
  }
}

/** Makes this process the one that has the directory, until it closes it or ends. */
async function claim(directory: string): Promise<HeldLock> {
  let lock: HeldLock;
  try {
    lock = await holdLock(join(directory, 'service.lock'), { timeout: 0 });
  } catch (cause) {
    if (!isKeyprovError(cause, 'store-busy')) throw cause;
    throw new KeyprovError('state-in-use', `${directory} is used by another identity service: ${cause.message}`, {
      cause,
      remedy: 'close that one first, or give this one a directory of its own',
    });
  }
  // node-sqlite3-wasm 0.8.60 locks by making this directory, and a process that is killed leaves it behind.
  await stateIo(directory, () => rm(join(directory, `${FILE}.lock`), { recursive: true, force: true }));
  return lock;
}
