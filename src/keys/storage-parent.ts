import { EMPTY, equal, toHex } from '../bytes.ts';
import { isTpmError } from '../errors/tpm-error.ts';
import { KeyprovError, withCleanup } from '../errors.ts';
import type { Policy } from '../policy/index.ts';
import type { SignalOptions } from '../signal.ts';
import { decode, encode } from '../tpm/codec/index.ts';
import { CreatePrimary } from '../tpm/commands/hierarchy.ts';
import { Create, ReadPublic } from '../tpm/commands/object.ts';
import { SRK_HANDLE, TPM_ALG, TPM_PT, TPM_RH } from '../tpm/constants.ts';
import { firstSupported, isUnsupported } from '../tpm/first-supported.ts';
import { withHiddenAuth } from '../tpm/hidden-auth.ts';
import { objectName } from '../tpm/names.ts';
import type { Authorization } from '../tpm/session.ts';
import type { SaltKey } from '../tpm/start-session.ts';
import { TPM2B_PUBLIC, type TpmtPublic } from '../tpm/structures/object.ts';
import { STORAGE_ALGORITHMS, srkTemplate } from '../tpm/templates.ts';
import type { Tpm } from '../tpm/tpm.ts';
import type { TpmObject } from '../tpm/tpm-object.ts';
import { TPM_RC } from '../tpm/tpm-rc.ts';
import type { ProvidedKey } from './provider.ts';
import { spareLastTry } from './tpm-pin.ts';

/** The parent in a key's record. */
export type ParentRecord = NonNullable<ProvidedKey['parent']>;

/** A storage key, ready to make and load keys under it. */
export interface StorageParent {
  readonly handle: number | TpmObject;
  readonly publicArea: TpmtPublic;
  /** The parent as recorded in a key made under it. */
  readonly record: ParentRecord;
  /** The value that authorizes its use; undefined if none is known. */
  readonly authValue: Uint8Array | undefined;
  /** Flushes it if it was loaded for this use. */
  release(): Promise<void>;
}

/** Options for using the parent of a key, and for making it if it is a primary key. */
export interface ParentOptions extends SignalOptions {
  /**
   * The owner hierarchy's authorization. A password (bytes) is proved in a salted session, never sent. Default: the
   * password given to the `Tpm`.
   */
  readonly ownerAuth?: Authorization | undefined;
  /** The storage root key's authorization value. Default: the password given to the `Tpm`. */
  readonly parentAuth?: Uint8Array | undefined;
  /**
   * The key that sessions are salted with. Default: the parent; for making the parent, a primary key of the NULL
   * hierarchy.
   */
  readonly saltKey?: SaltKey | undefined;
}

/** Options of {@link parentForNewKey}. */
type NewKeyParentOptions = ParentOptions & { readonly recordedSrkName?: Uint8Array | undefined };

/**
 * Returns the parent for a new key: the storage root key at 0x81000001 if it is a storage key and has the Name
 * `recordedSrkName` (if given). Otherwise makes the primary of the P-256 storage template (or of the first template
 * that the TPM supports) with an empty `unique`, which gives the same key each time. Makes nothing persistent.
 */
export async function parentForNewKey(tpm: Tpm, options: NewKeyParentOptions = {}): Promise<StorageParent> {
  return (await usableSrk(tpm, options)) ?? (await makePrimary(tpm, options));
}

async function usableSrk(
  tpm: Tpm,
  { recordedSrkName, ...options }: NewKeyParentOptions,
): Promise<StorageParent | undefined> {
  const srk = await readSrk(tpm, options);
  const isWanted = srk !== undefined && (recordedSrkName === undefined || equal(srk.record.name, recordedSrkName));
  return isWanted && isStorageKey(srk.publicArea) ? srk : undefined;
}

/**
 * Returns the parent under which a key was made. If a storage root key was evicted, or replaced at its handle, makes it
 * again from its template for this use: the same template gives the same key until the TPM is cleared.
 * @throws KeyprovError `tpm-identity-changed` if the TPM no longer has it.
 */
export async function parentOf(tpm: Tpm, record: ParentRecord, options: ParentOptions = {}): Promise<StorageParent> {
  const { handle } = record;
  const isMade = handle === TPM_RH.OWNER;
  const parent = isMade ? await makePrimary(tpm, options) : await readSrk(tpm, options, handle);
  if (parent !== undefined && equal(parent.record.name, record.name)) return parent;
  await parent?.release();
  const again = isMade ? undefined : await makeAgain(tpm, record, options);
  if (again !== undefined) return again;
  const which = `the key's parent, 0x${handle.toString(16)} with Name ${toHex(record.name)}, is gone`;
  if (isMade) {
    throw gone(`${which}: the TPM's storage seed now makes another parent`, '');
  }
  const now = parent === undefined ? 'the handle is empty' : `the handle holds ${toHex(parent.record.name)}`;
  throw gone(
    `${which}: ${now}, and none of the usual templates recreates the parent`,
    'the parent was removed, recreate it; if ',
  );
}

