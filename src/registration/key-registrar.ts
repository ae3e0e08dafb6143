import type { Bytes } from '../bytes.ts';
import type { SignalOptions } from '../signal.ts';
import type { RegisterKeyOptions, RegistrationAnswer, RegistrationRequest } from './register-key.ts';
import type { RegisteredKeyId } from './take-back.ts';

/** Who registers keys: what a run needs of an identity service. `openKeyRegistrar` makes one for services of MS-KPP. */
export interface KeyRegistrar {
  /** Address of the key registration, for records and messages. */
  readonly address: string;
  /** What a token must be for: the audience. */
  readonly resource: string;
  /** Tenant; empty where the service has none. */
  readonly tenant: string;
  /**
   * The form of the request that it takes; `strict` for a service that is known to refuse members it does not know.
   * Absent: nothing is known, and `provision` sends the attestation.
   */
  readonly profile?: 'strict' | 'attested' | undefined;
  /** 1 to 64 fresh bytes that the TPM shall attest the key over. */
  challenge(options?: SignalOptions): Promise<Bytes>;
  /**
   * Registers a key. Registering the same key of the same user and device again must not make a second one.
   * @throws ServiceError, whose `retry` and `outcomeUnknown` say what may be done next.
   */
  register(
    request: RegistrationRequest,
    options?: Pick<RegisterKeyOptions, 'onRetry' | 'signal'>,
  ): Promise<RegistrationAnswer>;
  /**
   * Takes a key back. Absent where the service offers no way. `kid` is what the service has said: an implementation
   * that removes a key elsewhere first proves there that it is the one with that KeyID.
   * @throws ServiceError `service-untrusted` where it is another one, which stays.
   */
  readonly unregister?: ((key: RegisteredKeyId, options?: SignalOptions) => Promise<'deleted' | 'absent'>) | undefined;
}
