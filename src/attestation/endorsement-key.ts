import { byteCount, checkObject, EMPTY, equal, toHex } from '../bytes.ts';
import { KeyprovError, undoOnFailure } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import type { SignalOptions } from '../signal.ts';
import { listHandles } from '../tpm/capabilities.ts';
import { decode } from '../tpm/codec/index.ts';
import { CreatePrimary } from '../tpm/commands/hierarchy.ts';
import { ReadPublic } from '../tpm/commands/object.ts';
import { PolicyOR, PolicySecret } from '../tpm/commands/policy.ts';
import { TPM_ALG, TPM_HT, TPM_RH } from '../tpm/constants.ts';
import { firstSupported } from '../tpm/first-supported.ts';
import { withHiddenAuth } from '../tpm/hidden-auth.ts';
import { handleName, isHashAlg, isMadeFrom, objectName, qualifiedName } from '../tpm/names.ts';
import { readNv } from '../tpm/nv.ts';
import { ekPolicyA, ekPolicyC } from '../tpm/policy-digest.ts';
import type { Authorization, SessionAuthorization } from '../tpm/session.ts';
import { type StartSessionOptions, startSession } from '../tpm/start-session.ts';
import { TPMT_PUBLIC, type TpmtPublic } from '../tpm/structures/object.ts';
import { EK_TEMPLATES, type EkTemplateName, ekTemplate } from '../tpm/templates.ts';
import type { Tpm } from '../tpm/tpm.ts';
import type { TpmObject } from '../tpm/tpm-object.ts';
import { EK_SLOTS } from './ek-slots.ts';

/** Options of {@link openEndorsementKey}. */
export interface OpenEndorsementKeyOptions extends SignalOptions {
  /**
   * Which endorsement key. `auto` (default): the first one with a certificate in the TPM; else the first persistent
   * one; else L-2 (P-256), which is the quickest to make; if the TPM lacks that, the first of H-3, L-1 and H-6.
   */
  readonly template?: EkTemplateName | 'auto' | undefined;
  /**
   * The endorsement hierarchy's authorization. A password (bytes) is proved in a salted session, never sent. Default:
   * the password given to the `Tpm`.
   */
  readonly endorsementAuth?: Authorization | undefined;
  /**
   * The owner's authorization, for NV indices that only the owner may read. Default: the password given to the `Tpm`.
   */
  readonly ownerAuth?: Authorization | undefined;
  /** The Name that the key must have, from a record or a verified certificate. */
  readonly expectedName?: Uint8Array | undefined;
  /**
   * How its use is authorized. `policy` (default): with its template's policy, which needs the endorsement hierarchy's
   * authorization. `auth-value`, only for the templates H-…: with its own authorization value, which is empty.
   */
  readonly authorization?: 'policy' | 'auth-value' | undefined;
}

/** An endorsement key, ready for use. */
export interface EndorsementKey extends AsyncDisposable {
  readonly handle: number | TpmObject;
  readonly publicArea: TpmtPublic;
  /** Its Name. Part 1, 16. */
  readonly name: Uint8Array;
  readonly template: EkTemplateName;
  /**
   * Starts a session that authorizes one use of the key. The session is salted with the key itself, encrypts the first
   * parameter of the response, and ends after that use. Close it in `finally`, in case it is never used.
   */
  authorize(options?: SignalOptions): Promise<SessionAuthorization>;
  /** Removes the key from the TPM if it was loaded for this use. Idempotent. */
  release(): Promise<void>;
}

/** Handles of persistent endorsement keys. TCG TPM v2.0 Provisioning Guidance, section 7.8. */
const isEkHandle = (handle: number): boolean => handle >= 0x81010000 && handle <= 0x810100ff;

/**
 * Opens an endorsement key. Uses a persistent primary key of the endorsement hierarchy if it matches the template in
 * all but `unique`; else makes the key from the template, which gives the same key each time. Makes nothing persistent.
 * Uses the template and (low range) the nonce in NV, if there are any: TCG EK Credential Profile for TPM 2.0, 2.2.1.
 *
 * @throws KeyprovError `tpm-identity-changed` if the TPM's key does not have `expectedName`; TpmError if the TPM
 * refuses, `tpm-auth-failed` if the endorsement hierarchy wants an authorization; TypeError for `auth-value` with a
 * template L-….
 */
