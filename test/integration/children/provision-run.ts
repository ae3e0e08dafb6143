/**
 * Provisions a key with the options in the first argument (JSON). If `killAt` is given, kills itself at that border (counted
 * from 1). Borders are before and after each file change and each request to the service, before each TPM command, and at each
 * event. Prints `start`, and the number of borders at the end.
 */
import { writeSync } from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { openKeyStore } from '../../../src/keys/key-store.ts';
import { definePolicy } from '../../../src/policy/index.ts';
import { provision } from '../../../src/provisioning/provision.ts';
import { openKeyRegistrar } from '../../../src/registration/open-key-registrar.ts';
import { createServiceFetch } from '../../../src/registration/service-fetch.ts';
import { openTpm } from '../../../src/tpm/open-tpm.ts';
import type { TpmTransport } from '../../../src/tpm/transport.ts';

const given: {
  store: string;
  tpm: string;
  url: string;
  tenant: string;
  ca: string;
  user: string;
  deviceId: string;
  token: string;
  pin: string;
  algorithm: 'rsa-2048' | 'p-256';
  killAt?: number;
} = JSON.parse(process.argv[2] ?? '');

let borders = 0;
function border(): void {
  borders += 1;
  if (borders === given.killAt) process.kill(process.pid, 'SIGKILL');
}

async function between<T>(work: () => Promise<T>): Promise<T> {
  border();
  const result = await work();
  border();
  return result;
}

const { rename, link, unlink } = fs;
fs.rename = (from, to) => between(() => rename(from, to));
fs.link = (from, to) => between(() => link(from, to));
fs.unlink = (path) => between(() => unlink(path));
syncBuiltinESMExports();

writeSync(1, 'start\n');
const inner = createServiceFetch({ ca: given.ca });
const registrar = await openKeyRegistrar({
  url: given.url,
  tenant: given.tenant,
  timeoutMs: 60_000,
  fetch: (input, init) => between(() => inner(input, init)),
});

/** The border after a command would be the one before the next command. */
function withBorders(transport: TpmTransport): TpmTransport {
  const { kind, address, emulator, managed } = transport;
  return {
    ...{ kind, address, emulator, managed },
    send: (command, options) => {
      border();
      return transport.send(command, options);
    },
    close: () => transport.close(),
  };
}

const outcome = await provision({
  user: given.user,
  deviceId: given.deviceId,
  store: await openKeyStore(given.store),
  registrar,
  policy: definePolicy({ hardware: 'required', algorithm: given.algorithm, attestation: 'required' }),
  profile: 'attested',
  sources: { tpm: (options) => openTpm(given.tpm, { ...options, wrap: withBorders }) },
  prerequisites: 'skip',
  mfa: async () => ({ status: 'passed', token: given.token }),
  pin: async () => new TextEncoder().encode(given.pin),
  onEvent: border,
});
await inner.close();
writeSync(1, `${outcome.status} ${borders}\n`);
