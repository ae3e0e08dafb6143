/**
 * The fault sweep of the wire: every operation, with every command of it, meets every kind of fault, on swtpm and on
 * libtpms in this process. After each the operation is done again without a fault. Run it with
 * `node scripts/reliability.mjs fault-sweep [--seed N] [--each N] [--only OPERATION] [--tpm swtpm|libtpms]`; it prints a
 * table, and ends with 1 if one of the last four columns is not 0.
 */
import { generateKeyPairSync } from 'node:crypto';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { utf8, view } from '../../src/bytes.ts';
import { decodeSpki, type RsaPublicKey } from '../../src/crypto/public-key.ts';
import { KeyprovError, sayError } from '../../src/errors.ts';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { openRecoverySecret } from '../../src/provisioning/pin-recovery.ts';
import { provisionKey } from '../../src/provisioning/provision-key.ts';
import { DictionaryAttackLockReset, DictionaryAttackParameters } from '../../src/tpm/commands/dictionary-attack.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { TPM_RC } from '../../src/tpm/tpm-rc.ts';
import type { TpmTransport } from '../../src/tpm/transport.ts';
import { openLibtpms } from '../../src/tpm/transports/libtpms.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { startIdentityWorld } from '../integration/support/identity-world.ts';
import { leftovers } from '../integration/support/new-tpm.ts';
import { Dice } from '../mutations.ts';
import { DEVICE, NEW_PIN, OPERATIONS, PIN, type Place, pinOf, policy, WrongResult } from './operations.ts';
import { type FaultyWire, faultyWire, type WireFault } from './wire-faults.ts';

const { values: given } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    each: { type: 'string', default: '1' },
    only: { type: 'string' },
    tpm: { type: 'string' },
  },
});
const dice = new Dice(Number(given.seed));
/** How often each kind of fault meets each command. */
const EACH = Number(given.each);
/** After so long an operation hangs, in milliseconds. */
const HANG_MS = 60_000;
/** For a TPM that is silent; long enough for a busy machine. */
const SILENCE_MS = 1_500;

const COLUMNS = [
  'right',
  'typed error',
  'wrong accepted',
  'hang',
  'left behind',
  'key unusable',
  'other error',
] as const;
type Column = (typeof COLUMNS)[number];
const BAD: readonly Column[] = COLUMNS.slice(2);

const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
const servicePublicKey = decodeSpki(view(pair.publicKey.export({ type: 'spki', format: 'der' }))) as RsaPublicKey;
const world = await startIdentityWorld({ attestation: 'ignore' });
const registrar = await world.registrar();
const root = await mkdtemp(join(tmpdir(), 'keyprov-sweep-'));
let users = 0;

/** Every response code that a TPM can give, once; further ones are chosen by the dice. */
const CODES = Object.values(TPM_RC)
  .map(Number)
  .filter((code) => code !== 0);

function faultsFor(size: number): WireFault[] {
  const bit = () => dice.roll(Math.max(1, size) * 8);
  return [
    { kind: 'answer bit', bit: bit() },
    { kind: 'answer bit', bit: 80 + dice.roll(32) }, // in the handle, where there is one
    { kind: 'command bit', bit: bit() },
    { kind: 'truncation', length: dice.roll(Math.max(1, size)) },
    { kind: 'silence' },
    { kind: 'duplicate' },
    { kind: 'reorder' },
    { kind: 'response code', code: CODES[dice.roll(CODES.length)] ?? 0x101 },
    { kind: 'cut', when: 'before' },
    { kind: 'cut', when: 'after' },
  ];
}

/** A TPM that is swept, with a store that has a key. */
interface Swept {
  readonly name: string;
  readonly pristine: string;
  readonly id: string;
  connect(): Promise<TpmTransport>;
  stop(): Promise<void>;
}

async function prepare(name: string): Promise<Swept> {
  const directory = await mkdtemp(join(root, `${name}-`));
  const swtpm = name === 'swtpm' ? await startSwtpm() : undefined;
  const connect = () => swtpm?.open() ?? openLibtpms({ directory: join(directory, 'tpm') });
  const pristine = join(directory, 'pristine');
  const store = await openKeyStore(pristine);
  const tpm = await Tpm.open(await connect());
  const limits = { newMaxTries: 32, newRecoveryTime: 600, lockoutRecovery: 86_400 };
  await tpm.run(DictionaryAttackParameters, { lockHandle: TPM_RH.LOCKOUT, ...limits });
  const made = await provisionKey({
    ...{ policy, sources: { tpm }, challenge: utf8('x'), pin: PIN, deviceId: DEVICE, user: 'kept@contoso.test' },
    pinRecovery: { servicePublicKey, user: 'kept@contoso.test' },
  });
  await store.save(made);
  await tpm.close();
  return { name, pristine, id: made.record.id, connect, stop: async () => await swtpm?.stop() };
}

async function placeIn(directory: string, tpm: Tpm, id: string, user: string): Promise<Place> {
  return {
    ...{ tpm, id, user, registrar, store: await openKeyStore(directory), token: () => world.token(user) },
    recover: async (request) => openRecoverySecret(request, pair.privateKey),
  };
}