export async function openEndorsementKey(tpm: Tpm, options: OpenEndorsementKeyOptions = {}): Promise<EndorsementKey> {
  options = checkMembers(
    'openEndorsementKey',
    options,
    'template:=auto|L-1|L-2|H-1|H-2|H-3|H-4|H-6|H-7? endorsementAuth ownerAuth expectedName:bytes? authorization:=policy|auth-value? signal',
  );
  checkObject(tpm, 'tpm', 'run:function');
  const { template: wanted = 'auto', signal } = options;
  const persistent = await readPersistent(tpm, { signal });
  const chosen = wanted === 'auto' ? await chooseTemplate(tpm, persistent, { signal }) : wanted;
  return await firstSupported('endorsement key', chosen === undefined ? EK_TEMPLATES : [chosen], (template) =>
    openOf(tpm, template, persistent, options),
  );
}

async function openOf(
  tpm: Tpm,
  template: EkTemplateName,
  persistent: readonly Found[],
  options: OpenEndorsementKeyOptions,
): Promise<EndorsementKey> {
  const { expectedName, authorization = 'policy' } = options;
  if (authorization === 'auth-value' && template.startsWith('L')) {
    throw new TypeError(`an endorsement key made with template ${template} can be used only with its policy`);
  }
  const inPublic = await templateOf(tpm, template, options);
  const fits = ({ publicArea, name }: Found) =>
    isMadeFrom(inPublic, publicArea) && (expectedName === undefined || equal(name, expectedName));
  const found = persistent.find(fits) ?? (await makePrimary(tpm, inPublic, options));
  const { handle, publicArea, name } = found;
  const release = async () => {
    if (typeof handle !== 'number') await handle.flush();
  };
  if (expectedName !== undefined && !equal(name, expectedName)) {
    await release();
    throw new KeyprovError(
      'tpm-identity-changed',
      `the endorsement key ${template} has the Name ${toHex(name)}, not ${toHex(expectedName)}`,
      { remedy: 'use the recorded TPM; if its endorsement seed was changed, enrol again' },
    );
  }
  return {
    handle,
    publicArea,
    name,
    template,
    authorize: (given = {}) => authorizeUse(tpm, found, { ...options, ...given }),
    release,
    [Symbol.asyncDispose]: release,
  };
}

interface Found {
  readonly handle: number | TpmObject;
  readonly publicArea: TpmtPublic;
  readonly name: Uint8Array;
}

/** The persistent primary keys of the endorsement hierarchy, as the TPM describes them. */
async function readPersistent(tpm: Tpm, { signal }: SignalOptions): Promise<Found[]> {
  const found: Found[] = [];
  for (const handle of (await listHandles(tpm, TPM_HT.PERSISTENT, { signal })).filter(isEkHandle)) {
    const { outPublic, qualifiedName: qualified } = await tpm.run(ReadPublic, { objectHandle: handle }, { signal });
    if (!isHashAlg(outPublic.nameAlg)) continue;
    // Any object may be persistent there. The qualified name tells its hierarchy and parent.
    const name = objectName(outPublic);
    const isPrimary = equal(qualified, qualifiedName(handleName(TPM_RH.ENDORSEMENT), name));
    if (isPrimary) found.push({ handle, publicArea: outPublic, name });
  }
  return found;
}

async function chooseTemplate(
  tpm: Tpm,
  persistent: readonly Found[],
  options: SignalOptions,
): Promise<EkTemplateName | undefined> {
  const indices = new Set(await listHandles(tpm, TPM_HT.NV_INDEX, options));
  const templates = EK_SLOTS.flatMap((slot) => (slot.template === 'H-5' ? [] : [{ ...slot, template: slot.template }]));
  const chosen =
    templates.find(({ certificate }) => indices.has(certificate)) ??
    templates.find(({ template }) => persistent.some(({ publicArea }) => isMadeFrom(ekTemplate(template), publicArea)));
  return chosen?.template;
}

