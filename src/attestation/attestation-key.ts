import { type Bytes, checkObject, EMPTY } from '../bytes.ts';
import { checkMembers } from '../known-members.ts';
import type { SignalOptions } from '../signal.ts';
import { encode } from '../tpm/codec/index.ts';
import type { HandleArg } from '../tpm/command.ts';
import { CreatePrimary } from '../tpm/commands/hierarchy.ts';
import { Create, Load } from '../tpm/commands/object.ts';
import { TPM_RH } from '../tpm/constants.ts';
import { firstSupported } from '../tpm/first-supported.ts';
import { withHiddenAuth } from '../tpm/hidden-auth.ts';
import type { Authorization } from '../tpm/session.ts';
import type { SaltKey } from '../tpm/start-session.ts';
import type { TpmtTkCreation } from '../tpm/structures/base.ts';
import { TPMT_PUBLIC, type TpmsCreationData, type TpmtPublic } from '../tpm/structures/object.ts';
import { akTemplate, type UserKeyAlgorithm } from '../tpm/templates.ts';
import type { Tpm } from '../tpm/tpm.ts';
import type { TpmObject } from '../tpm/tpm-object.ts';

/** How the TPM made an object; the input for TPM2_CertifyCreation. */
export interface Creation {
  readonly creationData: TpmsCreationData;
  readonly creationHash: Uint8Array;
  readonly creationTicket: TpmtTkCreation;
}

/** An attestation key made under a storage key, encrypted for storage outside the TPM. Only that TPM can use it. */
export interface SavedAttestationKey {
  readonly publicArea: TpmtPublic;
  /** The content of its TPM2B_PRIVATE. */
  readonly privateArea: Uint8Array;
  readonly creation: Creation;
}

/** An attestation key loaded in the TPM. It signs only structures that the TPM itself generated. */
export class AttestationKey {
  readonly object: TpmObject;
  readonly publicArea: TpmtPublic;
  readonly creation: Creation;
  /** Store this to load the key again; `undefined` for a primary key, which is made again instead. */
  readonly saved: SavedAttestationKey | undefined;

  constructor(object: TpmObject, parts: Pick<AttestationKey, 'publicArea' | 'creation' | 'saved'>) {
    this.object = object;
    this.publicArea = parts.publicArea;
    this.creation = parts.creation;
    this.saved = parts.saved;
  }

  /** Its TPMT_PUBLIC. */
  get pubArea(): Bytes {
    return encode(TPMT_PUBLIC, this.publicArea);
  }

  /** Removes it from the TPM. Idempotent. */
  async close(): Promise<void> {
    await this.object.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Options of {@link createAttestationKey}. */
export interface CreateAttestationKeyOptions extends SignalOptions {
  /**
   * Signs with RSASSA or ECDSA, and SHA-256; with P-384 and RSA 3072, SHA-384. `auto`: RSA 2048, which all services
   * accept; if the TPM lacks that, the first of RSA 3072, P-256 and P-384.
   */
  readonly algorithm: UserKeyAlgorithm | 'auto';
  /**
   * The storage key to make it under, such as the SRK; each call then makes another key. Without a parent, it is a
   * primary key of the endorsement hierarchy: the same TPM makes the same key each time, so you need not store it. A
   * key under the SRK certifies obscured reset counts and firmware versions (TPMS_ATTEST, Part 2, 10.12.12).
   */
  readonly parent?: HandleArg | undefined;
  /** The endorsement hierarchy's authorization, for a primary key. Default: the password given to the `Tpm`. */
  readonly endorsementAuth?: Authorization | undefined;
  /** At most 64 bytes for the creation data (outsideInfo); a KeyAttestationStatement may want a nonce there. */
  readonly nonce?: Uint8Array | undefined;
  /** A trusted key that salts the session in which a password (bytes) is proved. Default: one that the TPM makes for it. */
  readonly saltKey?: SaltKey | undefined;
}

const AK_ALGORITHMS: readonly UserKeyAlgorithm[] = ['rsa-2048', 'rsa-3072', 'p-256', 'p-384'];

/**
 * Makes an attestation key and loads it. Its authorization value is empty. It has noDA, so a TPM in lockout does not
 * refuse to certify with it.
 *
 * @throws TpmError if the TPM refuses; `tpm-auth-failed` if the hierarchy or the parent wants an authorization.
 */
export async function createAttestationKey(tpm: Tpm, options: CreateAttestationKeyOptions): Promise<AttestationKey> {
  options = checkMembers(
    'createAttestationKey',
    options,
    'algorithm:=rsa-2048|rsa-3072|p-256|p-384|auto parent endorsementAuth nonce:bytes? saltKey signal',
  );
  const { algorithm, parent, endorsementAuth, nonce = EMPTY, saltKey, signal } = options;
  if (algorithm === 'auto') {
    return await firstSupported('attestation key', AK_ALGORITHMS, (first) =>
      createAttestationKey(tpm, { ...options, algorithm: first }),
    );
  }
  const template = akTemplate(algorithm);
  const parameters = {
    inSensitive: { userAuth: EMPTY, data: EMPTY },
    inPublic: { ...template, objectAttributes: { ...template.objectAttributes, noDA: true } },
    outsideInfo: nonce,
    creationPCR: [],
  };
  if (parent === undefined) {
    const hierarchy = { handle: TPM_RH.ENDORSEMENT, ...(endorsementAuth && { auth: endorsementAuth }) };
    const { objectHandle, outPublic, ...made } = await withHiddenAuth(
      tpm,
      hierarchy,
      { saltKey, signal },
      (primaryHandle) => tpm.run(CreatePrimary, { primaryHandle, ...parameters }, { signal }),
    );
    return new AttestationKey(objectHandle, { publicArea: outPublic, creation: creationOf(made), saved: undefined });
  }
  return await withHiddenAuth(tpm, parent, { saltKey, signal }, async (parentHandle) => {
    const made = await tpm.run(Create, { parentHandle, ...parameters }, { signal });
    const saved = { publicArea: made.outPublic, privateArea: made.outPrivate, creation: creationOf(made) };
    return await loadAttestationKey(tpm, saved, { parent: parentHandle, signal });
  });
}

/**
 * Loads an attestation key that was made under `parent`.
 * @throws TpmError if the TPM refuses: `TPM_RC_INTEGRITY` if the key belongs to another TPM or parent.
 */
export async function loadAttestationKey(
  tpm: Tpm,
  saved: SavedAttestationKey,
  options: Pick<CreateAttestationKeyOptions, 'saltKey' | 'signal'> & { readonly parent: HandleArg },
): Promise<AttestationKey> {
  const { parent, saltKey, signal } = checkMembers('loadAttestationKey', options, 'parent saltKey signal');
  checkObject(saved, 'the saved attestation key', 'publicArea', 'privateArea');
  const { publicArea, privateArea, creation } = saved;
  const loading = { inPrivate: privateArea, inPublic: publicArea };
  const { objectHandle } = await withHiddenAuth(tpm, parent, { saltKey, signal }, (parentHandle) =>
    tpm.run(Load, { parentHandle, ...loading }, { signal }),
  );
  return new AttestationKey(objectHandle, { publicArea, creation, saved });
}

/** Only the members of {@link Creation}. */
const creationOf = ({ creationData, creationHash, creationTicket }: Creation): Creation => ({
  creationData,
  creationHash,
  creationTicket,
});
