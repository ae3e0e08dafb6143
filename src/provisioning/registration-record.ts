import { checkObject, equal, toBase64 } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { keyIdOf } from '../formats/windows/key-registration.ts';
import { JsonMembers, type JsonObject } from '../json.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import { checkStore, type KeyStore } from '../keys/key-store.ts';
import { checkMembers } from '../known-members.ts';

/** Record of a registration, kept with the key: the facts that Windows keeps, and those needed to find it again. */
export interface RegistrationRecord {
  /** User principal name. */
  readonly user: string;
  /** GUID of the device. */
  readonly deviceId: string;
  /** The registration number that the service assigned: a GUID in Entra ID. Not the Key ID of the directory. */
  readonly kid: string;
  /** SHA-256 of the public key blob: the Key ID of the directory, and `kid` of assertions. 32 bytes. */
  readonly keyId: Uint8Array;
  /** `none`: nothing proves where the key is. `certified`: a TPM's statement was sent. */
  readonly attestationLevel: 'none' | 'certified';
  /** The attestation key: `none` if no attestation was sent, `uncertified`, or `certified` by an attestation CA. */
  readonly aikStatus: 'none' | 'uncertified' | 'certified';
  /** Domain in the user principal name, which is that of the user's identity provider. */
  readonly domain: string;
  /** Tenant; empty if the service has none. */
  readonly tenant: string;
  /** Address of the key registration service. */
  readonly service: string;
  /** When the service accepted the key. */
  readonly registered: Date;
  /** Opaque context from the service, to be kept and sent to a domain controller. */
  readonly pctx?: string;
}

const ANNOTATION = 'registration';

export function registrationToJson(registration: RegistrationRecord): JsonObject {
  const { user, deviceId, kid, keyId: id, attestationLevel, aikStatus, domain, tenant, service } = registration;
  const texts = { user, deviceId, kid, keyId: toBase64(id), attestationLevel, aikStatus, domain, tenant, service };
  const { registered, pctx } = registration;
  return { ...texts, registered: registered.toISOString(), ...(pctx !== undefined && { pctx }) };
}

export function registrationFromJson(members: JsonMembers): RegistrationRecord {
  const registered = new Date(members.text('registered'));
  if (Number.isNaN(registered.getTime())) throw new TypeError('registered is not a time');
  return {
    user: members.text('user'),
    deviceId: members.text('deviceId'),
    kid: members.text('kid'),
    keyId: members.base64('keyId'),
    attestationLevel: members.oneOf('attestationLevel', ['none', 'certified']),
    aikStatus: members.oneOf('aikStatus', ['none', 'uncertified', 'certified']),
    domain: members.text('domain'),
    tenant: members.text('tenant'),
    service: members.text('service'),
    registered,
    ...(members.has('pctx') && { pctx: members.text('pctx') }),
  };
}

/** Returns the record of a key with its registration, and with user and device from it. */
export function withRegistration(record: KeyRecord, registration: RegistrationRecord): KeyRecord {
  const { user, deviceId } = registration;
  const annotations = { ...record.annotations, [ANNOTATION]: registrationToJson(registration) };
  return { user, deviceId, ...record, annotations };
}

/**
 * Reads the registration of a key; undefined if the key has none.
 * @throws KeyprovError `store-invalid` if it is damaged or belongs to another key.
 */
export function readRegistration(record: KeyRecord): RegistrationRecord | undefined {
  checkObject(record, 'the key record', 'annotations:object');
  const json = record.annotations[ANNOTATION];
  if (json === undefined) return undefined;
  let registration: RegistrationRecord;
  try {
    registration = registrationFromJson(new JsonMembers(ANNOTATION, json));
  } catch (cause) {
    throw mismatch(record, `is damaged: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
  if (!equal(registration.keyId, keyIdOf(record.publicKey))) throw mismatch(record, 'belongs to another key');
  return registration;
}

function mismatch({ id }: KeyRecord, problem: string, cause?: unknown): KeyprovError {
  return new KeyprovError('store-invalid', `the registration of the key ${id} ${problem}`, {
    cause,
    remedy: 'unregister it at the service, remove its record, and provision a new key',
  });
}

/** A registered key in a store. */
export interface RegisteredKey {
  readonly record: KeyRecord;
  readonly registration: RegistrationRecord;
}

/**
 * Lists the registered keys of a store, or of one user or device. A damaged registration of another user is not an
 * error.
 * @throws KeyprovError `store-invalid`, `not-private`, `store-io`; TypeError for an unknown member of the choice
 */
export async function listRegistrations(
  store: KeyStore,
  of: { readonly user?: string | undefined; readonly deviceId?: string | undefined } = {},
): Promise<RegisteredKey[]> {
  checkStore('listRegistrations', store);
  const { user, deviceId } = checkMembers('listRegistrations', of, 'user:text? deviceId:text?');
  const { records, damaged } = await store.list();
  const [first] = damaged;
  if (first !== undefined) throw first;
  return records.flatMap((record) => {
    let registration: RegistrationRecord | undefined;
    try {
      registration = readRegistration(record);
    } catch (error) {
      // It hides no registration of another user.
      if (record.user === undefined || isSame(record.user, user)) throw error;
    }
    if (registration === undefined) return [];
    const isMeant = isSame(registration.user, user) && isSame(registration.deviceId, deviceId);
    return isMeant ? [{ record, registration }] : [];
  });
}

/** Whether a user or device is the wanted one, if one is wanted. Case is ignored. */
export const isSame = (has: string | undefined, wanted: string | undefined): boolean =>
  wanted === undefined || has?.toLowerCase() === wanted.toLowerCase();
