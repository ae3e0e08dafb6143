import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { openEndorsementKey } from '../../../attestation/endorsement-key.ts';
import { withCleanup } from '../../../errors.ts';
import type { SignalOptions } from '../../../signal.ts';
import type { IdentityService, JoinedDevice, TestDirectory } from '../../../testing/index.ts';
import { encode } from '../../../tpm/codec/index.ts';
import { openTpm } from '../../../tpm/open-tpm.ts';
import { TPMT_PUBLIC } from '../../../tpm/structures/object.ts';
import type { Progress } from '../../terminal/progress.ts';

/** The service, directory and device of the demo. */
export interface DemoWorld {
  /** User principal name. */
  readonly user: string;
  readonly service: IdentityService;
  readonly directory: TestDirectory;
  readonly device: JoinedDevice;
}

const USER = 'ada@contoso.test';
/** How long the simulated authenticator takes to approve. */
const APPROVAL_MS = 1000;
const SYNC_INTERVAL_MS = 2000;
const CYCLE_MS = 500;

/** The address of the TPM of a demo. */
export const demoTpm = (directory: string): string => `libtpms:${join(directory, 'tpm')}`;

/** Starts a directory and a service, joins a device, runs `work`, and stops both. */
export async function withDemoWorld<T>(
  path: string,
  { progress, signal }: { readonly progress: Progress; readonly signal: AbortSignal },
  work: (world: DemoWorld) => Promise<T>,
): Promise<T> {
  // The kit for tests is loaded for the demo only.
  const { joinDevice, startDirectory, startIdentityService } = await import('../../../testing/index.ts');
  progress.begin('tpm', 'starting a virtual one in this process');
  const endorsementKey = await readEndorsementKey(path, { signal });
  progress.end(`libtpms, with its state in ${join(path, 'tpm')}`);
  progress.begin('directory', 'starting slapd');
  const directory = await startDirectory({ directory: join(path, 'directory'), signal });
  return await withCleanup(
    async () => {
      await directory.addUser({ upn: USER });
      progress.end(`${directory.connection.url}, user ${USER}`);
      progress.begin('service', 'starting the identity service');
      const password = randomBytes(16).toString('hex');
      const service = await startIdentityService({
        ...{ directory: join(path, 'service'), onPremises: directory.connection, signal },
        users: [{ upn: USER, password, mfa: { answer: 'approve', afterMs: APPROVAL_MS } }],
        ...{ attestation: 'require', ekAllowList: [{ pubArea: endorsementKey }] },
        ...{ syncIntervalMs: SYNC_INTERVAL_MS, pollIntervalS: 1 },
      });
      return await withCleanup(
        async () => {
          progress.end(`${service.url}, tenant ${service.tenantId}`);
          service.startSync({ intervalMs: CYCLE_MS });
          progress.begin('join', 'joining this device');
          const user = { upn: USER, password };
          const device = await joinDevice(service.url, { ca: service.ca, tenant: service.tenantId, user, signal });
          progress.end(`device ${device.deviceId}`);
          return await work({ user: USER, service, directory, device });
        },
        () => service.close(),
      );
    },
    () => directory.close(),
  );
}

/** The key by which the attestation CA of the demo knows the TPM. */
async function readEndorsementKey(path: string, { signal }: SignalOptions): Promise<Uint8Array> {
  const tpm = await openTpm(demoTpm(path), { signal, lifetime: signal });
  return await withCleanup(
    async () => {
      const ek = await openEndorsementKey(tpm, { signal });
      await ek.release();
      return encode(TPMT_PUBLIC, ek.publicArea);
    },
    () => tpm.close(),
  );
}
