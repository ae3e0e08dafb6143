import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { activateCredential } from '../../src/attestation/activate.ts';
import { createAttestationKey } from '../../src/attestation/attestation-key.ts';
import { attestKey } from '../../src/attestation/certify.ts';
import { makeCredential } from '../../src/attestation/credential.ts';
import { openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import { verifyStatement } from '../../src/attestation/verify.ts';
import { equal, utf8 } from '../../src/bytes.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import { verifySignature } from '../../src/crypto/verify-signature.ts';
import { isKeyprovError } from '../../src/errors.ts';
import { type CreatedTpmKey, openTpmKeyProvider, type TpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { requestForKey } from '../../src/provisioning/provision-key.ts';
import { readLockout } from '../../src/tpm/capabilities.ts';
import { FlushContext } from '../../src/tpm/commands/context.ts';
import { DictionaryAttackParameters } from '../../src/tpm/commands/dictionary-attack.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import type { TpmTransport } from '../../src/tpm/transport.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { missingPrograms } from '../programs.ts';
import { type FlippingTransport, flippingTransport } from './support/flipping-transport.ts';
import { leftovers, newTransport, tpmMissing } from './support/new-tpm.ts';

const PIN = utf8('135791');
const NEW_PIN = utf8('246802');
const DATA = utf8('data');
const CHALLENGE = utf8('challenge');
const SECRET = new Uint8Array(32).fill(7);

/** The environment of the operations. */
interface World {
  readonly tpm: Tpm;
  readonly provider: TpmKeyProvider;
  readonly key: CreatedTpmKey;
}

/** Each is run again and again, with another bit flipped each time; false for a result that is wrong. */
const OPERATIONS: Readonly<Record<string, (world: World) => Promise<boolean>>> = {
  create: async ({ provider }) => (await provider.create({ algorithm: 'p-256', pin: PIN })).hasPin,
  sign: async ({ provider, key }) => {
    const signature = await provider.sign(key, { data: DATA, pin: PIN });
    return verifySignature(key.publicKey, 'sha256', DATA, signature, 'der');
  },
  'change of a PIN': async ({ provider, key }) => (await provider.changePin(key, { pin: PIN, newPin: NEW_PIN })).hasPin,
  attest: async ({ tpm, provider, key }) => {
    await using ak = await createAttestationKey(tpm, { algorithm: 'p-256' });
    const attest = { ak, challenge: CHALLENGE, authorization: 'windows-hello-policy', creation: key.creation } as const;
    const statement = await provider.useWithoutPin(key, {}, ({ object }) => attestKey(tpm, { ...attest, key: object }));
    const trusted = { attestationKey: { pubArea: ak.pubArea }, expectedKey: { spki: encodeSpki(key.publicKey) } };
    return verifyStatement(statement, { challenge: CHALLENGE, ...trusted }).ok;
  },
  request: async ({ tpm, key }) => {
    const { attestation } = await requestForKey(key, {
      ...{
        policy: definePolicy({ algorithm: 'p-256', attestation: 'required' }),
        sources: { tpm },
        challenge: CHALLENGE,
      },
    });
    if (attestation.status !== 'made') return false;
    const { statement } = attestation;
    const expectedKey = { spki: encodeSpki(key.publicKey) };
    const { ok } = verifyStatement(statement, { challenge: CHALLENGE, attestationKey: statement.ak, expectedKey });
    return ok;
  },
  activate: async ({ tpm }) => {
    await using ak = await createAttestationKey(tpm, { algorithm: 'p-256' });
    await using ek = await openEndorsementKey(tpm, { template: 'L-2' });
    const credential = makeCredential({ ek: ek.publicArea, objectName: ak.object.name, secret: SECRET });
    return equal(await activateCredential(tpm, { ek, ak: ak.object, credential }), SECRET);
  },
};

const missing = await tpmMissing();

describe.each([
  { name: 'libtpms', open: newTransport, end: async () => {}, stride: Number(process.env.STRIDE ?? 31) },
  ...(missingPrograms('swtpm') === undefined ? [swtpmCase()] : []),
])('with one bit of an answer flipped on its way from $name', ({ open, end, stride }) => {
  if (missing !== undefined) return;
  let transport: FlippingTransport;
  let world: World;
  beforeAll(async () => {
    transport = flippingTransport(await open());
    const tpm = await Tpm.open(transport);
    await tpm.run(DictionaryAttackParameters, {
      ...{ lockHandle: TPM_RH.LOCKOUT, newMaxTries: 1000, newRecoveryTime: 1000, lockoutRecovery: 1000 },
    });
    const provider = await openTpmKeyProvider(tpm, { pinDerivation: 'pcp-sha256' });
    world = { tpm, provider, key: await provider.create({ algorithm: 'p-256', pin: PIN }) };
  });
  afterAll(async () => {
    await world.tpm.close();
    await end();
  });

  it.each(Object.entries(OPERATIONS))(
    '%s leaves nothing in the TPM',
    async (name, operation) => {
      const { tpm } = world;
      transport.bits = 0;
      expect(await operation(world)).toBe(true);
      const { bits } = transport;
      const count = { right: 0, error: 0, wrong: 0 };
      const left: string[] = [];
      const untyped: unknown[] = [];
      // A request has an RSA key made each time.
      const step = name === 'request' ? 5 * stride : stride;
      for (let bit = 0; bit < bits; bit += step) {
        transport.flip = bit;
        try {
          count[(await operation(world)) ? 'right' : 'wrong'] += 1;
        } catch (error) {
          count.error += 1;
          if (!isKeyprovError(error)) untyped.push(error);
        }
        transport.flip = -1;
        const found = await leftovers(tpm);
        if (found.length > 0) left.push(`${bit}: ${found.map((handle) => handle.toString(16))}`);
        for (const flushHandle of found) await tpm.run(FlushContext, { flushHandle });
      }
      const { failedTries } = await readLockout(tpm);
      console.log(`${name}: ${bits} bits, each ${step}th flipped:`, count, `left ${left.length}, tries ${failedTries}`);
      expect(left).toEqual([]);
      expect(untyped).toEqual([]);
      expect(count.wrong).toBe(0);
    },
    300_000,
  );
});

function swtpmCase() {
  let swtpm: Awaited<ReturnType<typeof startSwtpm>> | undefined;
  const open = async (): Promise<TpmTransport> => {
    swtpm = await startSwtpm();
    return await swtpm.open();
  };
  return { name: 'swtpm', open, end: async () => await swtpm?.[Symbol.asyncDispose](), stride: 61 };
}
