import '../cheap-scrypt.mjs';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex, utf8 } from '../../src/bytes.ts';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import type { MfaPrompt } from '../../src/provisioning/mfa-gate.ts';
import { provision } from '../../src/provisioning/provision.ts';
import { listRegistrations } from '../../src/provisioning/registration-record.ts';
import { listRuns } from '../../src/provisioning/run-journal.ts';
import type { KeyRegistrar } from '../../src/registration/key-registrar.ts';
import { findLdapUser } from '../../src/registration/ldap-user.ts';
import { bindDirectory, startDirectory, type TestDirectory } from '../../src/testing/index.ts';
import { listHandles } from '../../src/tpm/capabilities.ts';
import { TPM_HT } from '../../src/tpm/constants.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { CHEAP_SCRYPT } from '../cheap-scrypt-option.ts';
import { asyncRefusal } from '../refusal.ts';
import { type Bundle, bundle } from './support/bundle.ts';
import { type IdentityWorld, startIdentityWorld } from './support/identity-world.ts';
import { leftovers } from './support/new-tpm.ts';

const PIN = '591834';
/**
 * With KEYPROV_EVERY_BORDER=1, a run is killed at each border; otherwise at every tenth in the first half, where little changes,
 * and at every fifth of the second.
 */
const EVERY_BORDER = process.env.KEYPROV_EVERY_BORDER === '1';
/** Times that a run is killed at random, in each kind of TPM. */
const RANDOM_KILLS = EVERY_BORDER ? 20 : 4;
/** Runs at a time. */
const LANES = 2;

let script: Bundle;
let directory: TestDirectory;
let world: IdentityWorld;
let registrar: KeyRegistrar;
let root: string;
let lastUser = 0;
let wholeRuns = 0;
const children = new Set<ChildProcess>();

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'keyprov-kill-'));
  script = await bundle('test/integration/children/provision-run.ts');
  directory = await startDirectory();
  world = await startIdentityWorld({
    ...{ attestation: 'ignore', onPremises: directory.connection, syncIntervalMs: 1 },
  });
  registrar = await world.registrar();
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await world?.[Symbol.asyncDispose]();
  await directory?.close();
  script?.[Symbol.dispose]();
  await rm(root, { recursive: true });
});

/** When a run is killed: at a border, or by `kill`. */
interface Kill {
  readonly killAt?: number;
  readonly kill?: (child: ChildProcess) => Promise<void>;
}

interface Place {
  readonly tpm: string;
  readonly store: string;
}

/** The end of the first process, and the outcomes of the later starts. */
interface Ending {
  /** The state it left: the step in the journal, `registered` in the store, or nothing. */
  readonly left: string;
  /** The outcome of a start without authentication. */
  readonly refused: 'rolled back' | 'waits' | 'registered';
}