const gone = (message: string, orElse: string): KeyprovError =>
  new KeyprovError('tpm-identity-changed', message, {
    remedy: `use the TPM that made the key; if ${orElse}that TPM was cleared, provision a new key`,
  });

/** The bits in which a TPM says that these hierarchies have a password. TPMA_PERMANENT, Part 2, 8.6. */
const [OWNER_SET, ENDORSEMENT_SET] = [1, 2];

/** Object slots that making a key takes: for the parent, and for the key itself. */
const SLOTS = 2;

/** What shows whether a new key can be made: the TPM's properties from TPM_PT_PERMANENT on, and the policy. */
interface Prospect extends Pick<Policy, 'attestation'> {
  readonly properties: ReadonlyMap<number, number>;
}

type ProofOptions = NewKeyParentOptions & { readonly endorsementAuth?: Authorization | undefined };

/**
 * Proves that the TPM can make a key later: that slots are free, and that the passwords are right. Seals a byte under
 * the parent if the parent may have a password, or if the TPM seems to be full. Only a wrong password of a storage root
 * key may count for dictionary attack protection.
 * @throws TpmError `tpm-auth-failed` if a password is missing or wrong, `tpm-out-of-memory`; PinError `pin-last-try`.
 */
export async function proveNewKey(tpm: Tpm, prospect: Prospect, options: ProofOptions): Promise<void> {
  const { properties } = prospect;
  const hasPersistent = properties.get(TPM_PT.HR_PERSISTENT) !== 0;
  const isFull = (properties.get(TPM_PT.HR_TRANSIENT_AVAIL) ?? SLOTS) < SLOTS;
  const mayRefuse = isFull || hasBit(prospect, OWNER_SET);
  await tpm.turn(async () => {
    const srk = hasPersistent ? await usableSrk(tpm, options) : undefined;
    const parent = srk ?? (mayRefuse ? await makePrimary(tpm, options) : undefined);
    if (parent !== undefined) {
      await withCleanup(
        () => sealUnder(tpm, parent, options),
        () => parent.release(),
      );
    }
    await proveAttestation(tpm, prospect, options);
  }, options);
}

/**
 * Proves the endorsement hierarchy's password if policy requires an attestation.
 * @throws TpmError `tpm-auth-failed` if it is missing or wrong; that does not count.
 */
export async function proveAttestation(
  tpm: Tpm,
  prospect: Prospect,
  { endorsementAuth, ...options }: ProofOptions,
): Promise<void> {
  if (prospect.attestation !== 'required' || !hasBit(prospect, ENDORSEMENT_SET)) return;
  await (await makePrimary(tpm, { ...options, ownerAuth: endorsementAuth }, TPM_RH.ENDORSEMENT)).release();
}

const hasBit = ({ properties }: Prospect, bit: number): boolean =>
  ((properties.get(TPM_PT.PERMANENT) ?? 0) & bit) !== 0;

/** Makes the smallest object there is, and throws it away. */
async function sealUnder(tpm: Tpm, parent: StorageParent, { saltKey, signal }: ParentOptions): Promise<void> {
  const { handle, publicArea, record } = parent;
  const inPublic: TpmtPublic = {
    ...{ type: TPM_ALG.KEYEDHASH, nameAlg: publicArea.nameAlg, authPolicy: EMPTY, unique: EMPTY },
    objectAttributes: { fixedTPM: true, fixedParent: true, userWithAuth: true, noDA: true },
    parameters: { scheme: { scheme: TPM_ALG.NULL } },
  };
  const making = {
    inPublic,
    inSensitive: { userAuth: EMPTY, data: new Uint8Array(1) },
    outsideInfo: EMPTY,
    creationPCR: [],
  };
  await tryParentAuth(tpm, parent, { signal }, async (auth = EMPTY) => {
    const options = { saltKey: saltKey ?? { handle, publicArea }, signal };
    await withHiddenAuth(tpm, { handle, name: record.name, auth }, options, (parentHandle) =>
      tpm.run(Create, { parentHandle, ...making }, { signal }),
    );
  });
}

/**
 * Runs `use`, which gives a storage key its password. If the storage root key refuses, runs it once more if a password
 * can be asked for.
 * @throws PinError `pin-last-try` if the try could lock the TPM.
 */
