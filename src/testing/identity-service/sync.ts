import { equal, toBase64 } from '../../bytes.ts';
import { isKeyprovError, KeyprovError, readOr } from '../../errors.ts';
import { decodeDnBinary } from '../../formats/windows/dn-binary.ts';
import { findLdapUser } from '../../registration/ldap-user.ts';
import type { SignalOptions } from '../../signal.ts';
import { bindDirectory, type DirectoryConnection } from '../directory/directory-connection.ts';
import { addKeyCredential, removeKeyCredential } from '../directory/key-credential-writer.ts';
import type { LdapWriter } from '../directory/ldap-client.ts';
import type { OutboxEntry, SyncOutcome } from './key-table.ts';
import type { ServiceContext } from './service-context.ts';

/** A cycle's result for one entry of the outbox. */
export interface SyncResult {
  readonly upn: string;
  /** Key ID in base64. */
  readonly keyId: string;
  readonly action: OutboxEntry['action'];
  /** `waiting`: the directory could not be reached, and the next cycle tries again. */
  readonly status: SyncOutcome | 'waiting';
  /** Why it did not succeed. */
  readonly reason: string | undefined;
}

/** Errors that may pass by themselves until the next cycle. */
const PASSING: ReadonlySet<string> = new Set(['service-unreachable', 'service-timeout']);

/** Writes keys to the directory, as Entra Connect does. */
export class Synchronization {
  readonly #context: ServiceContext;
  readonly #end = new AbortController();
  #running: Promise<SyncResult[]> | undefined;

  constructor(context: ServiceContext) {
    this.#context = context;
  }

  /**
   * Handles the due entries one after the other. Leaves values that others write at the same time alone. Overlapping
   * calls share one cycle.
   * @throws KeyprovError `service-refused` if the directory refuses the synchronization's account; TypeError without a
   * directory.
   */
  run({ signal }: SignalOptions = {}): Promise<SyncResult[]> {
    const ends = this.#end.signal;
    this.#running ??= this.#cycle(signal === undefined ? ends : AbortSignal.any([signal, ends])).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Aborts a running cycle, and waits for its end. */
  async stop(): Promise<void> {
    this.#end.abort(new Error('the identity service is closed'));
    // The caller of run gets its error.
    await this.#running?.catch(() => undefined);
  }

  async #cycle(signal: AbortSignal): Promise<SyncResult[]> {
    const { state, options, now } = this.#context;
    const { onPremises } = options;
    if (onPremises === undefined) throw new TypeError('the service was started without a directory (onPremises)');
    const entries = state.keys.outbox(now());
    if (entries.length === 0) return [];
    const bound = await bindDirectory(onPremises, onPremises.connector, { signal }).catch((error: unknown) => {
      if (isKeyprovError(error) && PASSING.has(error.code)) return error;
      throw error;
    });
    if (bound instanceof KeyprovError) return entries.map((entry) => this.#conclude(entry, 'waiting', bound.message));
    const results: SyncResult[] = [];
    try {
      for (const entry of entries) {
        signal.throwIfAborted();
        results.push(await this.#export(entry, bound.client, onPremises, signal));
      }
    } finally {
      await bound.close();
    }
    return results;
  }

  async #export(
    entry: OutboxEntry,
    client: LdapWriter,
    { base }: DirectoryConnection,
    signal: AbortSignal,
  ): Promise<SyncResult> {
    const { action, upn: user, keyId, blob } = entry;
    try {
      if (action === 'remove') {
        const outcome = await removeKeyCredential(client, { base, user, keyId }, { signal });
        return this.#conclude(entry, outcome, undefined);
      }
      const outcome = await addKeyCredential(client, { base, user, blob }, { signal });
      const { values } = await findLdapUser(client, { base, user, signal });
      if (!values.some((value) => isBinary(value, blob))) {
        return this.#conclude(entry, 'failed', 'the directory accepted the value, but does not have it');
      }
      return this.#conclude(entry, outcome === 'added' ? 'written' : 'present', undefined);
    } catch (error) {
      signal.throwIfAborted();
      if (!isKeyprovError(error)) throw error;
      return this.#conclude(entry, PASSING.has(error.code) ? 'waiting' : 'failed', error.message);
    }
  }

  #conclude(
    { id, upn, keyId, action }: OutboxEntry,
    status: SyncResult['status'],
    reason: string | undefined,
  ): SyncResult {
    this.#context.state.keys.setOutcome(id, status, reason);
    return { upn, keyId: toBase64(keyId), action, status, reason };
  }
}

/** Whether it is that value, whatever the name in it, which changes with the user's. Others may write malformed ones. */
const isBinary = (value: string, blob: Uint8Array): boolean =>
  readOr(false, () => equal(decodeDnBinary(value).binary, blob), 'request-invalid');
