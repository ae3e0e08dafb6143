import { randomUUID } from 'node:crypto';
import { equal, fromBase64 } from '../src/bytes.ts';
import { digest } from '../src/crypto/kdf.ts';
import { ServiceError, type ServiceErrorOptions } from '../src/errors/service-error.ts';
import type { ChallengeRequest, KeyRegistrar } from '../src/registration/key-registrar.ts';

/** A registered key in the service. */
export interface ServedKey {
  readonly kid: string;
  readonly user: string;
  readonly kngc: string;
}

/** The fate of one request: served, refused before or after the key is stored, or stored for another user. */
export type RegistrarFault = 'none' | { readonly before: Error } | { readonly after: Error } | { readonly upn: string };

/** A registrar whose service is in memory. Like a real one, it recognizes a key that is already registered. */
export class FakeRegistrar implements KeyRegistrar {
  readonly address = 'https://service.test/EnrollmentServer/key/';
  readonly resource = 'urn:ms-drs:service.test';
  readonly tenant = 'contoso.test';
  readonly keys: ServedKey[] = [];
  /** The fates of the next requests, in order. */
  readonly faults: RegistrarFault[] = [];
  /** Every request that arrived. */
  readonly requests: { readonly token: string; readonly clientRequestId: string; readonly body: string }[] = [];
  /** For whom challenges were requested, in words. */
  readonly asked: string[] = [];
  /** The requested removals, in words. */
  readonly takenBack: string[] = [];
  unregister: NonNullable<KeyRegistrar['unregister']> | undefined = async ({ user, kid, keyId }) => {
    this.takenBack.push(`${kid} of ${user}`);
    const at = this.keys.findIndex((key) => key.kid === kid && key.user === user);
    const key = this.keys[at];
    if (key === undefined) return 'absent';
    const isIt = equal(digest('sha256', fromBase64(key.kngc)), keyId);
    if (!isIt) throw serviceError('service-untrusted');
    this.keys.splice(at, 1);
    return 'deleted';
  };

  async challenge({ user, deviceId, token }: ChallengeRequest): Promise<Uint8Array<ArrayBuffer>> {
    this.asked.push(`${user} on ${deviceId}, ${token}`);
    return crypto.getRandomValues(new Uint8Array(32));
  }

  async register({ user, body, clientRequestId, token }: Parameters<KeyRegistrar['register']>[0]) {
    this.requests.push({ token, clientRequestId, body });
    const fault = this.faults.shift() ?? 'none';
    if (typeof fault === 'object' && 'before' in fault) throw fault.before;
    const owner = typeof fault === 'object' && 'upn' in fault ? fault.upn : user;
    const { kngc } = JSON.parse(body);
    let key = this.keys.find((known) => known.user === owner && known.kngc === kngc);
    if (key === undefined) {
      key = { kid: randomUUID(), user: owner, kngc };
      this.keys.push(key);
    }
    if (typeof fault === 'object' && 'after' in fault) throw fault.after;
    if (owner !== user) throw serviceError('service-answer', { misplaced: { upn: owner, kid: key.kid } });
    return { kid: key.kid, upn: owner, clientRequestId, further: {} };
  }
}

/** A service's error. */
export function serviceError(
  code: ConstructorParameters<typeof ServiceError>[0],
  options: Partial<ServiceErrorOptions> = {},
): ServiceError {
  return new ServiceError(code, `the service: ${code}`, { retry: 'none', outcomeUnknown: false, ...options });
}