export async function tryParentAuth<T>(
  tpm: Tpm,
  { publicArea, authValue }: Pick<StorageParent, 'publicArea' | 'authValue'>,
  { signal }: SignalOptions,
  use: (authValue: Uint8Array | undefined) => Promise<T>,
): Promise<T> {
  const isProtected = publicArea.objectAttributes.noDA !== true;
  const tryIt = async (value: Uint8Array | undefined): Promise<T> => {
    if (isProtected) await spareLastTry(tpm, { signal });
    return await use(value);
  };
  try {
    return await tryIt(authValue);
  } catch (error) {
    if (!isTpmError(error) || error.hierarchy !== 'storageParent' || authValue !== undefined) throw error;
    const asked = await tpm.askPassword('storageParent', { signal });
    if (asked === undefined) throw error;
    return await tryIt(asked);
  }
}

/** Makes a storage root key again that is no longer at its handle; undefined if no template gives that Name. */
async function makeAgain(tpm: Tpm, record: ParentRecord, options: ParentOptions): Promise<StorageParent | undefined> {
  for (const template of templatesOf(record)) {
    try {
      const made = await createPrimary(tpm, template, options);
      if (equal(made.record.name, record.name)) return { ...made, record };
      await made.release();
    } catch (error) {
      if (!isUnsupported(error)) throw error;
    }
  }
  return undefined;
}

/** The possible templates: its own public area, or the TCG templates if the record has none. */
function templatesOf({ publicArea }: ParentRecord): TpmtPublic[] {
  const areas =
    publicArea === undefined ? [srkTemplate('p-256'), srkTemplate('rsa-2048')] : [decode(TPM2B_PUBLIC, publicArea)];
  return areas.flatMap((area) => [withUnique(area, 'zeros'), withUnique(area, 'empty')]);
}

function withUnique(area: TpmtPublic, unique: 'zeros' | 'empty'): TpmtPublic {
  const bytes = (of: Uint8Array) => new Uint8Array(unique === 'zeros' ? of.length : 0);
  if (area.type === TPM_ALG.ECC) return { ...area, unique: { x: bytes(area.unique.x), y: bytes(area.unique.y) } };
  return { ...area, unique: bytes(area.unique) };
}

async function readSrk(
  tpm: Tpm,
  { parentAuth, signal }: ParentOptions,
  handle = SRK_HANDLE,
): Promise<StorageParent | undefined> {
  try {
    const { outPublic } = await tpm.run(ReadPublic, { objectHandle: handle }, { signal });
    const record = { handle, name: objectName(outPublic), publicArea: encode(TPM2B_PUBLIC, outPublic) };
    const authValue = parentAuth ?? (await tpm.passwordOf(SRK_HANDLE, { signal }));
    return { handle, publicArea: outPublic, record, authValue, release: async () => {} };
  } catch (error) {
    if (isTpmError(error, TPM_RC.HANDLE)) return undefined;
    throw error;
  }
}

/** The primary of the first storage template that the TPM supports, with an empty `unique`. */
async function makePrimary(tpm: Tpm, options: ParentOptions, hierarchy?: number): Promise<StorageParent> {
  return await firstSupported('storage key', STORAGE_ALGORITHMS, (algorithm) =>
    createPrimary(tpm, srkTemplate(algorithm, 'empty'), options, hierarchy),
  );
}

async function createPrimary(
  tpm: Tpm,
  inPublic: TpmtPublic,
  options: ParentOptions,
  handle: number = TPM_RH.OWNER,
): Promise<StorageParent> {
  const { ownerAuth, signal } = options;
  const making = { inSensitive: { userAuth: EMPTY, data: EMPTY }, inPublic, outsideInfo: EMPTY, creationPCR: [] };
  const hierarchy = { handle, ...(ownerAuth && { auth: ownerAuth }) };
  const { objectHandle, outPublic } = await withHiddenAuth(tpm, hierarchy, options, (primaryHandle) =>
    tpm.run(CreatePrimary, { primaryHandle, ...making }, { signal }),
  );
  const record = { handle, name: objectName(outPublic) };
  const release = () => objectHandle.flush();
  return { handle: objectHandle, publicArea: outPublic, record, authValue: undefined, release };
}

/** Checks that a key made with the parent's authorization value can go under it: any object may sit at the handle. */
function isStorageKey({ objectAttributes: has }: TpmtPublic): boolean {
  return Boolean(has.restricted && has.decrypt && has.fixedTPM && has.fixedParent && has.userWithAuth);
}
