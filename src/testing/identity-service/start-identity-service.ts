import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { utf8 } from '../../bytes.ts';
import { encodePem } from '../../crypto/pem.ts';
import { undoOnFailure, withCleanup } from '../../errors.ts';
import { checkMembers } from '../../known-members.ts';
import type { SignalOptions } from '../../signal.ts';
import { temporaryDirectory } from '../../storage/temporary-directory.ts';
import { openAuthority } from './authority.ts';
import type { ServiceDevice } from './device-table.ts';
import type { Intercept } from './intercept.ts';
import type { OutboxEntry, ServiceKey } from './key-table.ts';
import { listen, type RequestLogEntry } from './listen.ts';
import { type MfaControl, MfaSimulation } from './mfa.ts';
import { routesOf } from './routes.ts';
import { SYNC_INTERVAL_MS, schedulerText } from './scheduler-text.ts';
import type { ServiceContext } from './service-context.ts';
import type { IdentityServiceOptions, ServiceUser } from './service-options.ts';
import { openState, type ServiceState } from './state.ts';
import { Synchronization, type SyncResult } from './sync.ts';
import { createTokenIssuer } from './tokens.ts';
import { ServiceUsers } from './users.ts';

/** An identity service that runs in this process. */
export interface IdentityService extends AsyncDisposable {
  /** `https://localhost:PORT`, without a slash at the end. */
  readonly url: string;
  readonly port: number;
  /** GUID. */
  readonly tenantId: string;
  /** The root of all its certificates, in PEM. Clients must trust it. */
  readonly ca: string;
  /** Controls how users answer requests for a second factor. */
  readonly mfa: MfaControl;
  /** The registered keys. */
  keys(): ServiceKey[];
  /** The joined devices. */
  devices(): ServiceDevice[];
  /** The synchronization tasks, open and done. */
  outbox(): OutboxEntry[];
  /** The requests so far, in the order of their responses. */
  readonly requests: readonly RequestLogEntry[];
  /** Adds a user, or replaces the user with that name. */
  addUser(user: ServiceUser): void;
  /**
   * Enables or disables a device. For a disabled device, the service issues no token with its device ID, registers no
   * key, and accepts no sign-in with a key. False for an unknown id.
   */
  setDeviceEnabled(deviceId: string, enabled: boolean): boolean;
  /** Injects faults into requests from now on; without an argument, stops injecting. */
  setIntercept(intercept?: Intercept): void;
  /** Responds with 429 to the next requests to the simulated Microsoft Graph. */
  throttleGraph(requests: number, retryAfterS?: number): void;
  /**
   * Writes due keys to the directory and removes deleted ones, as `Start-ADSyncSyncCycle` does. Overlapping calls share
   * one cycle.
   * @throws KeyprovError `service-refused` if the directory refuses the account `connector`; TypeError without
   * `onPremises`.
   */
  runSyncCycle(options?: SignalOptions): Promise<SyncResult[]>;
  /** Runs cycles at an interval, until `stopSync` or `close`. `onCycle` gets each cycle's results. */
  startSync(options?: SyncTimerOptions): void;
  /** Stops the cycles started by `startSync`. */
  stopSync(): void;
  /** The output of `Get-ADSyncScheduler`, for `parseAdSyncScheduler`. */
  schedulerText(): string;
  /**
   * Ends the service. Keeps the state for the next start, unless its directory is temporary. Idempotent.
   * @throws TypeError if the intercept function returned a fault that does not exist.
   */
  close(): Promise<void>;
}

/** Options of `IdentityService.startSync`. */
export interface SyncTimerOptions {
  /** Interval of the cycles, in milliseconds by the clock of this machine. Default: `syncIntervalMs`. */
  readonly intervalMs?: number | undefined;
  /** Called with the results of each cycle, or with the error that prevented it. */
  readonly onCycle?: ((outcome: readonly SyncResult[] | Error) => void) | undefined;
}

/**
 * Starts an identity service for tests and demonstrations, over https on 127.0.0.1. It handles Windows Hello for
 * Business keys as Entra ID, its device registration service and Entra Connect do. Use it on one machine only, without
 * real secrets.
 *
 * @throws KeyprovError `library-missing` if node-sqlite3-wasm or jose is not installed; `state-in-use` if another
 * service has the directory, `state-invalid` or `state-io` if it is not usable; `service-unreachable` if the port is
 * taken; TypeError for an unknown option.
 *
 * @example
 * ```ts
 * import { joinDevice, startIdentityService } from 'keyprov/testing';
 *
 * const ada = { upn: 'ada@contoso.test', password: 'correct horse' };
 * await using service = await startIdentityService({ users: [ada] });
 * const device = await joinDevice(service.url, { ca: service.ca, tenant: service.tenantId, user: ada });
 * console.log(device.deviceId, service.devices());
 * ```
 */