/** Runs until the process ends or `kill` kills it. Returns whether it completed, and its number of borders. */
async function firstRun(
  place: Place,
  who: { readonly user: string; readonly token: string },
  { killAt, kill = async () => {} }: Kill,
): Promise<{ readonly done: boolean; readonly borders: number; readonly ms: number }> {
  const { url, tenantId: tenant, ca } = world.service;
  const { deviceId } = world.device;
  const given = { ...place, ...who, url, tenant, ca, deviceId, pin: PIN, algorithm: 'p-256', killAt };
  const child = spawn(process.execPath, [CHEAP_SCRYPT, script.path, JSON.stringify(given)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.add(child);
  let said = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const ended = once(child, 'close');
  while (!said.includes('start') && child.exitCode === null && child.signalCode === null) {
    await Promise.race([once(child.stdout ?? child, 'data'), ended]);
  }
  const start = performance.now();
  if (!said.includes('start')) throw new Error(`the run ended before it began: ${said}`);
  await kill(child);
  const [code, signal] = await ended;
  if (code !== 0 && signal !== 'SIGKILL') throw new Error(`the run failed with code ${code}`);
  children.delete(child);
  const [, borders] = /registered (\d+)/.exec(said) ?? [];
  return { done: borders !== undefined, borders: Number(borders ?? 0), ms: performance.now() - start };
}

/** Starts again in this process, with a newly opened TPM. */
async function restart({ tpm, store }: Place, user: string, mfa: MfaPrompt): Promise<string> {
  const outcome = await provision({
    ...{ user, deviceId: world.device.deviceId, store: await openKeyStore(store), registrar, mfa },
    policy: definePolicy({ hardware: 'required', algorithm: 'p-256', attestation: 'required' }),
    ...{ profile: 'attested', prerequisites: 'skip' },
    sources: { tpm: (options) => openTpm(tpm, options) },
    pin: async () => utf8(PIN),
  });
  return outcome.status;
}

const keysOf = (user: string) => world.service.keys().filter(({ upn }) => upn === user);

/** Kills a run, starts it again, and checks that everything ends with one key, which works, and nothing beside it. */
async function killedAndRestarted(place: Place, how: Kill): Promise<Ending> {
  lastUser += 1;
  const user = `u${lastUser}@contoso.test`;
  world.addUser(user);
  await directory.addUser({ upn: user, name: `u${lastUser}` });
  const token = await world.token(user);
  await firstRun(place, { user, token }, how);

  const store = await openKeyStore(place.store);
  const inJournal = async () => (await listRuns(store)).find(({ state }) => state.user === user)?.state.progress.step;
  const inStore = async () => (await listRegistrations(store, { user })).length;
  const left = (await inJournal()) ?? ((await inStore()) > 0 ? 'in the store' : 'nothing');

  const no: MfaPrompt = async () => ({ status: 'failed', reason: 'not now' });
  const refusal = await asyncRefusal(() => restart(place, user, no));
  let refused: Ending['refused'] = 'registered';
  if (refusal.startsWith('mfa-failed')) {
    refused = (await inJournal()) === undefined ? 'rolled back' : 'waits';
    expect(await inStore()).toBe(0);
    if (refused === 'rolled back') expect(keysOf(user)).toEqual([]);
  } else {
    expect(['nothing thrown', refusal.startsWith('key-exists') ? refusal : '']).toContain(refusal);
  }
  if (refused !== 'registered') {
    expect(await restart(place, user, async () => ({ status: 'passed', token }))).toBe('registered');
  }

  expect(await inJournal()).toBeUndefined();
  const [registered, ...others] = await listRegistrations(store, { user });
  expect(others).toEqual([]);
  expect(keysOf(user).map(({ kid }) => kid)).toEqual([registered?.registration.kid]);
  await using tpm = await openTpm(place.tpm);
  expect(await leftovers(tpm)).toEqual([]);
  expect(await listHandles(tpm, TPM_HT.PERSISTENT)).toEqual([]);
  if (registered === undefined) throw new Error('no key');
  const provider = await openTpmKeyProvider(tpm);
  const signature = await provider.sign(registered.record, { data: utf8('x'), pin: utf8(PIN) });
  expect(signature[0]).toBe(0x30);
  return { left, refused };
}

function count(endings: readonly Ending[]): string {
  const counts = new Map<string, number>();
  for (const { left, refused } of endings) {
    const what = `left: ${left}, then without MFA: ${refused}, then with: registered`;
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  return [...counts].map(([what, number]) => `  ${String(number).padStart(4)}  ${what}`).join('\n');
}

describe.each([
  ['libtpms', async () => ({ tpm: `libtpms:${await mkdtemp(join(root, 'tpm-'))}`, end: async () => {} })],
  [
    'swtpm',
    async () => {
      const swtpm = await startSwtpm();
      const end = async (): Promise<void> => await swtpm[Symbol.asyncDispose]();
      return { tpm: swtpm.address, end };
    },
  ],
] as const)('a run on %s that is killed', (name, startTpm) => {
  const places: Place[] = [];
  const ends: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    for (let lane = 0; lane < LANES; lane++) {
      const { tpm, end } = await startTpm();
      places.push({ tpm, store: await mkdtemp(join(root, 'store-')) });
      ends.push(end);
    }
  });
  afterAll(async () => {
    for (const end of ends) await end();
  });

  /** Spreads all kills over the places, each with one run at a time. */
  async function killAll(kills: readonly Kill[]): Promise<Ending[]> {
    const endings: Ending[] = [];
    const left = [...kills];
    const work = async (place: Place) => {
      const earlier = (await (await openKeyStore(place.store)).list()).records.length;
      let users = 0;
      for (let kill = left.shift(); kill !== undefined; kill = left.shift()) {
        endings.push(await killedAndRestarted(place, kill));
        users += 1;
      }
      const { records, damaged } = await (await openKeyStore(place.store)).list();
      expect([records.length, damaged]).toEqual([earlier + users, []]);
    };
    await Promise.all(places.map(work));
    return endings;
  }

  async function wholeRun(): Promise<{ borders: number; ms: number }> {
    wholeRuns += 1;
    const user = `whole${wholeRuns}@contoso.test`;
    world.addUser(user);
    const [place] = places;
    if (place === undefined) throw new Error('no place');
    const { done, ...measured } = await firstRun(place, { user, token: await world.token(user) }, {});
    expect(done).toBe(true);
    return measured;
  }

  const atEachBorder = async () => {
    const { borders } = await wholeRun();
    const kills = Array.from({ length: borders }, (_, index) => ({ killAt: index + 1 })).filter(
      ({ killAt }) => EVERY_BORDER || killAt % (killAt < borders / 2 ? 10 : 5) === 0,
    );
    const endings = await killAll(kills);
    console.log(`killed at ${kills.length} of ${borders} borders:\n${count(endings)}`);
    const states = ['begun', 'in the store', 'made', 'nothing', 'registered', 'sending'];
    const left = new Set(endings.map((ending) => ending.left));
    if (EVERY_BORDER) expect([...left].sort()).toEqual(states);
    // A sample may miss the states that last for at most five borders, and hits these.
    expect(states).toEqual(expect.arrayContaining([...left]));
    expect([...left]).toEqual(expect.arrayContaining(['begun', 'registered', 'sending']));
  };
  // The borders of both are the same, so once will do.
  if (name === 'libtpms') it('at its borders, ends with one key or none', atEachBorder, 600_000);

  it(`at random, ${RANDOM_KILLS} times, ends with one key or none`, async () => {
    const times = [(await wholeRun()).ms, (await wholeRun()).ms, (await wholeRun()).ms];
    const [, usual = 0] = times.sort((a, b) => a - b);
    const kill = async (child: ChildProcess) => {
      await delay(Math.random() * usual * LANES);
      child.kill('SIGKILL');
    };
    const endings = await killAll(Array.from({ length: RANDOM_KILLS }, () => ({ kill })));
    console.log(`killed ${RANDOM_KILLS} times on ${name} within ${Math.round(usual * LANES)} ms:\n${count(endings)}`);
    expect(endings).toHaveLength(RANDOM_KILLS);
  }, 600_000);
});

describe('the directory', () => {
  it("has one value for each user whose run was killed, the registered key's", async () => {
    await world.service.runSyncCycle();
    await using reader = await bindDirectory(directory.connection, directory.connection.reader);
    const kept = new Map(world.service.keys().map(({ upn, blob }) => [upn, toHex(blob).toUpperCase()]));
    const wrong: string[] = [];
    for (let number = 1; number <= lastUser; number++) {
      const user = `u${number}@contoso.test`;
      const { values } = await findLdapUser(reader.client, { base: directory.connection.base, user });
      if (values.length !== 1 || values[0]?.split(':')[2] !== kept.get(user)) wrong.push(`${user}: ${values}`);
    }
    expect(lastUser).toBeGreaterThan(2 * RANDOM_KILLS);
    expect(wrong).toEqual([]);
  });
});