/** What came of one operation with one fault. */
async function once(
  swept: Swept,
  operation: string,
  at: number,
  fault: WireFault | undefined,
): Promise<[Column, FaultyWire, string]> {
  const run = OPERATIONS[operation];
  if (run === undefined) throw new Error(`no operation ${operation}`);
  const directory = join(root, `store-${++users}`);
  await cp(swept.pristine, directory, { recursive: true });
  const user = `u${users}@contoso.test`;
  world.addUser(user);
  const connection = await swept.connect();
  const faulty = faultyWire(connection, at, fault);
  let [column, said]: [Column, string] = ['right', ''];
  const put = (next: Column, detail: string) => {
    if (!BAD.includes(column)) [column, said] = [next, detail];
  };
  const timeouts = fault?.kind === 'silence' ? { keyGenerationMs: SILENCE_MS, otherMs: SILENCE_MS } : undefined;
  let tpm: Tpm | undefined;
  const whole = async () => {
    tpm = await Tpm.open(faulty, { commandTimeouts: timeouts });
    await run(await placeIn(directory, tpm, swept.id, user));
  };
  const outcome = await withinTime(whole());
  if (outcome === 'hang') put('hang', '');
  else if (outcome instanceof WrongResult) put('wrong accepted', outcome.message);
  else if (outcome instanceof KeyprovError) put('typed error', sayError(outcome));
  else if (outcome !== undefined) put('other error', String(outcome instanceof Error ? outcome.stack : outcome));
  const closed = await withinTime(tpm?.close() ?? Promise.resolve());
  if (closed === 'hang') put('hang', 'close');
  if (faulty.alive) {
    const left = await withinTime(lookAndClose(connection));
    if (!Array.isArray(left)) put('other error', `cannot look: ${left}`);
    else if (left.length > 0) put('left behind', left.map((one) => one.toString(16)).join(', '));
  }
  if (fault !== undefined) {
    const again = await withinTime(afterwards(swept, operation, directory, user));
    if (again === 'hang') put('hang', 'afterwards');
    else if (Array.isArray(again)) put(...(again as [Column, string]));
    else if (again !== undefined) put('key unusable', String(again instanceof Error ? again.stack : again));
  }
  await rm(directory, { recursive: true });
  return [column, faulty, said];
}

/** What is in the TPM when its user has closed it. */
async function lookAndClose(connection: TpmTransport): Promise<readonly number[]> {
  const tpm = await Tpm.open(connection);
  try {
    return await leftovers(tpm);
  } finally {
    await tpm.close();
  }
}

/** The same operation again, without a fault, and what is left after it: what is wrong then, if anything. */
async function afterwards(
  swept: Swept,
  operation: string,
  directory: string,
  user: string,
): Promise<[Column, string] | undefined> {
  const tpm = await Tpm.open(await swept.connect());
  try {
    const place = await placeIn(directory, tpm, swept.id, user);
    await tpm.run(DictionaryAttackLockReset, { lockHandle: TPM_RH.LOCKOUT });
    const changes = operation === 'change-pin' || operation === 'reset';
    const pin = await pinOf(place, swept.id, changes ? [PIN, NEW_PIN] : [PIN]);
    if (pin === undefined) return ['key unusable', 'no PIN fits'];
    if (!(changes && pin === NEW_PIN)) await OPERATIONS[operation]?.(place);
    if (operation === 'provision') {
      const keys = world.service.keys().filter(({ upn }) => upn === user).length;
      if (keys !== 1) return ['wrong accepted', `${keys} keys at the service`];
    }
    const left = await leftovers(tpm);
    if (left.length > 0) return ['left behind', `after it: ${left.map((one) => one.toString(16)).join(', ')}`];
    return undefined;
  } finally {
    await tpm.close();
  }
}

/** What `work` gives or throws; `hang` if it does not end. */
async function withinTime(work: Promise<unknown>): Promise<unknown> {
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

const table = new Map<string, Map<Column, number>>();
const problems: string[] = [];
try {
  for (const name of ['libtpms', 'swtpm'].filter((one) => given.tpm === undefined || one === given.tpm)) {
    const swept = await prepare(name);
    try {
      for (const operation of Object.keys(OPERATIONS).filter((one) => given.only === undefined || one === given.only)) {
        const [clean, wire, said] = await once(swept, operation, -1, undefined);
        if (clean !== 'right') throw new Error(`${operation} without a fault: ${clean} ${said}`);
        const counts = new Map<Column, number>();
        table.set(`${name} ${operation}`, counts);
        for (const [at, size] of wire.sizes.entries()) {
          for (const fault of Array.from({ length: EACH }, () => faultsFor(size)).flat()) {
            // A TPM in this process is not reached through a connection.
            if (name === 'libtpms' && (fault.kind === 'cut' || fault.kind === 'silence')) continue;
            const [column, , detail] = await once(swept, operation, at, fault);
            counts.set(column, (counts.get(column) ?? 0) + 1);
            if (BAD.includes(column)) {
              problems.push(`${name} ${operation}, command ${at}, ${JSON.stringify(fault)}: ${column}: ${detail}`);
              console.error(problems.at(-1));
            }
          }
        }
        console.error(`${name} ${operation}: ${JSON.stringify(Object.fromEntries(counts))}`);
      }
    } finally {
      await swept.stop();
    }
  }
} finally {
  await world[Symbol.asyncDispose]();
  await rm(root, { recursive: true });
}

console.log(`seed ${given.seed}, ${EACH} of each kind of fault at each command\n`);
console.log(`| TPM and operation | ${COLUMNS.join(' | ')} |\n|---|${COLUMNS.map(() => '---:').join('|')}|`);
for (const [name, counts] of table)
  console.log(`| ${name} | ${COLUMNS.map((one) => counts.get(one) ?? 0).join(' | ')} |`);
process.exitCode = problems.length > 0 ? 1 : 0;
