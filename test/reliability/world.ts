import { generateKeyPairSync } from 'node:crypto';
import { cp, mkdtemp, readdir, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { utf8, view } from '../../src/bytes.ts';
import { decodeSpki, type RsaPublicKey } from '../../src/crypto/public-key.ts';
import { isKeyprovError } from '../../src/errors.ts';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { openRecoverySecret } from '../../src/provisioning/pin-recovery.ts';
import { provisionKey } from '../../src/provisioning/provision-key.ts';
import { DictionaryAttackLockReset, DictionaryAttackParameters } from '../../src/tpm/commands/dictionary-attack.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import type { TpmTransport } from '../../src/tpm/transport.ts';
import { openLibtpms } from '../../src/tpm/transports/libtpms.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { startIdentityWorld } from '../integration/support/identity-world.ts';
import { leftovers } from '../integration/support/new-tpm.ts';
import { NEW_PIN, OPERATIONS, PIN, type Place, pinOf, policy } from './operations.ts';

/** The outcomes of an operation with a fault. All from the third on are bugs. */
const COLUMNS = [
  'correct',
  'typed error',
  'wrong result accepted',
  'hang',
  'leftovers',
  'key unusable',
  'other error',
] as const;
export type Column = (typeof COLUMNS)[number];
export const BAD: readonly Column[] = COLUMNS.slice(2);

/** The options of both sweeps, of the wire and of processes; each accepts the other's options. */
export const { values: given } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    each: { type: 'string', default: '1' },
    stride: { type: 'string', default: '1' },
    kills: { type: 'string', default: '200' },
    /** For processes: a pattern for the fault's name. */
    fault: { type: 'string' },
    only: { type: 'string' },
    tpm: { type: 'string' },
  },
});
/** An operation that takes longer hangs, in milliseconds. */
const HANG_MS = 60_000;
export const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
const servicePublicKey = decodeSpki(view(pair.publicKey.export({ type: 'spki', format: 'der' }))) as RsaPublicKey;
export const world = await startIdentityWorld({ attestation: 'ignore' });
const registrar = await world.registrar();
/** The directory of all files that the script makes. */
const root = await mkdtemp(join(tmpdir(), 'keyprov-sweep-'));
let users = 0;

/** A TPM under test, with a store that contains a key. */
export interface Swept {
  readonly name: string;
  readonly pristine: string;
  readonly id: string;
  /** An address for `openTpm`. */
  readonly address: string;
  connect(): Promise<TpmTransport>;
  stop(): Promise<void>;
}

/** Starts a TPM and makes the store and its key. */
export async function prepare(name: string): Promise<Swept> {
  const directory = await mkdtemp(join(root, `${name}-`));
  const swtpm = name === 'swtpm' ? await startSwtpm() : undefined;
  const connect = () => swtpm?.open() ?? openLibtpms({ directory: join(directory, 'tpm') });
  const pristine = join(directory, 'pristine');
  const store = await openKeyStore(pristine);
  const tpm = await Tpm.open(await connect());
  const limits = { newMaxTries: 32, newRecoveryTime: 600, lockoutRecovery: 86_400 };
  await tpm.run(DictionaryAttackParameters, { lockHandle: TPM_RH.LOCKOUT, ...limits });
  const made = await provisionKey({
    ...{
      policy,
      sources: { tpm },
      challenge: utf8('x'),
      pin: PIN,
      deviceId: world.device.deviceId,
      user: 'kept@contoso.test',
    },
    pinRecovery: { servicePublicKey, user: 'kept@contoso.test' },
  });
  await store.save(made);
  await tpm.close();
  const address = swtpm?.address ?? `libtpms:${join(directory, 'tpm')}`;
  return { name, pristine, address, id: made.record.id, connect, stop: async () => await swtpm?.stop() };
}

/** An operation's environment in that store. */
export async function placeIn(directory: string, tpm: Tpm, id: string, user: string): Promise<Place> {
  return {
    ...{
      tpm,
      id,
      user,
      deviceId: world.device.deviceId,
      registrar,
      store: await openKeyStore(directory),
      token: () => world.token(user),
    },
    recover: async (request) => openRecoverySecret(request, pair.privateKey),
  };
}

