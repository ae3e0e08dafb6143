import { createHash, randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { toBase64 } from '../bytes.ts';
import { KeyprovError, undoOnFailure } from '../errors.ts';
import type { JsonMembers } from '../json.ts';
import { type KeyRecord, keyRecordFromJson, keyRecordToJson, olderKeyRecordFromJson } from '../keys/key-record.ts';
import { checkStore, type KeyStore } from '../keys/key-store.ts';
import { removeFile, replaceFile } from '../storage/atomic-file.ts';
import { storeIo } from '../storage/file-error.ts';
import { type HeldLock, isLocked, type StoreLockOptions, takeLock, withStoreLock } from '../storage/hold-lock.ts';
import { readPrivateFile } from '../storage/private-files.ts';
import { decodeRecord, encodeRecord, type RecordFormat } from '../storage/record-file.ts';
import { type RegistrationRecord, registrationFromJson, registrationToJson } from './registration-record.ts';

/** The owner of a run. Each user and device has at most one. */
export interface RunOwner {
  /** User principal name, in any case. */
  readonly user: string;
  /** GUID of the device. */
  readonly deviceId: string;
}

/** State of an unfinished run: enough to continue it, or to leave nothing behind, after the process was killed. */
export interface RunState extends RunOwner {
  /** GUID of the run, sent to the service as client-request-id. */
  readonly id: string;
  /** Address of the registration service. */
  readonly service: string;
  /** When the run began: ISO 8601. */
  readonly started: string;
  /**
   * How far the run is. A key in here is stored nowhere else, and `JSON.stringify` cannot write it: see
   * {@link KeyRecord}.
   */
  readonly progress:
    | { readonly step: 'begun' }
    /** The key is made. Nothing has been sent. */
    | { readonly step: 'made'; readonly key: KeyRecord }
    /** The request was sent, or was about to be: the service may have the key. */
    | { readonly step: 'sending'; readonly key: KeyRecord }
    /** The service has the key. */
    | { readonly step: 'registered'; readonly key: KeyRecord; readonly registration: RegistrationRecord }
    /** The service has a key that must be unregistered. Older journals have no Key ID. */
    | {
        readonly step: 'unwanted';
        readonly user: string;
        readonly kid: string;
        readonly keyId?: Uint8Array | undefined;
      };
}

const RUN_FORMAT: RecordFormat<RunState> = {
  format: 'keyprov-run',
  version: 3,
  what: 'run journal',
  code: 'journal-invalid',
  remedy: 'remove the file; if the run registered a key, unregister that key',
  toJson: stateToJson,
  fromJson: (members) => stateFromJson(members, keyRecordFromJson),
  // Both also listed the TPM's contents before the run. Version 1 held key records of version 1 and the process of the
  // run.
  older: (members, version) => stateFromJson(members, version === 1 ? olderKeyRecordFromJson : keyRecordFromJson),
};

type ReadKey = (members: JsonMembers) => KeyRecord;

/** Writes the members in the order in which they are read, since the text must come out the same. */
function stateToJson({ id, user, deviceId, service, started, progress }: RunState): object {
  return { id, user, deviceId, service, started, progress: progressToJson(progress) };
}

function progressToJson(progress: RunState['progress']): object {
  const { step } = progress;
  if (step === 'begun') return { step };
  if (step === 'unwanted') {
    const { user, kid, keyId } = progress;
    return { step, user, kid, ...(keyId && { keyId: toBase64(keyId) }) };
  }
  const key = keyRecordToJson(progress.key);
  return step === 'registered' ? { step, key, registration: registrationToJson(progress.registration) } : { step, key };
}

function stateFromJson(members: JsonMembers, readKey: ReadKey): RunState {
  return {
    id: members.text('id'),
    user: members.text('user'),
    deviceId: members.text('deviceId'),
    service: members.text('service'),
    started: members.text('started'),
    progress: progressFromJson(members.members('progress'), readKey),
  };
}

function progressFromJson(members: JsonMembers, readKey: ReadKey): RunState['progress'] {
  const step = members.oneOf('step', ['begun', 'made', 'sending', 'registered', 'unwanted']);
  if (step === 'begun') return { step };
  if (step === 'unwanted') {
    const keyId = members.has('keyId') ? members.base64('keyId') : undefined;
    return { step, user: members.text('user'), kid: members.text('kid'), ...(keyId && { keyId }) };
  }
  const key = readKey(members.members('key'));
  return step === 'registered'
    ? { step, key, registration: registrationFromJson(members.members('registration')) }
    : { step, key };
}

/** The journal of one run: a file beside the keys of the store. It is on the disk once {@link write} has resolved. */
export class RunJournal {
  /** Absolute path. */
  readonly path: string;
  readonly #store: KeyStore;
  readonly #name: string;
  readonly #lock: HeldLock;
  #state: RunState;

  constructor(store: KeyStore, name: string, lock: HeldLock, state: RunState) {
    this.path = join(store.directory, `${name}.json`);
    this.#store = store;
    this.#name = name;
    this.#lock = lock;
    this.#state = state;
  }

  get state(): RunState {
    return this.#state;
  }

  /** Replaces the state. @throws KeyprovError `store-io`; the old state then holds. */
  async write(change: Partial<Pick<RunState, 'progress' | 'service' | 'id'>>): Promise<void> {
    const state = { ...this.#state, ...change };
    await replaceFile(this.#store.directory, `${this.#name}.json`, encodeRecord(RUN_FORMAT, state));
    this.#state = state;
  }

  /** Leaves the run for a later start to continue. */
  async release(): Promise<void> {
    await this.#lock.release({ remove: true });
  }

  /** Ends the run and removes its journal. */
  async remove(): Promise<void> {
    await removeFile(this.#store.directory, `${this.#name}.json`);
    await this.release();
  }
}

/**
 * Claims the run of a user and device: the one that a dead process or an earlier start left, else a new one at the step
 * `begun`.
 *
 * @returns the journal, whose state is on the disk, and whether it continues an earlier run.
 * @throws KeyprovError `run-active` while another process, or another run of this process, has it; `journal-invalid`,
 * `store-busy`, `store-io`.
 */
export async function claimRun(
  store: KeyStore,
  begin: RunOwner & { readonly service: string; readonly now: Date },
  options: StoreLockOptions = {},
): Promise<{ readonly journal: RunJournal; readonly resumed: boolean }> {
  return await withStoreLock(store.directory, () => claimLocked(store, begin), options);
}

/** {@link claimRun} under the lock of the store. Holds the lock of the run as long as its process lives. */
async function claimLocked(
  store: KeyStore,
  { user, deviceId, service, now }: Parameters<typeof claimRun>[1],
): Promise<{ readonly journal: RunJournal; readonly resumed: boolean }> {
  const name = nameOf({ user, deviceId });
  const lock = await takeLock(join(store.directory, `${name}.lock`));
  if (!('release' in lock)) {
    const who = lock.pid === undefined ? 'another process' : `process ${lock.pid}`;
    throw new KeyprovError('run-active', `${who} is provisioning a key for ${user}`, {
      remedy: 'wait until that run ends, or end its process',
    });
  }
  const open = async () => {
    const kept = await readKept(join(store.directory, `${name}.json`));
    const fresh = { id: randomUUID(), user, deviceId, service, started: now.toISOString() };
    const journal = new RunJournal(store, name, lock, kept ?? { ...fresh, progress: { step: 'begun' } });
    await journal.write({});
    return { journal, resumed: kept !== undefined };
  };
  return await undoOnFailure(open, () => lock.release({ remove: true }));
}

/** An unfinished run. */
export interface UnfinishedRun {
  readonly state: RunState;
  /** Whether a process is working on it. */
  readonly active: boolean;
  readonly path: string;
}

/**
 * The unfinished runs of a store.
 * @throws KeyprovError `journal-invalid`, `store-busy`, `store-io`; TypeError for anything but a store
 */
export async function listRuns(store: KeyStore): Promise<UnfinishedRun[]> {
  checkStore('listRuns', store);
  const files = await storeIo(store.directory, () => readdir(store.directory));
  const names = files.sort().flatMap((file) => /^(run-[0-9a-f]{16})\.json$/.exec(file)?.[1] ?? []);
  if (names.length === 0) return [];
  // Under the lock of the store: nobody may begin a run while its lock is checked.
  return await withStoreLock(store.directory, async () => {
    const runs: UnfinishedRun[] = [];
    for (const name of names) {
      const path = join(store.directory, `${name}.json`);
      const state = await readKept(path);
      if (state === undefined) continue; // it ended after the directory was read
      runs.push({ state, active: await isLocked(join(store.directory, `${name}.lock`)), path });
    }
    return runs;
  });
}

async function readKept(path: string): Promise<RunState | undefined> {
  const file = await storeIo(path, async () => readPrivateFile(path));
  return file && decodeRecord(RUN_FORMAT, file.bytes.toString(), path);
}

/** Name of the files of a run, without extension. */
function nameOf({ user, deviceId }: RunOwner): string {
  const owner = { user: user.toLowerCase(), deviceId: deviceId.toLowerCase() };
  return `run-${createHash('sha256').update(JSON.stringify(owner)).digest('hex').slice(0, 16)}`;
}
