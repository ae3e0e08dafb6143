import { describe, expect, it } from 'vitest';
import { activateCredential } from '../../src/attestation/activate.ts';
import { createAttestationKey, loadAttestationKey } from '../../src/attestation/attestation-key.ts';
import { attestKey } from '../../src/attestation/certify.ts';
import { makeCredential } from '../../src/attestation/credential.ts';
import { openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import { readEkCertificates } from '../../src/attestation/read-ek-certificates.ts';
import { copy, utf8 } from '../../src/bytes.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { openKey } from '../../src/provisioning/open-key.ts';
import { provisionKey, requestForKey } from '../../src/provisioning/provision-key.ts';
import { CreatePrimary, HierarchyChangeAuth } from '../../src/tpm/commands/hierarchy.ts';
import { NV_DefineSpace, NV_Read, NV_Write } from '../../src/tpm/commands/nv.ts';
import { TPM_ALG, TPM_RH } from '../../src/tpm/constants.ts';
import { readNv } from '../../src/tpm/nv.ts';
import { type SaltKey, startSession } from '../../src/tpm/start-session.ts';
import { akTemplate, srkTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { asyncRefusal } from '../refusal.ts';
import { leftovers, newTransport, tpmMissing } from './support/new-tpm.ts';

const EMPTY = new Uint8Array(0);
const VALUES = {
  owner: utf8('the owner of it'),
  endorsement: utf8('the endorsement'),
  parent: utf8('parent of others'),
  key: utf8('key of its own'),
  pin: utf8('591834'),
  newPin: utf8('402968'),
};
const CHALLENGE = utf8('challenge');
const INDEX = 0x01800042;
/** TPM2_CreatePrimary in the NULL hierarchy, which makes a salt key that cannot be checked. */
const NULL_PRIMARY = Buffer.from([0, 0, 1, 0x31, 0x40, 0, 0, 7]);

/** Everything that is sent to a new TPM whose hierarchies have authorization values. */
async function watchedTpm() {
  const inner = await newTransport();
  const sent: Buffer[] = [];
  const { kind, address, emulator, managed } = inner;
  const tpm = await Tpm.open({
    ...{ kind, address, emulator, managed },
    send: (command, options) => {
      sent.push(Buffer.from(copy(command)));
      return inner.send(command, options);
    },
    close: () => inner.close(),
  });
  const making = { outsideInfo: EMPTY, creationPCR: [] };
  const nothing = { userAuth: EMPTY, data: EMPTY };
  const srk = await tpm.run(CreatePrimary, {
    ...{ primaryHandle: TPM_RH.NULL, inSensitive: nothing, inPublic: srkTemplate('p-256'), ...making },
  });
  const salt: SaltKey = { handle: srk.objectHandle, publicArea: srk.outPublic };
  await using session = await startSession(tpm, { salt, use: { decrypt: true } });
  for (const [handle, newAuth] of [
    [TPM_RH.OWNER, VALUES.owner],
    [TPM_RH.ENDORSEMENT, VALUES.endorsement],
  ] as const) {
    await tpm.run(HierarchyChangeAuth, { authHandle: { handle, auth: { session } }, newAuth });
  }
  const owner = { handle: TPM_RH.OWNER, auth: { session, authValue: VALUES.owner } };
  const publicInfo = {
    ...{ nvIndex: INDEX, nameAlg: TPM_ALG.SHA256, authPolicy: EMPTY, dataSize: 32 },
    attributes: { ownerRead: true, ownerWrite: true, noDA: true },
  };
  await tpm.run(NV_DefineSpace, { authHandle: owner, auth: EMPTY, publicInfo });
  await tpm.run(NV_Write, { authHandle: owner, nvIndex: INDEX, data: new Uint8Array(32).fill(3), offset: 0 });
  const primary = async (inPublic: ReturnType<typeof srkTemplate>, userAuth: Uint8Array) => {
    const primaryHandle = { handle: TPM_RH.NULL, auth: { session } };
    return await tpm.run(CreatePrimary, { primaryHandle, inPublic, inSensitive: { userAuth, data: EMPTY }, ...making });
  };
  const parent = await primary(srkTemplate('p-256'), VALUES.parent);
  const key = await primary(akTemplate('p-256'), VALUES.key);
  await srk.objectHandle.flush();
  return { tpm, sent, parent: parent.objectHandle, key: key.objectHandle };
}

describe.skipIf(await tpmMissing())('authorization values', () => {
  it('are in no command of any operation', async () => {
    const { tpm, sent, parent, key } = await watchedTpm();
    const { owner: ownerAuth, endorsement: endorsementAuth, pin, newPin } = VALUES;
    const tpmOptions = { ownerAuth, pinDerivation: 'pcp-sha256' } as const;
    const provider = await openTpmKeyProvider(tpm, tpmOptions);

    const made = await provider.create({ algorithm: 'p-256', pin });
    await provider.sign(made, { data: CHALLENGE, pin });
    await provider.changePin(made, { pin, newPin });
    const prepared = await provider.prepare({ algorithm: 'p-256' });
    await provider.finish(prepared, { pin });
    expect(await readNv(tpm, INDEX, { ownerAuth })).toEqual(new Uint8Array(32).fill(3));
    await readEkCertificates(tpm, { ownerAuth });

    const ak = await createAttestationKey(tpm, { algorithm: 'p-256', endorsementAuth });
    const under = await createAttestationKey(tpm, {
      ...{ algorithm: 'p-256', parent: { handle: parent, auth: VALUES.parent } },
    });
    if (under.saved === undefined) throw new Error('a key under a parent is kept');
    await under.close();
    await (await loadAttestationKey(tpm, under.saved, { parent: { handle: parent, auth: VALUES.parent } })).close();
    await attestKey(tpm, { key: { handle: key, auth: VALUES.key }, ak, challenge: CHALLENGE });
    await using ek = await openEndorsementKey(tpm, { template: 'L-2', endorsementAuth, ownerAuth });
    const secret = new Uint8Array(32).fill(9);
    const credential = makeCredential({ ek: ek.publicArea, objectName: ak.object.name, secret });
    expect(await activateCredential(tpm, { ek, ak: ak.object, credential })).toEqual(secret);
    await ak.close();
    await ek.release();

    for (const object of [parent, key]) await object.flush();
    expect(await leftovers(tpm)).toEqual([]);
    for (const [name, value] of Object.entries(VALUES)) {
      expect([name, sent.filter((command) => command.includes(Buffer.from(value))).length]).toEqual([name, 0]);
    }
    // Bytes passed to `tpm.run` are a password, which shows that the commands are watched.
    const { owner } = VALUES;
    const authHandle = { handle: TPM_RH.OWNER, auth: owner };
    await tpm.run(NV_Read, { authHandle, nvIndex: INDEX, size: 4, offset: 0 });
    expect(sent.filter((command) => command.includes(Buffer.from(owner)))).toHaveLength(1);
    await tpm.close();
  });

  it('are not in the commands of a run, which names the hierarchy whose password is missing', async () => {
    const { tpm, sent, ...made } = await watchedTpm();
    for (const object of [made.parent, made.key]) await object.flush();
    const { owner: ownerAuth, endorsement: endorsementAuth, pin } = VALUES;
    const tpmOptions = { ownerAuth, endorsementAuth } as const;
    const policy = definePolicy({ algorithm: 'p-256', attestation: 'required', hardware: 'required' });
    for (const [known, hierarchy] of [
      [{}, 'owner'],
      [{ ownerAuth: utf8('another') }, 'owner'],
      [{ ownerAuth }, 'endorsement'],
    ] as const) {
      const making = provisionKey({ policy, sources: { tpm }, tpmOptions: known, challenge: CHALLENGE, pin });
      expect(await asyncRefusal(() => making)).toContain(
        `the ${hierarchy} hierarchy has a password, but it was missing or wrong; provide the ${hierarchy}`,
      );
    }
    const { record } = await provisionKey({ policy, sources: { tpm }, tpmOptions, challenge: CHALLENGE, pin });
    await requestForKey(record, { policy, sources: { tpm }, tpmOptions, challenge: CHALLENGE });
    const key = await openKey({ record, tpmOptions, sources: { tpm } });
    await key.request({ challenge: CHALLENGE, attestation: 'required' });
    await key.attest({ challenge: CHALLENGE });
    await key.close();
    for (const value of Object.values(VALUES))
      expect(sent.some((command) => command.includes(Buffer.from(value)))).toBe(false);
    expect(await leftovers(tpm)).toEqual([]);
    await tpm.close();
  });

  it('go only into sessions with the given salt key', async () => {
    const { tpm, sent, ...made } = await watchedTpm();
    for (const object of [made.parent, made.key]) await object.flush();
    const { owner: ownerAuth, endorsement: endorsementAuth, pin } = VALUES;
    await using ek = await openEndorsementKey(tpm, { template: 'L-2', endorsementAuth, ownerAuth });
    const saltKey: SaltKey = { handle: ek.handle, publicArea: ek.publicArea };
    sent.length = 0;
    const policy = definePolicy({ algorithm: 'p-256', attestation: 'required', hardware: 'required' });
    const tpmOptions = { ownerAuth, endorsementAuth, saltKey };
    const { record } = await provisionKey({ policy, sources: { tpm }, tpmOptions, challenge: CHALLENGE, pin });
    await requestForKey(record, { policy, sources: { tpm }, tpmOptions, challenge: CHALLENGE });
    expect(sent.filter((command) => command.subarray(6, 14).equals(NULL_PRIMARY))).toEqual([]);
    await ek.release();
    await tpm.close();
  });
});
