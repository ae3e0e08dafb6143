import fs from 'node:fs';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { uint32At, utf8 } from '../src/bytes.ts';
import { openKeyStore } from '../src/keys/key-store.ts';
import { openTpmKeyProvider } from '../src/keys/tpm-provider.ts';
import { definePolicy } from '../src/policy/index.ts';
import { provision } from '../src/provisioning/provision.ts';
import { provisionKey } from '../src/provisioning/provision-key.ts';
import { openTpm } from '../src/tpm/open-tpm.ts';
import { Tpm } from '../src/tpm/tpm.ts';
import type { TpmTransport } from '../src/tpm/transport.ts';
import { openLibtpms } from '../src/tpm/transports/libtpms.ts';
import { startSwtpm } from '../src/tpm/transports/swtpm-process.ts';
import { passingMfa } from '../test/fake-mfa.ts';
import { FakeRegistrar } from '../test/fake-registrar.ts';
import { startCountingProxy } from './counting-proxy.ts';
import { type JobOptions, job, prepareTpm } from './job.ts';
import { wallTime } from './measure.ts';

export const PIN: Uint8Array = utf8('591834');
const policyOf = (attestation: 'required' | 'none') =>
  definePolicy({ algorithm: 'p-256', hardware: 'required', attestation });
const POLICY = policyOf('required');
const DEVICE = '47f577e3-d2d0-4a0a-8aca-e0501098bde4';

/** The commands that a TPM client has sent. */
export interface Traffic {
  readonly commands: number;
  /** How many commands the TPM refused. */
  readonly refused: number;
  readonly connections: number;
}

/** A swtpm that is prepared for the job, warm or cold. */
export async function startPreparedSwtpm() {
  const swtpm = await startSwtpm({ listen: 'tcp' });
  await using tpm = await openTpm(swtpm.address);
  await prepareTpm(tpm);
  return swtpm;
}

/** Counts the commands that a client sends to a new swtpm prepared for the job; by default, the job's. */
export async function countOnWire(client: JobOptions | ((port: number) => Promise<unknown>)): Promise<Traffic> {
  await using swtpm = await startPreparedSwtpm();
  await using proxy = await startCountingProxy(swtpm);
  if (typeof client === 'function') await client(proxy.port);
  else {
    await using tpm = await openTpm(`swtpm:127.0.0.1:${proxy.port}`);
    await job(tpm, client);
  }
  const { commands, answers, connections } = proxy;
  return { commands: commands.length, refused: answers.filter((code) => code !== 0).length, connections };
}

/** A transport that counts commands and measures the TPM's time in microseconds. */
interface CountingTransport extends TpmTransport {
  commands: number;
  refused: number;
  time: number;
}

/** Wraps a transport. */
function countingTransport(inner: TpmTransport): CountingTransport {
  const { kind, address, emulator, managed } = inner;
  return {
    ...{ kind, address, emulator, managed, commands: 0, refused: 0, time: 0 },
    async send(command, options) {
      const begin = wallTime();
      const answer = await inner.send(command, options);
      this.time += wallTime() - begin;
      this.commands += 1;
      if (uint32At(answer, 6) !== 0) this.refused += 1;
      return answer;
    },
    close: () => inner.close(),
  };
}

/** A new TPM behind a counting transport. */
async function countingTpm(kind: 'libtpms' | 'swtpm') {
  const swtpm = kind === 'swtpm' ? await startSwtpm() : undefined;
  const transport = countingTransport(await (swtpm?.open() ?? openLibtpms()));
  const tpm = await Tpm.open(transport);
  const close = async (): Promise<void> => {
    await tpm.close();
    await swtpm?.stop();
  };
  return { tpm, transport, [Symbol.asyncDispose]: close };
}

/** Counts the commands of one signature with a PIN, by a provider that has signed before. */
export async function countPinSignature(kind: 'libtpms' | 'swtpm'): Promise<Omit<Traffic, 'connections'>> {
  await using place = await countingTpm(kind);
  const { tpm, transport } = place;
  const provider = await openTpmKeyProvider(tpm);
  const key = await provider.create({ algorithm: 'p-256', pin: PIN });
  const sign = () => provider.sign(key, { data: utf8('data'), pin: PIN });
  await sign();
  const { commands, refused } = transport;
  await sign();
  return { commands: transport.commands - commands, refused: transport.refused - refused };
}

/** Commands per `provisionKey` call with attestation, for `times` calls one after the other and overlapping. */
export async function countProvisions(times: number) {
  await using place = await countingTpm('libtpms');
  const { tpm, transport } = place;
  let software = 0;
  const one = async (): Promise<void> => {
    const made = await provisionKey({ policy: POLICY, sources: { tpm }, challenge: utf8('challenge') });
    if (made.record.backend !== 'tpm' || made.attestation.status !== 'made') software += 1;
  };
  const counted = async (work: () => Promise<unknown>): Promise<number> => {
    const before = transport.commands;
    await work();
    return (transport.commands - before) / times;
  };
  await one();
  const inRow = await counted(async () => {
    for (let time = 0; time < times; time++) await one();
  });
  const atOnce = await counted(() => Promise.all(Array.from({ length: times }, one)));
  return { inRow, atOnce, unattested: software };
}

/** Counts fsyncs while `work` runs, and measures their time in microseconds. */
export async function countFsyncs(work: () => Promise<unknown>): Promise<{ fsyncs: number; time: number }> {
  const counted = { fsyncs: 0, time: 0 };
  const anyFile = await open(process.execPath);
  const files: Pick<FileHandle, 'sync'> = Object.getPrototypeOf(anyFile);
  await anyFile.close();
  const { fsyncSync } = fs;
  const { sync } = files;
  const count = (begin: number): void => {
    counted.time += wallTime() - begin;
    counted.fsyncs += 1;
  };
  fs.fsyncSync = (fd) => {
    const begin = wallTime();
    fsyncSync(fd);
    count(begin);
  };
  files.sync = async function (this: FileHandle) {
    const begin = wallTime();
    await sync.call(this);
    count(begin);
  };
  syncBuiltinESMExports();
  try {
    await work();
  } finally {
    fs.fsyncSync = fsyncSync;
    files.sync = sync;
    syncBuiltinESMExports();
  }
  return counted;
}

/** Everything that a run needs, in this process: TPM, store on disk, service. */
export async function openProvisioning({ attested = true } = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'keyprov-bench-'));
  const place = await countingTpm('libtpms');
  const store = await openKeyStore(directory);
  const registrar = new FakeRegistrar();
  let users = 0;
  return {
    store,
    transport: place.transport,
    run: async () => {
      const outcome = await provision({
        ...{ user: `user${++users}@contoso.test`, deviceId: DEVICE, store, registrar, prerequisites: 'skip' },
        ...{ policy: policyOf(attested ? 'required' : 'none'), sources: { tpm: place.tpm } },
        ...{ mfa: passingMfa(), pin: async () => PIN.slice() },
      });
      if (outcome.status !== 'registered') throw new Error(`provision: ${outcome.status}`);
      return outcome;
    },
    async [Symbol.asyncDispose]() {
      await place[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}