async function makePrimary(tpm: Tpm, inPublic: TpmtPublic, options: OpenEndorsementKeyOptions): Promise<Found> {
  const { endorsementAuth, signal } = options;
  const making = {
    inSensitive: { userAuth: EMPTY, data: EMPTY },
    inPublic,
    outsideInfo: EMPTY,
    creationPCR: [],
  };
  const hierarchy = { handle: TPM_RH.ENDORSEMENT, ...(endorsementAuth && { auth: endorsementAuth }) };
  const { objectHandle, outPublic } = await withHiddenAuth(tpm, hierarchy, { signal }, (primaryHandle) =>
    tpm.run(CreatePrimary, { primaryHandle, ...making }, { signal }),
  );
  return { handle: objectHandle, publicArea: outPublic, name: objectName(outPublic) };
}

/** The default template or the TPM's own, with the TPM's nonce. */
async function templateOf(
  tpm: Tpm,
  name: EkTemplateName,
  { ownerAuth, signal }: OpenEndorsementKeyOptions,
): Promise<TpmtPublic> {
  const slot = EK_SLOTS.find(({ template }) => template === name);
  const stored = slot && (await readNv(tpm, slot.templateIndex, { ownerAuth, signal }));
  const template = stored === undefined ? ekTemplate(name) : decode(TPMT_PUBLIC, stored);
  const nonce = slot?.nonce === undefined ? undefined : await readNv(tpm, slot.nonce, { ownerAuth, signal });
  return nonce === undefined ? template : withNonce(template, nonce);
}

/** The nonce at the start of `unique`, then zeros. EK Credential Profile, B.3.3 and B.3.4. */
function withNonce(template: TpmtPublic, nonce: Uint8Array): TpmtPublic {
  const fill = (size: number) => {
    if (nonce.length > size) {
      throw new KeyprovError(
        'key-invalid',
        `the endorsement key's nonce has ${byteCount(nonce.length)}; the limit is ${size}`,
      );
    }
    const unique = new Uint8Array(size);
    unique.set(nonce);
    return unique;
  };
  if (template.type === TPM_ALG.RSA) return { ...template, unique: fill(template.parameters.keyBits / 8) };
  if (template.type === TPM_ALG.ECC) return { ...template, unique: { x: fill(32), y: new Uint8Array(32) } };
  throw new KeyprovError('key-invalid', "the TPM's stored endorsement key template is not for an RSA or ECC key");
}

async function authorizeUse(tpm: Tpm, ek: Found, options: OpenEndorsementKeyOptions): Promise<SessionAuthorization> {
  const { authorization = 'policy', endorsementAuth, signal } = options;
  const { handle, publicArea } = ek;
  const { nameAlg } = publicArea;
  if (!isHashAlg(nameAlg))
    throw new KeyprovError('key-invalid', "the endorsement key's name algorithm is not supported");
  const common: StartSessionOptions = {
    salt: { handle, publicArea },
    use: { continueSession: false, encrypt: true },
    signal,
  };
  if (authorization === 'auth-value') return { session: await startSession(tpm, common) };

  const session = await startSession(tpm, { ...common, type: 'policy', authHash: nameAlg });
  const authorize = async (): Promise<void> => {
    const policySession = session.sessionHandle;
    const hierarchy = { handle: TPM_RH.ENDORSEMENT, ...(endorsementAuth && { auth: endorsementAuth }) };
    const secret = { policySession, nonceTPM: EMPTY, cpHashA: EMPTY, policyRef: EMPTY, expiration: 0 };
    await withHiddenAuth(tpm, hierarchy, { saltKey: common.salt, signal }, (authHandle) =>
      tpm.run(PolicySecret, { authHandle, ...secret }, { signal }),
    );
    const policyA = ekPolicyA(nameAlg);
    if (!equal(publicArea.authPolicy, policyA)) {
      await tpm.run(PolicyOR, { policySession, pHashList: [policyA, ekPolicyC(nameAlg)] }, { signal });
    }
  };
  await undoOnFailure(authorize, () => session.close());
  return { session };
}