/** A copy of the store for one operation, and a user for it. */
export async function freshCopy(swept: Swept): Promise<{ readonly directory: string; readonly user: string }> {
  const directory = join(root, `store-${++users}`);
  await cp(swept.pristine, directory, { recursive: true });
  const user = `u${users}@contoso.test`;
  world.addUser(user);
  return { directory, user };
}

/** Returns what is left in the TPM after its user has closed it. */
export async function lookAndClose(connection: TpmTransport): Promise<readonly number[]> {
  const tpm = await Tpm.open(connection);
  try {
    return await leftovers(tpm);
  } finally {
    await tpm.close();
  }
}

/**
 * Repeats the operation without a fault and checks what it leaves behind. Returns the problem, if any.
 * @param succeeded whether the first attempt reported success.
 */
export async function afterwards(
  swept: Swept,
  operation: string,
  copy: { readonly directory: string; readonly user: string },
  succeeded: boolean,
): Promise<[Column, string] | undefined> {
  const found = await again(swept, operation, copy, succeeded);
  if (found !== undefined) return found;
  // A temporary file may belong to a living process; opening the store removes it once it is a minute old.
  const old = new Date(Date.now() - 120_000);
  for (const name of await readdir(copy.directory)) await utimes(join(copy.directory, name), old, old);
  await openKeyStore(copy.directory);
  const files = (await readdir(copy.directory)).filter((name) => !/^(key-.*\.json|\.keyprov\.lock)$/.test(name));
  return files.length > 0 ? ['leftovers', `files: ${files.join(', ')}`] : undefined;
}

async function again(
  swept: Swept,
  operation: string,
  { directory, user }: { readonly directory: string; readonly user: string },
  succeeded: boolean,
): Promise<[Column, string] | undefined> {
  const tpm = await Tpm.open(await swept.connect(), { marksDirectory: directory });
  try {
    const place = await placeIn(directory, tpm, swept.id, user);
    await tpm.run(DictionaryAttackLockReset, { lockHandle: TPM_RH.LOCKOUT });
    const changes = operation === 'change-pin' || operation === 'reset';
    const repeat = async () =>
      await OPERATIONS[operation]?.(place).catch((error: unknown) => {
        // A run that was completed, reported or not, is not repeated; the key is checked below.
        if (!(operation === 'provision' && isKeyprovError(error, 'key-exists'))) throw error;
      });
    if (!changes) await repeat(); // before anything else clears up what was left
    const pin = await pinOf(place, swept.id, changes ? [PIN, NEW_PIN] : [PIN]);
    if (pin === undefined) return ['key unusable', 'no PIN fits'];
    if (changes && succeeded && pin === PIN) return ['wrong result accepted', 'the PIN is the old one'];
    if (changes && pin === PIN) await repeat();
    for (const { id } of (await place.store.list()).records) {
      if (id !== swept.id && (await pinOf(place, id, [PIN])) === undefined) return ['key unusable', id];
    }
    const keys = world.service.keys().filter(({ upn }) => upn === user).length;
    if (keys !== (operation === 'provision' ? 1 : 0)) return ['wrong result accepted', `${keys} keys at the service`];
    const left = await leftovers(tpm);
    if (left.length > 0) return ['leftovers', `after it: ${left.map((one) => one.toString(16)).join(', ')}`];
    return undefined;
  } finally {
    await tpm.close();
  }
}

/** Returns the result or the error of `work`; `hang` if it does not end. */
export async function withinTime(work: Promise<unknown>): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve('hang'), HANG_MS);
  });
  try {
    return await Promise.race([work, late]);
  } catch (error) {
    return error;
  } finally {
    clearTimeout(timer);
  }
}

/** Prints the counts in the form of the tables in docs/reliability.md. */
export function printTable(table: ReadonlyMap<string, ReadonlyMap<Column, number>>): void {
  console.log(`| | ${COLUMNS.join(' | ')} |\n|---|${COLUMNS.map(() => '---:').join('|')}|`);
  for (const [name, counts] of table) {
    console.log(`| ${name} | ${COLUMNS.map((one) => counts.get(one) ?? 0).join(' | ')} |`);
  }
}

/** Stops everything that was started. */
export async function endWorld(): Promise<void> {
  await world[Symbol.asyncDispose]();
  await rm(root, { recursive: true });
}
