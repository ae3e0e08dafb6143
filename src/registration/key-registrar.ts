import type { Bytes } from '../bytes.ts';
import type { SignalOptions } from '../signal.ts';
import type { RegisterKeyOptions, RegistrationAnswer, RegistrationRequest } from './register-key.ts';
import type { RegisteredKeyId } from './take-back.ts';

/** For whom a challenge is: the user who has just authenticated, with the token that shows it. */
export interface ChallengeRequest extends SignalOptions {
  /** User principal name. */
  readonly user: string;
  /** GUID of the device. */
  readonly deviceId: string;
  /** The access token that the registration will also get. */
  readonly token: string;
}

/** Registers keys with an identity service during a run. `openKeyRegistrar` makes one for MS-KPP services. */
export interface KeyRegistrar {
  /**
   * Identifies the key registration service in journals and records, and is compared exactly. Choose a name that never
   * changes, not a URL that may move.
   */
  readonly address: string;
  /** The audience that the token must have. */
  readonly resource: string;
  /** Tenant; empty if the service has none. */
  readonly tenant: string;
  /**
   * The form of the request. Use `strict` for a service that refuses unknown members. Absent: unknown, and `provision`
   * sends the attestation.
   */
  readonly profile?: 'strict' | 'attested' | undefined;
  /** Returns 1 to 64 fresh bytes, over which the TPM attests the key. Each attempt to register gets a challenge of its own. */
  challenge(request: ChallengeRequest): Promise<Bytes>;
  /**
   * Registers a key. Registering the same key of the same user and device again must not create a second registration.
   * `outcomeUnknown` says that an earlier call may have registered it.
   * @throws ServiceError, whose `retry` and `outcomeUnknown` say how to continue. Another error counts as
   * `service-unreachable` with an unknown outcome, unless it is a TypeError or RangeError without a `cause`.
   */
  register(
    request: RegistrationRequest,
    options?: Pick<RegisterKeyOptions, 'onRetry' | 'outcomeUnknown' | 'signal'>,
  ): Promise<RegistrationAnswer>;
  /**
   * Unregisters a key. Absent if the service cannot. `kid` comes from the registration service, so an implementation
   * that removes the key at another service must first check there that the key has the Key ID `keyId`.
   * @throws ServiceError `service-untrusted` if it is another key, which stays.
   */
  readonly unregister?: ((key: RegisteredKeyId, options?: SignalOptions) => Promise<'deleted' | 'absent'>) | undefined;
}
