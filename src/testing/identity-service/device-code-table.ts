import { type Row, Table } from './database.ts';

/** A device code, and its state. */
export interface DeviceCodeRecord {
  /** Secret of the client. */
  readonly code: string;
  /** The code that the user types in. */
  readonly userCode: string;
  readonly upn: string;
  readonly resource: string;
  readonly clientId: string;
  /** The methods requested with `amr_values`; empty for any second factor. */
  readonly methods: readonly string[];
  readonly created: Date;
  /** How the user has answered, and when. */
  readonly answer: { readonly approved: boolean; readonly time: Date } | undefined;
  readonly lastPoll: Date | undefined;
}

/** Device codes of unfinished sign-ins. */
export class DeviceCodeTable extends Table {
  static readonly schema: string =
    `CREATE TABLE IF NOT EXISTS device_code (code TEXT PRIMARY KEY, user_code TEXT NOT NULL UNIQUE,
    upn TEXT NOT NULL, resource TEXT NOT NULL, client TEXT NOT NULL, methods TEXT NOT NULL, created INTEGER NOT NULL,
    approved INTEGER, answered INTEGER, polled INTEGER)`;

  add({ code, userCode, upn, resource, clientId, methods, created }: DeviceCodeRecord): void {
    const sql = `INSERT INTO device_code (code, user_code, upn, resource, client, methods, created)
      VALUES (?, ?, ?, ?, ?, ?, ?)`;
    this.database.run(sql, code, userCode, upn, resource, clientId, methods.join(' '), created.getTime());
  }

  find(code: string): DeviceCodeRecord | undefined {
    const row = this.database.first('SELECT * FROM device_code WHERE code = ?', code);
    return row && read(row);
  }

  /** Stores the user's first answer. False if there is no such code, or it already has an answer. */
  answer(userCode: string, approved: boolean, time: Date): boolean {
    const sql = 'UPDATE device_code SET approved = ?, answered = ? WHERE user_code = ? AND answered IS NULL';
    return this.database.run(sql, Number(approved), time.getTime(), userCode) > 0;
  }

  setPolled(code: string, time: Date): void {
    this.database.run('UPDATE device_code SET polled = ? WHERE code = ?', time.getTime(), code);
  }

  remove(code: string): void {
    this.database.run('DELETE FROM device_code WHERE code = ?', code);
  }
}

const read = (row: Row): DeviceCodeRecord => ({
  code: row.text('code'),
  userCode: row.text('user_code'),
  upn: row.text('upn'),
  resource: row.text('resource'),
  clientId: row.text('client'),
  methods: row.text('methods').split(' ').filter(Boolean),
  created: new Date(row.integer('created')),
  answer: row.time('answered') && {
    approved: row.integer('approved') === 1,
    time: row.time('answered') ?? new Date(0),
  },
  lastPoll: row.time('polled'),
});
