import { describe, expect, it } from 'vitest';
import { activateCredential } from '../../src/attestation/activate.ts';
import { createAttestationKey } from '../../src/attestation/attestation-key.ts';
import { makeCredential } from '../../src/attestation/credential.ts';
import { openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import { verifyStatement } from '../../src/attestation/verify.ts';
import { utf8 } from '../../src/bytes.ts';
import { readTpmIdentity } from '../../src/keys/tpm-identity.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { openKey } from '../../src/provisioning/open-key.ts';
import { provisionKey } from '../../src/provisioning/provision-key.ts';
import { EvictControl } from '../../src/tpm/commands/context.ts';
import { CreatePrimary, HierarchyChangeAuth } from '../../src/tpm/commands/hierarchy.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import { srkTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { asyncRefusal } from '../refusal.ts';
import { highRangeTpm } from './support/high-range-tpm.ts';
import { leftovers, newTransport, tpmMissing } from './support/new-tpm.ts';

const CHALLENGE = utf8('challenge');
const PIN = utf8('591834');
const EMPTY = new Uint8Array(0);
const making = { inSensitive: { userAuth: EMPTY, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] };

describe.skipIf(await tpmMissing())('a TPM that knows P-384, RSA 3072 and AES-256 alone', () => {
  const open = async (hierarchyAuth = {}) => await Tpm.open(highRangeTpm(await newTransport()), { hierarchyAuth });

  it.each(['p-384', 'rsa-3072'] as const)('makes, attests and uses a key: %s', async (algorithm) => {
    await using tpm = await open();
    const policy = definePolicy({ algorithm, hardware: 'required', attestation: 'required' });
    const sources = { tpm };
    const { record, attestation } = await provisionKey({ policy, sources, challenge: CHALLENGE, pin: PIN });
    if (attestation.status !== 'made') throw new Error('not attested');
    const { statement } = attestation;
    const verified = verifyStatement(statement, {
      challenge: CHALLENGE,
      attestationKey: { pubArea: statement.ak.pubArea },
    });
    expect(verified.findings.filter(({ status }) => status === 'fail')).toEqual([]);
    expect(verified.ok).toBe(true);
    await using key = await openKey({ record, sources });
    await key.sign({ data: CHALLENGE, hash: 'sha384', pin: PIN });
    await key.prove();
    expect((await readTpmIdentity(tpm)).storageName).toHaveLength(50); // SHA-384
    expect(await leftovers(tpm)).toEqual([]);
  });

  it('activates a credential with its endorsement key, and proves passwords', async () => {
    const owner = utf8('the owner of it');
    await using tpm = await open({ owner });
    await tpm.run(HierarchyChangeAuth, { authHandle: { handle: TPM_RH.OWNER, auth: EMPTY }, newAuth: owner });
    const provider = await openTpmKeyProvider(tpm);
    await provider.sign(await provider.create({ algorithm: 'p-384' }), { data: CHALLENGE });
    await using ek = await openEndorsementKey(tpm);
    expect(ek.template).toBe('H-3');
    const ak = await createAttestationKey(tpm, { algorithm: 'auto' });
    const secret = new Uint8Array(32).fill(9);
    const credential = makeCredential({ ek: ek.publicArea, objectName: ak.object.name, secret });
    expect(await activateCredential(tpm, { ek, ak: ak.object, credential })).toEqual(secret);
    await ak.close();
  });

  it('uses a P-384 storage root key that is there', async () => {
    await using tpm = await open();
    const srk = await tpm.run(CreatePrimary, {
      primaryHandle: TPM_RH.OWNER,
      inPublic: srkTemplate('p-384'),
      ...making,
    });
    const persistentHandle = 0x81000001;
    await tpm.run(EvictControl, { auth: TPM_RH.OWNER, objectHandle: srk.objectHandle, persistentHandle });
    await srk.objectHandle.flush();
    const provider = await openTpmKeyProvider(tpm);
    const key = await provider.create({ algorithm: 'p-384', pin: PIN });
    expect(key.parent?.handle).toBe(persistentHandle);
    await provider.sign(key, { data: CHALLENGE, pin: PIN });
  });

  it('says which keys it does not make', async () => {
    await using tpm = await open();
    const policy = definePolicy({ algorithm: 'rsa-2048', hardware: 'required' });
    expect(await asyncRefusal(() => provisionKey({ policy, sources: { tpm }, challenge: CHALLENGE }))).toContain(
      'the TPM cannot make rsa-2048 keys',
    );
  });
});
