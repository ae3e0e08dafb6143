import { cpSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import {
  type IdentityService,
  type IdentityServiceOptions,
  type JoinedDevice,
  joinDevice,
  startIdentityService,
} from '../../../src/testing/index.ts';
import { temporaryDirectory } from '../../temporary-directory.ts';

/** The user of the tests. */
export const ADA = { upn: 'ada@contoso.test', password: 'correct horse battery' };

/** An identity service in this process, a joined device, and the files and options that keyprov needs to use it. */
export interface ServiceWorld extends AsyncDisposable {
  readonly path: string;
  readonly service: IdentityService;
  readonly device: JoinedDevice;
  /** Options that name the service and the device. */
  readonly serviceArgs: readonly string[];
  /** These options with store and user, for `keyprov provision`. */
  readonly runArgs: readonly string[];
  readonly store: string;
  /** Options for a virtual TPM that keeps its state. */
  readonly tpmArgs: readonly string[];
  /** Writes a file that only the owner can read. Returns its path. */
  file(name: string, content: string): string;
  /** Names of all files below the directory whose content matches. */
  filesWith(pattern: RegExp): string[];
}

/** Starts everything in a temporary directory. Services in one test file share a CA unless they specify a tenant. */
export async function startServiceWorld(options: Partial<IdentityServiceOptions> = {}): Promise<ServiceWorld> {
  const directory = temporaryDirectory();
  const { path } = directory;
  const file = (name: string, content: string): string => {
    writeFileSync(join(path, name), content, { mode: 0o600 });
    return join(path, name);
  };
  if (options.tenantId === undefined) await copyMadeKeys(join(path, 'service'));
  const service = await startIdentityService({
    ...{ users: [ADA], directory: join(path, 'service'), pollIntervalS: 0 },
    // Requests contain an attestation by an uncertified key.
    attestation: 'ignore',
    ...options,
  });
  const device = await joinDevice(service.url, { ca: service.ca, tenant: service.tenantId, user: ADA });
  const store = join(path, 'store');
  const serviceArgs = [
    ...['--service', service.url, '--tenant', service.tenantId, '--service-ca', file('ca.pem', service.ca)],
    ...['--device-cert', file('device.pem', device.certificate), '--device-key', file('key.pem', device.privateKey)],
  ];
  return {
    ...{ path, service, device, store, serviceArgs, file },
    runArgs: [...serviceArgs, '--store', store, '--user', ADA.upn],
    tpmArgs: ['--tpm', `libtpms:${join(path, 'tpm')}`],
    filesWith: (pattern) =>
      readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((name) => {
        const full = join(path, name);
        return statSync(full).isFile() && pattern.test(readFileSync(full, 'latin1'));
      }),
    [Symbol.asyncDispose]: async () => {
      await service.close();
      directory[Symbol.dispose]();
    },
  };
}

let made: Promise<ReturnType<typeof temporaryDirectory>> | undefined;
afterAll(async () => (await made)?.[Symbol.dispose]());

/** The service's keys and certificates. They take longer to make than most tests run, so a test file makes them once. */
async function copyMadeKeys(path: string): Promise<void> {
  const make = async () => {
    const directory = temporaryDirectory();
    await (await startIdentityService({ users: [], directory: directory.path })).close();
    return directory;
  };
  made ??= make();
  cpSync((await made).path, path, { recursive: true });
}

/** Names of the key files and run journals in a store. */
export function storeFiles(store: string): string[] {
  return readdirSync(store)
    .filter((name) => /^(key|run)-/.test(name))
    .map((name) => name.replace(/-.*$/, ''));
}