export async function startIdentityService(options: IdentityServiceOptions): Promise<IdentityService> {
  options = checkMembers(
    'startIdentityService',
    options,
    'users:objects directory:text? port:number? tenantId:text? attestation:=ignore|verify|require? akRoots:certificates? ekRoots:certificates?',
    'ekAllowList:identities? allowedManufacturers:texts? acceptSha1:boolean? minTier:=software|virtual|tpm-no-ek-certificate|ek-certificate|activated? profile:=strict|attested?',
    'mfaClaims:texts? mfaMaxAgeMs:number? deviceCodeLifetimeS:number? pollIntervalS:number? syncIntervalMs:number? onPremises',
    'domainController:text? pageSize:number?',
    'intercept:function? now:function? signal',
  );
  const { signal, directory: kept } = options;
  signal?.throwIfAborted();
  const temporary = kept === undefined ? await temporaryDirectory('keyprov-service-') : undefined;
  const removeTemporary = async () => {
    if (temporary !== undefined) await rm(temporary, { recursive: true, force: true });
  };
  const start = async (): Promise<IdentityService> => {
    const state = await openState(kept ?? temporary ?? '');
    return await undoOnFailure(
      () => startWith(state, options, removeTemporary),
      () => state.close(),
    );
  };
  return await undoOnFailure(start, removeTemporary);
}

async function startWith(
  state: ServiceState,
  options: IdentityServiceOptions,
  removeTemporary: () => Promise<void>,
): Promise<IdentityService> {
  const { now = () => new Date(), port = 0, users: given, signal } = options;
  const authority = await openAuthority(state);
  signal?.throwIfAborted();
  const tenantId = tenantOf(state, options.tenantId);
  let url = '';
  const origin = () => url;
  const users = new ServiceUsers(given);
  const context: ServiceContext = {
    ...{ options, now, origin, tenantId, state, authority, users },
    tokens: await createTokenIssuer({
      ...{ key: authority.tokenKey, tenantId, now },
      issuer: () => `${url}/${tenantId}/`,
    }),
    mfa: new MfaSimulation(users, state.deviceCodes, now),
    throttle: { requests: 0, retryAfterS: 0 },
  };
  const sync = new Synchronization(context);
  const ca = encodePem('CERTIFICATE', authority.ca.certificate);
  let intercept = options.intercept;
  let mistake: TypeError | undefined;
  const checked: Intercept = async (request) => {
    const fault = (await intercept?.(request)) ?? 'continue';
    if (typeof fault === 'object' || ['continue', 'drop-before', 'drop-after'].includes(fault)) return fault;
    mistake ??= new TypeError("intercept must return 'continue', 'drop-before', 'drop-after' or a response");
    return { status: 500, body: { error: 'server_error', error_description: mistake.message } };
  };
  const listener = await listen({
    ...{ port, ca, tls: authority.tls, routes: routesOf(context) },
    deviceOf: (certificate) => state.devices.withCertificate(certificate),
    intercept: checked,
  });
  url = `https://localhost:${listener.port}`;
  let timer: NodeJS.Timeout | undefined;
  const stopSync = () => {
    clearInterval(timer);
    timer = undefined;
  };
  const close = async () => {
    stopSync();
    await sync.stop();
    await withCleanup(
      () => listener.close(),
      () => withCleanup(() => state.close(), removeTemporary),
    );
    if (mistake !== undefined) throw mistake;
  };
  return {
    ...{ url, port: listener.port, tenantId, ca, mfa: context.mfa },
    requests: listener.requests,
    keys: () => state.keys.list(),
    devices: () => state.devices.all(),
    outbox: () => state.keys.outbox(),
    addUser: (user) => users.add(user),
    setDeviceEnabled: (deviceId, enabled) => state.devices.setEnabled(deviceId, enabled),
    setIntercept: (next) => {
      if (next !== undefined && typeof next !== 'function') throw new TypeError('setIntercept needs a function');
      intercept = next;
    },
    throttleGraph: (requests, retryAfterS = 1) => Object.assign(context.throttle, { requests, retryAfterS }),
    runSyncCycle: (syncOptions) => sync.run(syncOptions),
    startSync: ({ intervalMs = options.syncIntervalMs ?? SYNC_INTERVAL_MS, onCycle = () => {} } = {}) => {
      stopSync();
      timer = setInterval(() => void sync.run().then(onCycle, onCycle), intervalMs).unref();
    },
    stopSync,
    schedulerText: () => schedulerText(context),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** The tenant of the service. A kept state keeps its tenant. */
function tenantOf(state: ServiceState, wanted: string | undefined): string {
  const kept = state.setting('tenant');
  const tenantId = wanted ?? (kept === undefined ? randomUUID() : new TextDecoder().decode(kept));
  state.setSetting('tenant', utf8(tenantId));
  return tenantId;
}
