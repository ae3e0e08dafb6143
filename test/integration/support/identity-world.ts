import { authenticateWithDeviceCode } from '../../../src/registration/device-code.ts';
import { discoverServices } from '../../../src/registration/discovery.ts';
import type { GraphOptions } from '../../../src/registration/graph.ts';
import type { KeyRegistrar } from '../../../src/registration/key-registrar.ts';
import { type OpenKeyRegistrarOptions, openKeyRegistrar } from '../../../src/registration/open-key-registrar.ts';
import { createServiceFetch, type ServiceFetch } from '../../../src/registration/service-fetch.ts';
import {
  type IdentityService,
  type IdentityServiceOptions,
  type JoinedDevice,
  joinDevice,
  startIdentityService,
} from '../../../src/testing/index.ts';

/** How long tests wait for this process, which may be busy. */
const timeoutMs = 60_000;
const PASSWORD = 'correct horse';
/** The client identifier of Windows' own client. */
const CLIENT_ID = '29d9ed98-a469-4536-ade2-f981bc1d605e';

/** An identity service with a joined device, for tests of complete runs. */
export interface IdentityWorld extends AsyncDisposable {
  readonly service: IdentityService;
  readonly device: JoinedDevice;
  /** Uses the device's connections. */
  readonly fetch: ServiceFetch;
  /** Microsoft Graph, as an administrator. */
  readonly graph: GraphOptions;
  addUser(upn: string): void;
  /** A registration service token of a user who has just passed MFA on the device. */
  token(upn: string, resource?: string): Promise<string>;
  registrar(options?: Partial<OpenKeyRegistrarOptions>): Promise<KeyRegistrar>;
}

/** Starts the service. Users approve at once. */
export async function startIdentityWorld(options: Omit<IdentityServiceOptions, 'users'> = {}): Promise<IdentityWorld> {
  const admin = { upn: 'admin@contoso.test', password: PASSWORD, administrator: true };
  const service = await startIdentityService({ pollIntervalS: 0, ...options, users: [admin] });
  const { url, ca, tenantId: tenant } = service;
  const device = await joinDevice(url, { ca, tenant, user: admin });
  const fetch = createServiceFetch({ ca, clientCertificate: device });
  const services = await discoverServices(url, { tenant, fetch, timeoutMs });
  const token: IdentityWorld['token'] = async (upn, resource = services.keyProvisioning?.resource ?? '') => {
    const tokenEndpoint = services.authentication?.tokenEndpoint ?? '';
    const demand = { tokenEndpoint, clientId: CLIENT_ID, resource, loginHint: upn };
    // Users have approved before the first poll, so tests need not wait.
    const options = { fetch, timeoutMs, onCode: () => {}, sleep: async () => {} };
    const { accessToken } = await authenticateWithDeviceCode(demand, options);
    return accessToken;
  };
  const graph: GraphOptions = {
    ...{ token: () => token(admin.upn, 'https://graph.microsoft.com'), graphUrl: `${url}/graph/`, fetch, timeoutMs },
  };
  return {
    ...{ service, device, fetch, token, graph },
    addUser: (upn) => service.addUser({ upn, password: PASSWORD }),
    registrar: (more = {}) =>
      openKeyRegistrar({
        ...{ url, tenant, fetch, timeoutMs },
        graph: { token: graph.token, graphUrl: graph.graphUrl },
        ...more,
      }),
    async [Symbol.asyncDispose]() {
      await fetch.close();
      await service.close();
    },
  };
}
