import { isKeyprovError } from '../../errors.ts';
import type { KeyStore } from '../../keys/key-store.ts';
import type { ReportRow } from '../key-report.ts';
import { wayOn } from '../terminal/ways-on.ts';

/** One thing that the dashboard shows. Nothing secret is in it. */
export interface DashboardEntry {
  /** `missing` is not a fault if something else is used; `info` cannot be right or wrong. */
  readonly status: 'ok' | 'info' | 'missing' | 'problem';
  readonly name: string;
  readonly detail: string;
  /** What to do about it. */
  readonly remedy?: string | undefined;
  readonly rows?: readonly ReportRow[];
}

/** Entries under one heading. */
export interface DashboardSection {
  readonly id: string;
  readonly title: string;
  /** Shown in place of entries if there are none. */
  readonly empty: string;
  readonly entries: readonly DashboardEntry[];
}

/** Opens the key store; undefined if there is none yet. */
export type OpenStore = () => Promise<KeyStore | undefined>;

/** An error as an entry. @throws any other error, which is a bug */
export function problemEntry(name: string, error: unknown): DashboardEntry {
  if (!isKeyprovError(error)) throw error;
  const remedies = [error.remedy, wayOn(error)].flat().filter((text) => text !== undefined);
  return {
    ...{ status: 'problem', name, detail: error.message },
    ...(remedies.length > 0 && { remedy: remedies.join('; ') }),
    rows: [['code', error.code]],
  };
}
