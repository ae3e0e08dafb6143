import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeKeyRecord, type KeyRecord } from '../../src/keys/key-record.ts';
import { deriveAuthValue, newPinDerivation } from '../../src/keys/pin-derivation.ts';
import { readRegistration } from '../../src/provisioning/registration-record.ts';
import { countFsyncs, countPinSignature, countProvisions, openProvisioning, PIN } from '../counts.ts';
import { amount, digits } from '../figures.ts';
import { type Contender, cpuTime, inTurn, ratio, spread, wallTime } from '../measure.ts';
import type { Curve, Figure, Row } from '../row.ts';

const G19: Row = {
  id: 'G19',
  what: 'provision end to end: P-256 with a PIN, attestation, store on disk, TPM in process, service in memory',
  async measure({ rounds }) {
    await using place = await openProvisioning();
    const { transport } = place;
    const parts = { all: [], tpm: [], scrypt: [], disk: [] } as Record<'all' | 'tpm' | 'scrypt' | 'disk', number[]>;
    let counted = { fsyncs: 0, commands: 0 };
    for (let round = -1; round < rounds; round++) {
      const before = { time: transport.time, commands: transport.commands };
      const begin = wallTime();
      const { fsyncs, time } = await countFsyncs(place.run);
      const all = wallTime() - begin;
      counted = { fsyncs, commands: transport.commands - before.commands };
      const scryptBegin = wallTime();
      await deriveAuthValue(PIN, newPinDerivation());
      if (round < 0) continue; // the first round compiles the code
      parts.all.push(all / 1000);
      parts.tpm.push((transport.time - before.time) / 1000);
      parts.scrypt.push((wallTime() - scryptBegin) / 1000);
      parts.disk.push(time / 1000);
    }
    const sum = parts.tpm.map((tpm, round) => tpm + (parts.scrypt[round] ?? 0) + (parts.disk[round] ?? 0));
    const [all, tpm, scrypt, disk] = (['all', 'tpm', 'scrypt', 'disk'] as const).map((part) =>
      digits(spread(parts[part]).median),
    );
    return {
      figures: [
        {
          ...{ what: 'time vs. the TPM, one scrypt and the fsyncs alone', unit: '×', goal: { most: 1.25 } },
          measured: ratio(parts.all, sum),
          amounts: `all ${all} ms: TPM ${tpm}, scrypt ${scrypt}, disk ${disk}`,
        },
        amount('commands', 'commands', counted.commands),
        amount('fsyncs', '', counted.fsyncs),
      ],
    };
  },
  why: 'the rest is CPU time of the run, its journal and its checks. In the TPM time, the RSA attestation key is made again for each user key',
};

const G20: Row = {
  id: 'G20',
  what: 'commands of a signature with a PIN, with an open provider',
  async measure() {
    const figures: Figure[] = [];
    for (const [kind, name] of [
      ['libtpms', 'in process'],
      ['swtpm', 'swtpm'],
    ] as const) {
      const { commands, refused } = await countPinSignature(kind);
      figures.push(amount(name, 'commands', commands, { most: 5 }));
      figures.push(amount(`${name}: of these, refused and resent`, 'commands', refused, { most: 0 }));
    }
    return { figures };
  },
  why: 'the storage root key is made again for each use. In process, TPM2_Shutdown follows each use of a PIN, so the TPM answers the next command with TPM_RC_RETRY',
};

/** Opens a store with that many registered keys of other users, all copies of one key. */
async function openStoreWith(keys: number) {
  const place = await openProvisioning({ attested: false });
  const { record } = await place.run();
  let copies = 1;
  const copyOf = (): KeyRecord => {
    const [id, user] = [`copy-${++copies}`, `copy${copies}@contoso.test`];
    const { registration } = record.annotations;
    return { ...record, id, user, annotations: { registration: { ...Object(registration), user } } };
  };
  while (copies < keys) {
    const copy = copyOf();
    writeFileSync(join(place.store.directory, `key-${copy.id}.json`), encodeKeyRecord(copy), { mode: 0o600 });
    if (copies === 2) readRegistration(copy); // checks that the copy can be read
  }
  return { ...place, copyOf };
}

const G21: Row = {
  id: 'G21',
  what: 'a growing store',
  async measure({ rounds, keys }) {
    const sizes = [1, keys / 100, keys / 10, keys];
    const places = await Promise.all(sizes.map(openStoreWith));
    const cost =
      (work: () => Promise<unknown>): Contender =>
      async () => {
        const begin = cpuTime();
        await work();
        return cpuTime() - begin;
      };
    const works = places.map(({ store, run, copyOf }, at) => ({
      provision: cost(run),
      list: cost(async () => {
        const { records } = await store.list();
        if (records.length < (sizes[at] ?? 0)) throw new Error('records are missing');
      }),
      save: cost(() => store.save(copyOf())),
    }));
    const names = ['provision', 'list', 'save'] as const;
    const contenders = works.flatMap((work, at) => names.map((name) => [`${name} ${at}`, work[name]] as const));
    const costs = await inTurn(Math.ceil(rounds / 2), Object.fromEntries(contenders));
    for (const place of places) await place[Symbol.asyncDispose]();
    const of = (name: string, at: number): readonly number[] => costs[`${name} ${at}`] ?? [];
    const beside = (name: string) => ratio(of(name, sizes.length - 1), of(name, 0));
    const each = of('list', sizes.length - 1).map((all) => all / keys);
    const curve = (name: string, unit: string, value: (all: number, size: number) => number): Curve => ({
      ...{ what: name, unit },
      points: sizes.map((size, at) => [size, value(spread(of(name.split(',')[0] ?? '', at)).median, size)]),
    });
    const many = keys.toLocaleString('en');
    return {
      figures: [
        {
          what: `provision, with ${many} keys vs. one`,
          unit: '×',
          measured: beside('provision'),
          goal: { most: 1.1 },
        },
        amount(`list with ${many} keys: CPU per record`, 'µs', spread(each), { most: 40 }),
        { what: `save, with ${many} keys vs. one`, unit: '×', measured: beside('save'), goal: { most: 1.1 } },
      ],
      curves: [
        curve('provision', 'ms', (all) => all / 1000),
        curve('list, each record', 'µs', (all, size) => all / size),
        curve('save', 'ms', (all) => all / 1000),
      ],
    };
  },
  why: 'a run reads the whole store to find out whether the user has a key, because there is no index by user and device. save looks through the directory for files of earlier versions and of dead processes',
};

const G22: Row = {
  id: 'G22',
  what: 'overlapping provisionKey calls with attestation on one TPM',
  async measure({ provisions }) {
    const { inRow, atOnce, unattested } = await countProvisions(provisions);
    return {
      figures: [
        amount(`commands per call: ${provisions} overlapping vs. one after the other`, '×', atOnce / inRow, {
          most: 1.1,
        }),
        amount('commands per call, one after the other', 'commands', inRow),
        amount('keys that are not in the TPM or not attested', '', unattested, { most: 0 }),
      ],
    };
  },
};

export const PROVISION_ROWS: readonly Row[] = [G19, G20, G21, G22];
