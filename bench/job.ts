import { randomBytes } from 'node:crypto';
import type { SaltKey, Session, Tpm, TpmObject } from '../src/tpm/index.ts';
import { commands, startSession, TPM_ALG, TPM_RH } from '../src/tpm/index.ts';
import { akTemplate, ekTemplate, srkTemplate, userKeyTemplate } from '../src/tpm/public-areas.ts';

/** Options of the job. */
export interface JobOptions {
  /** Whether a salted session protects the PIN; otherwise the PIN is sent as a password in the clear. */
  readonly session: boolean;
  /** Whether {@link prepareTpm} has put the three keys into the TPM. */
  readonly warm: boolean;
}

const EMPTY = new Uint8Array(0);
const PIN = new Uint8Array(32).fill(7);
const KEPT = { ek: 0x81010002, srk: 0x81000001, ak: 0x81010003 };
const EK_CERTIFICATE = 0x01c0000a;
const NO_SCHEME = { scheme: TPM_ALG.NULL } as const;
const SHA256 = { hashAlg: TPM_ALG.SHA256 };
const UNCHECKED = { tag: 0x8024, hierarchy: TPM_RH.NULL, digest: EMPTY } as const;
const primary = { inSensitive: { userAuth: EMPTY, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] };

const makeEk = (tpm: Tpm) =>
  tpm.run(commands.CreatePrimary, {
    ...{ primaryHandle: TPM_RH.ENDORSEMENT, inPublic: ekTemplate('L-2'), ...primary },
  });
const makeSrk = (tpm: Tpm) =>
  tpm.run(commands.CreatePrimary, { primaryHandle: TPM_RH.OWNER, inPublic: srkTemplate('p-256'), ...primary });
const makeAk = (tpm: Tpm, parentHandle: TpmObject) =>
  tpm.run(commands.CreateLoaded, { parentHandle, inSensitive: primary.inSensitive, inPublic: akTemplate('p-256') });

/** Prepares a new TPM for the job: an endorsement key certificate and, for the warm job, the keys. */
export async function prepareTpm(tpm: Tpm): Promise<void> {
  const attributes = { ownerWrite: true, authRead: true, ownerRead: true, noDA: true };
  const publicInfo = { nvIndex: EK_CERTIFICATE, nameAlg: TPM_ALG.SHA256, attributes, authPolicy: EMPTY, dataSize: 700 };
  await tpm.run(commands.NV_DefineSpace, { authHandle: TPM_RH.OWNER, auth: EMPTY, publicInfo });
  const [authHandle, data] = [TPM_RH.OWNER, new Uint8Array(700).fill(1)];
  await tpm.run(commands.NV_Write, { authHandle, nvIndex: EK_CERTIFICATE, data, offset: 0 });
  const { objectHandle: ek } = await makeEk(tpm);
  const keep = (objectHandle: TpmObject, persistentHandle: number) =>
    tpm.run(commands.EvictControl, { auth: TPM_RH.OWNER, objectHandle, persistentHandle });
  await keep(ek, KEPT.ek);
  await ek.flush();
  const { objectHandle: srk } = await makeSrk(tpm);
  await keep(srk, KEPT.srk);
  const { objectHandle: ak } = await makeAk(tpm, srk);
  await keep(ak, KEPT.ak);
  await ak.flush();
  await srk.flush();
}

/**
 * The provisioning job, with P-256 keys: endorsement key, storage root key, attestation key, user key with a PIN, its
 * certification over a nonce, the endorsement key certificate, one signature. Leaves nothing in the TPM.
 */
export async function job(tpm: Tpm, { session: isProtected, warm }: JobOptions): Promise<void> {
  const { srk, ak } = warm ? await findKeys(tpm) : await makeKeys(tpm);
  const session = isProtected ? await startSession(tpm, { salt: srk.salt, use: { decrypt: true } }) : undefined;
  const user = await makeUserKey(tpm, srk.parent, session);
  const userKey = { handle: user, auth: session ? { session, authValue: PIN } : PIN };
  const use = (continueSession: boolean): void => {
    if (session) session.use = { ...session.use, decrypt: true, continueSession };
  };
  use(true);
  const qualifyingData = randomBytes(32);
  await tpm.run(commands.Certify, { objectHandle: userKey, signHandle: ak, qualifyingData, inScheme: NO_SCHEME });
  const { nvPublic, nvName } = await tpm.run(commands.NV_ReadPublic, { nvIndex: EK_CERTIFICATE });
  const nvIndex = { handle: EK_CERTIFICATE, name: nvName };
  await tpm.run(commands.NV_Read, { authHandle: nvIndex, nvIndex, size: nvPublic.dataSize, offset: 0 });
  use(false);
  const inScheme = { scheme: TPM_ALG.ECDSA, details: SHA256 } as const;
  await tpm.run(commands.Sign, { keyHandle: userKey, digest: randomBytes(32), inScheme, validation: UNCHECKED });
  await user.flush();
  if (!warm) for (const made of [ak, srk.parent]) if (typeof made === 'object' && 'flush' in made) await made.flush();
}

/** The job's keys, found in the TPM or made. */
interface Keys {
  readonly srk: { readonly parent: TpmObject | { handle: number; name: Uint8Array }; readonly salt: SaltKey };
  readonly ak: TpmObject | { handle: number; name: Uint8Array };
}

async function makeKeys(tpm: Tpm): Promise<Keys> {
  await (await makeEk(tpm)).objectHandle.flush();
  const { objectHandle: parent, outPublic: publicArea } = await makeSrk(tpm);
  const { objectHandle: ak } = await makeAk(tpm, parent);
  return { srk: { parent, salt: { handle: parent, publicArea } }, ak };
}

async function findKeys(tpm: Tpm): Promise<Keys> {
  await tpm.run(commands.ReadPublic, { objectHandle: KEPT.ek });
  const { outPublic: publicArea, name } = await tpm.run(commands.ReadPublic, { objectHandle: KEPT.srk });
  const ak = await tpm.run(commands.ReadPublic, { objectHandle: KEPT.ak });
  const parent = { handle: KEPT.srk, name };
  return { srk: { parent, salt: { handle: KEPT.srk, publicArea } }, ak: { handle: KEPT.ak, name: ak.name } };
}

async function makeUserKey(tpm: Tpm, parent: Keys['srk']['parent'], session: Session | undefined): Promise<TpmObject> {
  const entity = 'flush' in parent ? { handle: parent } : parent;
  const made = await tpm.run(commands.CreateLoaded, {
    parentHandle: { ...entity, ...(session && { auth: { session } }) },
    inSensitive: { userAuth: PIN, data: EMPTY },
    inPublic: userKeyTemplate('p-256'),
  });
  return made.objectHandle;
}
