import { checkObject, equal } from '../bytes.ts';
import { ServiceError } from '../errors/service-error.ts';
import { KEY_CREDENTIAL_USAGE } from '../formats/windows/key-credential-link.ts';
import { checkMembers } from '../known-members.ts';
import { deleteHelloMethod, GRAPH_MEMBERS, type GraphOptions, graphReader, readMethodDevice } from './graph.ts';
import { isRegistrationId, peerLine } from './peer-text.ts';

/** A key to unregister. Only the registration number (`kid`) comes from the service. */
export interface RegisteredKeyId {
  /** The user principal name of the user who signed in to register the key. */
  readonly user: string;
  /** The registration service's number for the registration. */
  readonly kid: string;
  /** SHA-256 of the key material, 32 bytes. */
  readonly keyId: Uint8Array;
  /** GUID of the device that has the key. */
  readonly deviceId: string;
}

/**
 * Removes a user's registered key from Entra ID, after Microsoft Graph has shown that it is this key. The registration
 * service chose `kid`, which could belong to another of the user's keys. So the key with that `kid` must belong to the
 * same device, and the user's only key on that device must have the same `keyId`.
 *
 * @returns `absent` if there is no key with that `kid`.
 * @throws ServiceError `service-untrusted` for another key, which stays; `service-answer` for an impossible `kid`; else
 * a `service-…` code.
 */
export async function takeBackKey(key: RegisteredKeyId, options: GraphOptions): Promise<'deleted' | 'absent'> {
  options = checkMembers('takeBackKey', options, GRAPH_MEMBERS);
  const { user, kid, keyId, deviceId } = checkObject(key, 'the key', 'user:string', 'keyId:bytes');
  const given = peerLine(String(kid), 256);
  if (!isRegistrationId(kid)) {
    throw new ServiceError('service-answer', `"${given}" is not a registration number`, { remedy: LOOK });
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
    const isThere = found.some((key) => equal(key.keyId, keyId));
    const problem = isThere ? 'may be another key of the same device' : 'is not the expected key';
    throw new ServiceError(
      'service-untrusted',
      `Microsoft Graph: the key ${given} of ${user} ${problem}, so it was not removed`,
      { remedy: isThere ? OTHERS : LOOK },
    );
  }
  return await deleteHelloMethod(user, kid, options);
}

const LOOK = "list the user's keys (listHelloMethods), and remove those that you do not want (deleteHelloMethod)";
const OTHERS =
  "list the user's keys (listHelloMethods), remove the other keys of this device (deleteHelloMethod), and try again";
