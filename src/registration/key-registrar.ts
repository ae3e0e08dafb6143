import type { Bytes } from '../bytes.ts';
import type { SignalOptions } from '../signal.ts';
import type { RegisterKeyOptions, RegistrationAnswer, RegistrationRequest } from './register-key.ts';
import type { RegisteredKeyId } from './take-back.ts';

/** Registers keys with an identity service, for a run. `openKeyRegistrar` makes one for services of MS-KPP. */
export interface KeyRegistrar {
  /** Address of the key registration, for records and messages. */
  readonly address: string;
  /** The audience that a token must have. */
  readonly resource: string;
  /** Tenant; empty if the service has none. */
  readonly tenant: string;
  /**
   * Form of the request: `strict` for a service that refuses unknown members. Absent: nothing is known, and `provision`
   * sends the attestation.
   */
  readonly profile?: 'strict' | 'attested' | undefined;
  /** Returns 1 to 64 fresh bytes, over which the TPM attests the key. */
  challenge(options?: SignalOptions): Promise<Bytes>;
  /**
   * Registers a key. Registering the same key of the same user and device again must not make a second one.
   * @throws ServiceError, whose `retry` and `outcomeUnknown` say how to continue.
   */
  register(
    request: RegistrationRequest,
    options?: Pick<RegisterKeyOptions, 'onRetry' | 'signal'>,
  ): Promise<RegistrationAnswer>;
  /**
   * Unregisters a key. Absent if the service cannot. `kid` comes from the service: an implementation that removes the
   * key at another service must first prove there that this key has that Key ID (`keyId`).
   * @throws ServiceError `service-untrusted` if it is another key, which stays.
   */
  readonly unregister?: ((key: RegisteredKeyId, options?: SignalOptions) => Promise<'deleted' | 'absent'>) | undefined;
}
