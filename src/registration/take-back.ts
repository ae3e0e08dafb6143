import { equal } from '../bytes.ts';
import { ServiceError } from '../errors/service-error.ts';
import { KEY_CREDENTIAL_USAGE } from '../formats/windows/key-credential-link.ts';
import { deleteHelloMethod, type GraphOptions, graphReader, readMethodDevice } from './graph.ts';
import { isRegistrationId, peerLine } from './peer-text.ts';

/** A key that is to be taken back: all but the number is our own knowledge. */
export interface RegisteredKeyId {
  /** User principal name of the user who signed in for the registration. */
  readonly user: string;
  /** The number that the registration service gave. */
  readonly kid: string;
  /** SHA-256 of the key material, 32 bytes. */
  readonly keyId: Uint8Array;
  /** GUID of the device that has the key. */
  readonly deviceId: string;
}

/**
 * Removes a registered key of the user from Entra ID, when Microsoft Graph has shown that it is this one. The number of
 * the key is the word of the registration service, which could as well name another key of the user: what has that number
 * must be of the same device, and the one key which the user has with that device must have the same KeyID.
 *
 * @returns `absent` when there is nothing with that number.
 * @throws ServiceError `service-untrusted` for another key, which stays; `service-answer` for a number that cannot be one;
 * else a `service-…` code.
 */
export async function takeBackKey(
  { user, kid, keyId, deviceId }: RegisteredKeyId,
  options: GraphOptions,
): Promise<'deleted' | 'absent'> {
  const given = peerLine(String(kid), 256);
  if (!isRegistrationId(kid)) {
    throw new ServiceError('service-answer', `no key can have the Key ID ${given}`, { remedy: LOOK });
  }
  const device = await readMethodDevice(user, kid, options);
  if (device === 'absent') return 'absent';
  const isThisDevice = (id: string | undefined) => id?.toLowerCase() === deviceId.toLowerCase();
  const found = isThisDevice(device)
    ? (await graphReader(options).read(user)).filter(
        (key) => key.usage === KEY_CREDENTIAL_USAGE.NGC && isThisDevice(key.deviceId),
      )
    : [];
  const [only, another] = found;
  if (only === undefined || another !== undefined || !equal(only.keyId, keyId)) {
    const problem = found.some((key) => equal(key.keyId, keyId))
      ? 'may be another one of the same device'
      : 'is another one';
    throw new ServiceError('service-untrusted', `Microsoft Graph: the key ${given} of ${user} ${problem}, and stays`, {
      remedy: LOOK,
    });
  }
  return await deleteHelloMethod(user, kid, options);
}

const LOOK = 'look at Microsoft Graph for the key of this device, and remove it there if it is not wanted';
