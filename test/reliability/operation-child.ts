/**
 * Runs one operation with the options in the first argument (JSON) and prints the outcome. A border is the point before or
 * after a file change, a request to the service or a TPM command. At border `stopAt` (counted from 1) the process prints
 * `stopped` and waits to be killed. At `terminateAt` it sends itself SIGTERM, which aborts the work as in the command line.
 */
import { writeSync } from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { KeyprovError } from '../../src/errors.ts';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { openRecoverySecret } from '../../src/provisioning/pin-recovery.ts';
import { openKeyRegistrar } from '../../src/registration/open-key-registrar.ts';
import { createServiceFetch } from '../../src/registration/service-fetch.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import type { TpmTransport } from '../../src/tpm/transport.ts';
import { OPERATIONS, WrongResult } from './operations.ts';

/** The instructions for the child. */
export interface ChildOrder {
  readonly operation: string;
  readonly directory: string;
  readonly tpm: string;
  readonly id: string;
  readonly user: string;
  readonly deviceId: string;
  readonly service: { readonly url: string; readonly tenant: string; readonly ca: string; readonly token: string };
  readonly device: { readonly certificate: string; readonly privateKey: string };
  readonly recoveryKey: string;
  readonly stopAt?: number | undefined;
  readonly terminateAt?: number | undefined;
}

const order: ChildOrder = JSON.parse(process.argv[2] ?? '');
let borders = 0;

const TERMINATED = new Error('ended by SIGTERM');
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort(TERMINATED));

function border(): void {
  borders += 1;
  if (borders === order.terminateAt) process.kill(process.pid, 'SIGTERM');
  if (borders !== order.stopAt) return;
  writeSync(1, 'stopped\n');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
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

function withBorders(transport: TpmTransport): TpmTransport {
  const { kind, address, emulator, managed } = transport;
  return {
    ...{ kind, address, emulator, managed, close: () => transport.close() },
    send: (command, options) => between(() => transport.send(command, options)),
  };
}

async function run(): Promise<string> {
  const { url, tenant, ca, token } = order.service;
  await using inner = createServiceFetch({ ca, clientCertificate: order.device });
  try {
    await using tpm = await openTpm(order.tpm, {
      ...{ wrap: withBorders, marksDirectory: order.directory, lifetime: stop.signal, signal: stop.signal },
    });
    await OPERATIONS[order.operation]?.({
      ...{
        tpm,
        id: order.id,
        user: order.user,
        deviceId: order.deviceId,
        signal: stop.signal,
        store: await openKeyStore(order.directory),
      },
      registrar: await openKeyRegistrar({ url, tenant, fetch: (input, init) => between(() => inner(input, init)) }),
      token: async () => token,
      recover: async (request) => openRecoverySecret(request, order.recoveryKey),
    });
    return 'correct';
  } catch (error) {
    if (error === TERMINATED) return 'typed: ended by the signal';
    if (error instanceof WrongResult) return `wrong ${error.message}`;
    return error instanceof KeyprovError
      ? `typed ${error.code}`
      : `other ${error instanceof Error ? error.stack : error}`;
  }
}

const said = await run();
writeSync(1, `${JSON.stringify({ said, borders })}\n`);
