import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verifyStatement } from '../../src/attestation/verify.ts';
import { utf8 } from '../../src/bytes.ts';
import { verifySignature } from '../../src/crypto/verify-signature.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { provisionKey } from '../../src/provisioning/provision-key.ts';
import { readLockout, readVendor } from '../../src/tpm/capabilities.ts';
import { GetCapability } from '../../src/tpm/commands/capability.ts';
import { DictionaryAttackLockReset } from '../../src/tpm/commands/dictionary-attack.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { NV_DefineSpace, NV_Read, NV_UndefineSpace, NV_Write } from '../../src/tpm/commands/nv.ts';
import { GetRandom } from '../../src/tpm/commands/random.ts';
import { TPM_ALG, TPM_CAP, TPM_ECC, TPM_RH } from '../../src/tpm/constants.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { startSession } from '../../src/tpm/start-session.ts';
import { srkTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { TPM_RC } from '../../src/tpm/tpm-rc.ts';
import { openLibtpms } from '../../src/tpm/transports/libtpms.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { openTbs } from '../../src/tpm/transports/tbs.ts';
import { startMssimStandIn } from './support/mssim-stand-in.ts';
import { GIVEN_TPM, leftovers, newTpm, tpmAbilities, tpmMissing } from './support/new-tpm.ts';
import { socketOf, tctiOf } from './support/swtpm-address.ts';
import { buildTbsStandIn } from './support/tbs-stand-in.ts';

/** A TPM that something runs, and the way to it. */
interface Place extends AsyncDisposable {
  open(): Promise<Tpm>;
}

const EMPTY = new Uint8Array(0);
const nothing = async () => {};

const PLACES: Record<string, () => Promise<Place>> = {
  'libtpms in process, memory only': async () => {
    let state: Uint8Array | undefined;
    const open = async () => {
      const transport = await openLibtpms(state === undefined ? {} : { state });
      state = transport.exportState();
      return await Tpm.open(transport);
    };
    return { open, [Symbol.asyncDispose]: nothing };
  },
  'libtpms in process, state in a directory': async () => {
    const directory = mkdtempSync(join(tmpdir(), 'keyprov-conformance-'));
    const dispose = async () => rmSync(directory, { recursive: true });
    return { open: () => openTpm(`libtpms:${directory}`), [Symbol.asyncDispose]: dispose };
  },
  'swtpm over a unix socket': async () => {
    const swtpm = await startSwtpm();
    return { open: () => openTpm(swtpm.address), [Symbol.asyncDispose]: () => swtpm.stop() };
  },
  'swtpm over TCP': async () => {
    const swtpm = await startSwtpm({ listen: 'tcp' });
    return { open: () => openTpm(swtpm.address), [Symbol.asyncDispose]: () => swtpm.stop() };
  },
  'the simulator protocol, spoken by a stand-in': async () => {
    const simulator = await startMssimStandIn();
    const dispose = () => simulator[Symbol.asyncDispose]();
    return { open: () => openTpm(`mssim:127.0.0.1:${simulator.port}`), [Symbol.asyncDispose]: dispose };
  },
  "tpm2-tss' TCTI loader, swtpm behind it": async () => {
    const swtpm = await startSwtpm();
    return { open: () => openTpm(`tcti:${tctiOf(swtpm)}`), [Symbol.asyncDispose]: () => swtpm.stop() };
  },
  'TBS, a stand-in for its library in front of swtpm': async () => {
    const swtpm = await startSwtpm();
    const { library, remove } = buildTbsStandIn();
    process.env.TBS_SOCKET = socketOf(swtpm);
    const dispose = async () => {
      delete process.env.TBS_SOCKET;
      remove();
      await swtpm.stop();
    };
    return { open: async () => await Tpm.open(await openTbs({ library })), [Symbol.asyncDispose]: dispose };
  },
};

/** All of these, or the TPM that is given, cleared before. */
const places: typeof PLACES =
  GIVEN_TPM === undefined
    ? PLACES
    : {
        [GIVEN_TPM]: async () => {
          await (await newTpm()).close();
          return { open: () => openTpm(GIVEN_TPM), [Symbol.asyncDispose]: nothing };
        },
      };
const { hasCurve } = await tpmAbilities();

describe.skipIf(await tpmMissing()).each(Object.entries(places))('over %s', (where, start) => {
  /** Else it has no state on disk. */
  const isKept = !/memory only$|^libtpms$/.test(where);
  let place: Place;
  beforeAll(async () => {
    place = await start();
  });
  afterAll(() => place[Symbol.asyncDispose]());

  test('the TPM says who it is', async () => {
    await using tpm = await place.open();
    const vendor = await readVendor(tpm);
    if (GIVEN_TPM !== undefined) console.log(vendor);
    else expect(vendor).toMatchObject({ manufacturer: 'IBM', vendorString: 'SW   TPM' });
  });

  test.skipIf(!hasCurve(TPM_ECC.NIST_P256)).each(['rsa-2048', 'p-256'] as const)(
    'a %s key with a PIN is made, attested, registered and used',
    async (algorithm) => {
      await using tpm = await place.open();
      const challenge = utf8('a challenge of the service');
      const pin = utf8('975310');
      const made = await provisionKey({
        policy: definePolicy({ hardware: 'required', attestation: 'required', algorithm }),
        sources: { tpm },
        challenge,
        pin,
        profile: 'attested',
      });
      if (made.attestation.status !== 'made') throw new Error(made.attestation.reason);
      const { statement } = made.attestation;
      const result = verifyStatement(statement, { challenge, attestationKey: { pubArea: statement.ak.pubArea } });
      expect(result.findings.filter(({ status }) => status === 'fail')).toEqual([]);
      expect(Object.keys(JSON.parse(made.request.body))).toEqual(['kngc', 'AikCertificate', 'AttestationData']);
      const data = utf8('signed with the new key');
      const provider = await openTpmKeyProvider(tpm);
      const signature = await provider.sign(made.record, { data, pin });
      const format = algorithm === 'p-256' ? 'der' : 'pkcs1';
      expect(verifySignature(made.record.publicKey, 'sha256', data, signature, format)).toBe(true);
      await expect(provider.sign(made.record, { data, pin: utf8('0') })).rejects.toMatchObject({ code: 'pin-wrong' });
      await tpm.run(DictionaryAttackLockReset, { lockHandle: TPM_RH.LOCKOUT });
      expect(await leftovers(tpm)).toEqual([]);
    },
  );

  const kept = async () => {
    const nvIndex = 0x01800042;
    const owner = TPM_RH.OWNER;
    {
      await using tpm = await place.open();
      const attributes = { ownerWrite: true, ownerRead: true };
      const publicInfo = { nvIndex, nameAlg: TPM_ALG.SHA256, attributes, authPolicy: EMPTY, dataSize: 5 };
      await tpm.run(NV_DefineSpace, { authHandle: owner, auth: EMPTY, publicInfo });
      await tpm.run(NV_Write, { authHandle: owner, nvIndex, data: utf8('hello'), offset: 0 });
    }
    await using tpm = await place.open();
    const { data } = await tpm.run(NV_Read, { authHandle: owner, nvIndex, size: 5, offset: 0 });
    expect(data).toEqual(utf8('hello'));
    await tpm.run(NV_UndefineSpace, { authHandle: owner, nvIndex });
  };
  if (isKept) test('persistent objects are still there after closing and opening', kept);

  test('a salted session protects commands and answers', async () => {
    await using tpm = await place.open();
    const inSensitive = { userAuth: EMPTY, data: EMPTY };
    const storage = {
      primaryHandle: TPM_RH.OWNER,
      inSensitive,
      inPublic: srkTemplate('p-256'),
      outsideInfo: EMPTY,
      creationPCR: [],
    };
    const { objectHandle, outPublic } = await tpm.run(CreatePrimary, storage);
    await using session = await startSession(tpm, {
      salt: { handle: objectHandle, publicArea: outPublic },
      use: { encrypt: true },
    });
    const { randomBytes } = await tpm.run(GetRandom, { bytesRequested: 16 }, { sessions: [session] });
    expect(randomBytes).toHaveLength(16);
    await objectHandle.flush();
  });

  test('overlapping commands get their own answers', async () => {
    await using tpm = await place.open();
    const sizes = Array.from({ length: 100 }, (_, i) => 1 + (i % 32));
    const answers = await Promise.all(sizes.map((bytesRequested) => tpm.run(GetRandom, { bytesRequested })));
    expect(answers.map(({ randomBytes }) => randomBytes.length)).toEqual(sizes);
  });

  test('an error of the TPM leaves the connection usable', async () => {
    await using tpm = await place.open();
    const unknown = { capability: TPM_CAP.ALGS, property: 0, propertyCount: 1 } as const;
    await expect(
      tpm.run(NV_Read, { authHandle: TPM_RH.OWNER, nvIndex: 0x01800099, size: 1, offset: 0 }),
    ).rejects.toMatchObject({
      responseCode: { base: TPM_RC.HANDLE, position: { kind: 'handle', number: 2 } },
    });
    expect((await tpm.run(GetCapability, unknown)).capabilityData.data).toHaveLength(1);
    expect((await readLockout(tpm)).inLockout).toBe(false);
  });
});
