import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SQLiteValue, Database as SqliteDatabase } from 'node-sqlite3-wasm';
import { type Bytes, copy } from '../../bytes.ts';
import { isKeyprovError, KeyprovError, undoOnFailure } from '../../errors.ts';
import { loadPackage } from '../../registration/load-package.ts';
import { fileError } from '../../storage/file-error.ts';
import { type HeldLock, holdLock } from '../../storage/hold-lock.ts';
import { openPrivateDirectory } from '../../storage/private-files.ts';

/** A value in a column. */
export type Value = string | number | Uint8Array | null;

/** One row of a query, read column by column. */
export class Row {
  readonly #columns: ReadonlyMap<string, unknown>;

  constructor(columns: Readonly<Record<string, unknown>>) {
    this.#columns = new Map(Object.entries(columns));
  }

  text(name: string): string {
    const value = this.#columns.get(name);
    if (typeof value !== 'string') throw new TypeError(`the column ${name} does not hold text`);
    return value;
  }

  integer(name: string): number {
    const value = Number(this.#columns.get(name));
    if (!Number.isSafeInteger(value)) throw new TypeError(`the column ${name} does not hold an integer`);
    return value;
  }

  bytes(name: string): Bytes {
    const value = this.#columns.get(name);
    if (!(value instanceof Uint8Array)) throw new TypeError(`the column ${name} does not hold bytes`);
    return copy(value);
  }

  /** The text; undefined if the column is NULL. */
  optional(name: string): string | undefined {
    return this.#isNull(name) ? undefined : this.text(name);
  }

  /** The time; undefined if the column is NULL. */
  time(name: string): Date | undefined {
    return this.#isNull(name) ? undefined : new Date(this.integer(name));
  }

  #isNull(name: string): boolean {
    return (this.#columns.get(name) ?? null) === null;
  }
}

/** A database in one file, for one process at a time. Written data survive a kill of the process. */
export class Database {
  readonly #database: SqliteDatabase;
  readonly #lock: HeldLock;

  private constructor(database: SqliteDatabase, lock: HeldLock) {
    this.#database = database;
    this.#lock = lock;
  }

  /**
   * Opens the database in `directory`, which is created if missing, and creates the tables of `schema`.
   * @throws KeyprovError `state-in-use` if another service has it, `state-invalid` if the file is not such a database,
   * `state-io` for an unusable directory, `library-missing` without node-sqlite3-wasm.
   */
  static async open(directory: string, schema: string): Promise<Database> {
    const { default: sqlite } = await loadPackage('node-sqlite3-wasm', () => import('node-sqlite3-wasm'));
    await stateIo(directory, async () => openPrivateDirectory(directory));
    const lock = await claim(directory);
    const open = async (): Promise<Database> => {
      // node-sqlite3-wasm 0.8.60 locks by creating this directory, which a killed process leaves behind.
      await stateIo(directory, () => rm(join(directory, `${FILE}.lock`), { recursive: true, force: true }));
      return new Database(openFile(join(directory, FILE), schema, sqlite.Database), lock);
    };
    return await undoOnFailure(open, () => lock.release());
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

/** One part of what a database holds. */
export class Table {
  protected readonly database: Database;

  constructor(database: Database) {
    this.database = database;
  }
}

const FILE = 'service.db';

const bound = (values: readonly Value[]): SQLiteValue[] => [...values];

/** Runs `work`, and turns errors of the file system into KeyprovError `state-io`. */
async function stateIo<T>(directory: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw fileError('state-io', directory, cause, 'the state of the identity service at ');
  }
}

/** @throws KeyprovError `state-invalid` */
function openFile(path: string, schema: string, Connection: typeof SqliteDatabase): SqliteDatabase {
  let database: SqliteDatabase | undefined;
  try {
    database = new Connection(path);
    // One process has the file, so there is no lock per statement. Data handed to the system survive the process.
    database.exec(`PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF; ${schema}`);
    return database;
  } catch (cause) {
    database?.close();
    throw new KeyprovError('state-invalid', `${path} is not a database of an identity service`, { cause });
  }
}

/** Claims the directory for this process, until it closes the database or ends. */
async function claim(directory: string): Promise<HeldLock> {
  try {
    return await holdLock(join(directory, 'service.lock'), { timeout: 0 });
  } catch (cause) {
    if (!isKeyprovError(cause, 'store-busy')) throw cause;
    throw new KeyprovError('state-in-use', `another identity service uses ${directory}: ${cause.message}`, {
      cause,
      remedy: 'close that service, or use another directory',
    });
  }
}
