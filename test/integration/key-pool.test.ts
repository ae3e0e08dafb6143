import '../cheap-scrypt.mjs';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { encodeBareSignature } from '../../src/attestation/index.ts';
import { verifyStatement } from '../../src/attestation/verify.ts';
import { type Bytes, copy, fromHex, toHex, uint32At, utf8 } from '../../src/bytes.ts';
import { verifySignature } from '../../src/crypto/verify-signature.ts';
import { SelectionError } from '../../src/errors/selection-error.ts';
import { KeyprovError } from '../../src/errors.ts';
import { decodeKast } from '../../src/formats/windows/kast.ts';
import { parseKeyRegistration } from '../../src/formats/windows/key-registration.ts';
import { decodeKeyFile } from '../../src/keys/key-file.ts';
import { deriveAuthValue } from '../../src/keys/pin-derivation.ts';
import { openSoftwareKeyProvider } from '../../src/keys/software-provider.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { createKeyPool, type KeyPool, type KeyPoolOptions } from '../../src/provisioning/key-pool.ts';
import { type ProvisionEvent, type ProvisionedKey, provisionKey } from '../../src/provisioning/provision-key.ts';
import { type Fault, faultyTransport } from '../../src/testing/faulty-transport.ts';
import { openTestTpm } from '../../src/testing/with-tpm.ts';
import { readLockout } from '../../src/tpm/capabilities.ts';
import { decode } from '../../src/tpm/codec/index.ts';
import { ContextLoad, ContextSave, FlushContext } from '../../src/tpm/commands/context.ts';
import { Clear, CreatePrimary, HierarchyChangeAuth } from '../../src/tpm/commands/hierarchy.ts';
import { type CreateArgs, type CreateResult, Load } from '../../src/tpm/commands/object.ts';
import { Sign } from '../../src/tpm/commands/signing.ts';
import { Shutdown } from '../../src/tpm/commands/start-up.ts';
import { TPM_ALG, TPM_RH, TPM_SU } from '../../src/tpm/constants.ts';
import { TPMT_SIGNATURE } from '../../src/tpm/structures/algorithm.ts';
import { NULL_HASHCHECK } from '../../src/tpm/structures/base.ts';
import { TPM2B_PRIVATE, TPM2B_PUBLIC } from '../../src/tpm/structures/object.ts';
import { srkTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { openLibtpms } from '../../src/tpm/transports/libtpms.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { PYTHON, pythonLacks } from '../programs.ts';
import { bundle } from './support/bundle.ts';
import { leftovers } from './support/new-tpm.ts';
import { tctiOf } from './support/swtpm-address.ts';

const PIN = utf8('147258');
const CHALLENGE = utf8('a challenge of the service');
const DATA = utf8('to be signed');
const EMPTY = new Uint8Array(0);
const CREATE = 0x153;
const policy = definePolicy({ hardware: 'required', attestation: 'required', algorithm: 'p-256' });
const preferred = definePolicy({ algorithm: 'p-256' });
const software = async () => openSoftwareKeyProvider();

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((fulfil) => {
    resolve = fulfil;
  });
  return { promise, resolve };
}

const take = (pool: KeyPool, more: Partial<Parameters<KeyPool['take']>[0]> = {}): Promise<ProvisionedKey> =>
  pool.take({ pin: PIN, challenge: CHALLENGE, ...more });

async function signs(tpm: Tpm, { record: key }: ProvisionedKey, pin: Bytes = PIN): Promise<boolean> {
  const provider = await openTpmKeyProvider(tpm);
  return verifySignature(key.publicKey, 'sha256', DATA, await provider.sign(key, { data: DATA, pin }), 'der');
}

function failedFindings({ attestation }: ProvisionedKey, challenge: Bytes): readonly string[] {
  if (attestation.status !== 'made') throw new Error(attestation.reason);
  const { statement } = attestation;
  const { findings } = verifyStatement(statement, { challenge, attestationKey: { pubArea: statement.ak.pubArea } });
  return findings.filter(({ status }) => status === 'fail').map(({ id }) => id);
}

/** Input and output of TPM2_Create: the arrays themselves, and copies made at once. */
function watchCreation(tpm: Tpm) {
  const seen: { authValue: Uint8Array; outPrivate: Uint8Array; authCopy: Bytes; privateCopy: Bytes }[] = [];
  const run = tpm.run.bind(tpm);
  vi.spyOn(tpm, 'run').mockImplementation(async (command, args, options) => {
    const result = await run(command, args, options);
    if (command.name === 'Create') {
      const { userAuth: authValue } = (args as unknown as CreateArgs).inSensitive;
      const { outPrivate } = result as unknown as CreateResult;
      seen.push({ authValue, outPrivate, authCopy: copy(authValue), privateCopy: copy(outPrivate) });
    }
    return result;
  });
  return seen;
}

const isWiped = (bytes: Uint8Array): boolean => bytes.length > 0 && bytes.every((byte) => byte === 0);

/** Signs with the parts of a key and a bare authorization value, past the library. */
async function signRaw(tpm: Tpm, publicArea: Bytes, inPrivate: Uint8Array, authValue: Bytes): Promise<string> {
  const { objectHandle: parent } = await tpm.run(CreatePrimary, {
    primaryHandle: TPM_RH.OWNER,
    inSensitive: { userAuth: EMPTY, data: EMPTY },
    inPublic: srkTemplate('p-256', 'empty'),
    outsideInfo: EMPTY,
    creationPCR: [],
  });
  const inPublic = decode(TPM2B_PUBLIC, publicArea);
  const { objectHandle } = await tpm.run(Load, { parentHandle: parent, inPrivate, inPublic });
  const scheme = { scheme: TPM_ALG.ECDSA, details: { hashAlg: TPM_ALG.SHA256 } } as const;
  const handle = { handle: objectHandle, auth: authValue };
  const args = { keyHandle: handle, digest: new Uint8Array(32), inScheme: scheme, validation: NULL_HASHCHECK };
  const outcome = await tpm.run(Sign, args).then(
    () => 'signed',
    (error: unknown) => (error instanceof KeyprovError ? error.code : 'foreign'),
  );
  await objectHandle.flush();
  await parent.flush();
  return outcome;
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe.each(['libtpms', 'swtpm'] as const)('a pool of keys on %s', (engine) => {
  test.each(['p-256', 'rsa-2048'] as const)('gives %s keys that are like new ones', async (algorithm) => {
    const { tpm } = await openTestTpm({ engine, lockout: 'windows' });
    await using _ = tpm;
    const wanted = { ...policy, algorithm };
    const pool = createKeyPool({ policy: wanted, sources: { tpm } });
    expect(await pool.fill()).toBe(1);
    const events: ProvisionEvent[] = [];
    const made = await take(pool, { profile: 'attested', onEvent: (event) => events.push(event) });
    expect(pool.size).toBe(0);
    expect(made.pregenerated).toBe(true);
    expect(failedFindings(made, CHALLENGE)).toEqual([]);
    expect(failedFindings(made, utf8('another challenge'))).toEqual(['challenge', 'creation/challenge']);
    const data = {
      key: made.record.publicKey,
      format: algorithm === 'p-256' ? ('der' as const) : ('pkcs1' as const),
    };
    const provider = await openTpmKeyProvider(tpm);
    const signature = await provider.sign(made.record, { data: DATA, pin: PIN });
    expect(verifySignature(data.key, 'sha256', DATA, signature, data.format)).toBe(true);
    expect((await readLockout(tpm)).failedTries).toBe(0);

    const usual = await provisionKey({
      ...{ policy: wanted, sources: { tpm }, challenge: CHALLENGE, pin: PIN },
      profile: 'attested',
    });
    expect(usual.pregenerated).toBe(false);
    const shape = ({ record: key, keyId, request, attestation, pregenerated, ...same }: ProvisionedKey) => ({
      ...same,
      key: {
        ...key,
        publicKey: key.publicKey.kty,
        privateKey: key.privateKey.length,
        pinDerivation: key.pinDerivation?.kdf,
        ...{ id: key.id.length, name: key.name.length, created: key.created.length },
        annotations: Object.keys(key.annotations),
      },
      ...{ keyId: keyId.length, body: request.body.length, attestation: attestation.status },
    });
    expect(shape(made)).toEqual(shape(usual));
    expect(events.filter(({ type }) => type === 'end').map((event) => ('detail' in event ? event.detail : ''))).toEqual(
      [
        `${algorithm} in a virtual TPM, made in advance`,
        'TPM2_Certify over the challenge',
        `${made.request.body.length} characters, profile attested, with the attestation`,
      ],
    );

    await pool.close();
    expect(await leftovers(tpm)).toEqual([]);
  });

  test('counts wrong PINs for the key that was taken', async () => {
    const { tpm } = await openTestTpm({ engine, lockout: 'windows' });
    await using _ = tpm;
    await using pool = createKeyPool({ policy, sources: { tpm } });
    await pool.fill();
    const made = await take(pool);
    const wrong = signs(tpm, made, utf8('000000'));
    await expect(wrong).rejects.toMatchObject({ code: 'pin-wrong', triesLeft: 31 });
    expect((await readLockout(tpm)).failedTries).toBe(1);
    expect(await signs(tpm, made)).toBe(true);
  });

  test('forgets the random value and the first private area', async () => {
    const { tpm } = await openTestTpm({ engine, lockout: 'windows' });
    await using _ = tpm;
    const seen = watchCreation(tpm);
    const pool = createKeyPool({ policy, sources: { tpm }, size: 2 });
    await pool.fill();
    // The private area is wiped before anybody takes the key; the random value is needed until then.
    expect(seen.map(({ authValue, outPrivate }) => [isWiped(authValue), isWiped(outPrivate)])).toEqual([
      [false, true],
      [false, true],
    ]);
    expect(new Set(seen.map(({ authCopy }) => toHex(authCopy))).size).toBe(2);
    expect(seen.map(({ authCopy }) => authCopy.length)).toEqual([32, 32]);
    const made = await take(pool, { profile: 'attested' });
    expect(seen.map(({ authValue }) => isWiped(authValue))).toEqual([true, false]);

    const [first] = seen;
    if (first === undefined) throw new Error('nothing was made');
    const { publicArea, privateArea } = await decodeKeyFile(made.record.privateKey);
    const inPrivate = decode(TPM2B_PRIVATE, privateArea);
    expect(toHex(inPrivate)).not.toBe(toHex(first.privateCopy));
    // The service receives the private area with the PIN.
    const registration = parseKeyRegistration(made.request.body, 'attested');
    const kast = decodeKast(('attestation' in registration && registration.attestation) || EMPTY);
    expect(toHex(kast.keyAttestation?.keyBlob.privateArea ?? EMPTY)).toBe(toHex(inPrivate));
    // The random value opens no private area but the first, and is a wrong PIN to the other.
    expect(await signRaw(tpm, publicArea, inPrivate, first.authCopy)).toBe('tpm-auth-failed');
    expect((await readLockout(tpm)).failedTries).toBe(1);
    // Why both must be forgotten: together they still open the key.
    expect(await signRaw(tpm, publicArea, first.privateCopy, first.authCopy)).toBe('signed');
    expect(await signRaw(tpm, publicArea, first.privateCopy, new Uint8Array(32))).toBe('tpm-auth-failed');

    await pool.close();
    expect(seen.map(({ authValue }) => isWiped(authValue))).toEqual([true, true]);
    expect(await leftovers(tpm)).toEqual([]);
  });

  test('gives each key once, even if many are taken while it is filled', async () => {
    const { tpm } = await openTestTpm({ engine });
    await using _ = tpm;
    const pool = createKeyPool({ policy, sources: { tpm }, size: 3 });
    const filling = pool.fill();
    const made = await Promise.all(Array.from({ length: 5 }, () => take(pool)));
    await filling;
    expect(new Set(made.map(({ keyId }) => toHex(keyId))).size).toBe(5);
    expect(made.map((one) => failedFindings(one, CHALLENGE))).toEqual([[], [], [], [], []]);
    expect(made[0]?.pregenerated).toBe(true);
    await pool.close();
    expect(await leftovers(tpm)).toEqual([]);
  });
});

test.skipIf(pythonLacks('tpm2_pytss.tsskey'))(
  'tpm2-pytss signs with a key from a pool and its PIN, but not with its earlier authorization value',
  async () => {
    const directory = mkdtempSync(join(tmpdir(), 'keyprov-pool-'));
    const path = (name: string) => join(directory, name);
    await using swtpm = await startSwtpm();
    try {
      let made: ProvisionedKey;
      let before: Bytes;
      {
        await using tpm = await Tpm.open(await swtpm.open());
        const seen = watchCreation(tpm);
        await using pool = createKeyPool({ policy, sources: { tpm } });
        await pool.fill();
        made = await take(pool);
        before = seen[0]?.authCopy ?? EMPTY;
      }
      const { publicKey, privateKey, pinDerivation } = made.record;
      if (pinDerivation === undefined) throw new Error('the key has no PIN');
      writeFileSync(path('key.pem'), privateKey);
      const signsWith = (password: Uint8Array): unknown => {
        writeFileSync(path('password'), password);
        const tcti = tctiOf(swtpm);
        const digest = createHash('sha256').update(DATA).digest('hex');
        const args = ['test/cli/support/tsskey_sign.py', path('key.pem'), tcti, digest, path('password')];
        const { stdout } = spawnSync(PYTHON, args, { encoding: 'utf8', env: { ...process.env, TSS2_LOG: 'all+none' } });
        const { signature, refused } = JSON.parse(stdout);
        if (refused !== undefined) return refused;
        return verifySignature(
          publicKey,
          'sha256',
          DATA,
          encodeBareSignature(decode(TPMT_SIGNATURE, fromHex(signature))),
          'der',
        );
      };
      expect(signsWith(await deriveAuthValue(PIN, pinDerivation))).toBe(true);
      {
        await using tpm = await Tpm.open(await swtpm.open());
        expect(await tpm.flushStale()).toBe(2); // the objects that tpm2-pytss has loaded
      }
      expect(before.length).toBe(32);
      expect(signsWith(before)).toBe('0x98e');
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
);

test.skipIf(process.platform !== 'linux')(
  "the process's memory contains no random value once the key was taken",
  async () => {
    using script = await bundle('test/integration/children/memory-scan.ts');
    const { stdout, stderr } = spawnSync(process.execPath, [script.path], { encoding: 'utf8' });
    expect(stderr).toBe('');
    // Before, there is one copy, which is needed. This shows that the search works.
    expect(JSON.parse(stdout)).toEqual(Array.from({ length: 4 }, () => ({ filled: true, taken: 0, ofPin: 0 })));
  },
);

describe('a pool of keys', () => {
  const open = async (fault: (commandCode: number) => Fault = () => 'none') =>
    (await openTestTpm({ engine: 'libtpms', wrap: (inner) => faultyTransport(inner, fault) })).tpm;

  test.each([
    ['reset', TPM_SU.CLEAR, false],
    ['restart, as after hibernation, which contexts outlast', TPM_SU.STATE, true],
  ])('drops keys made before a %s', async (_, shutdownType, outlasts) => {
    const transport = await openLibtpms();
    await using tpm = await Tpm.open(transport);
    const seen = watchCreation(tpm);
    await using pool = createKeyPool({ policy, sources: { tpm }, size: 4 }); // so many that some are swapped out
    await pool.fill();
    const { objectHandle } = await tpm.run(CreatePrimary, {
      primaryHandle: TPM_RH.OWNER,
      inSensitive: { userAuth: EMPTY, data: EMPTY },
      inPublic: srkTemplate('p-256'),
      outsideInfo: EMPTY,
      creationPCR: [],
    });
    const { context } = await tpm.run(ContextSave, { saveHandle: objectHandle });

    await tpm.run(Shutdown, { shutdownType });
    await transport.powerCycle();
    await tpm.startup();
    const loading = tpm.run(ContextLoad, { context }).then(async ({ loadedHandle }) => {
      await tpm.run(FlushContext, { flushHandle: loadedHandle });
      return true;
    });
    expect(await loading.catch(() => false)).toBe(outlasts);

    const made = await take(pool);
    expect([made.pregenerated, pool.size]).toEqual([false, 0]);
    expect(seen.slice(0, 4).map(({ authValue }) => isWiped(authValue))).toEqual([true, true, true, true]);
    expect(failedFindings(made, CHALLENGE)).toEqual([]);
    expect(await signs(tpm, made)).toBe(true);
  });

  test('looks at its TPM before the user is asked, but waits for no key that is being made', async () => {
    const wanted = { algorithm: 'p-256', hasPin: true } as const;
    const { promise: held, resolve: release } = withResolvers();
    const { promise: reached, resolve: reach } = withResolvers();
    const kit = await openTestTpm({
      engine: 'libtpms',
      wrap: (inner) => ({
        ...faultyTransport(inner, () => 'none'),
        async send(command, options) {
          if (uint32At(command, 6) === CREATE) {
            reach();
            await held;
          }
          return await inner.send(command, options);
        },
      }),
    });
    await using tpm = kit.tpm;
    await using pool = createKeyPool({ policy, sources: { tpm } });
    const filling = pool.fill();
    await pool.check(wanted); // at once, while the TPM is being opened
    await reached;
    await pool.check(wanted);
    expect(pool.size).toBe(0);
    release();
    await filling;
    await pool.check(wanted);
    await expect(pool.check({ ...wanted, policy: { ...policy, virtualTpm: 'refuse' } })).rejects.toMatchObject({
      code: 'hardware-required',
    });
    expect((await take(pool)).pregenerated).toBe(true);
    await using empty = createKeyPool({ policy, sources: {} });
    const refused = empty.fill().catch(() => 0);
    await expect(empty.check(wanted)).rejects.toMatchObject({ code: 'hardware-required' });
    await refused;
  });

  test('proves the passwords before it makes the first key', async () => {
    await using tpm = await open();
    const newAuth = utf8('owner');
    await tpm.run(HierarchyChangeAuth, { authHandle: TPM_RH.OWNER, newAuth });
    const seen = watchCreation(tpm);
    await using pool = createKeyPool({ policy, sources: { tpm } });
    const filling = pool.fill().catch((error: unknown) => error);
    const wanted = { algorithm: 'p-256', hasPin: true } as const;
    await expect(pool.check(wanted)).rejects.toMatchObject({ code: 'tpm-unavailable', cause: { hierarchy: 'owner' } });
    expect(await filling).toMatchObject({ code: 'tpm-auth-failed' });
    expect(seen).toEqual([]);
  });

  test('keeps its TPM when the signal of the call that filled it aborts later', async () => {
    const aborting = new AbortController();
    let lifetime: AbortSignal | undefined;
    const source = async ({ signal }: { readonly signal?: AbortSignal | undefined }) => {
      lifetime = signal;
      return await open();
    };
    const pool = createKeyPool({ policy, sources: { tpm: source } });
    await pool.fill({ signal: aborting.signal });
    aborting.abort();
    expect(lifetime?.aborted).toBe(false);
    expect((await take(pool)).pregenerated).toBe(true);
    await pool.close();
    expect(lifetime?.aborted).toBe(true);
  });

  test('forgets all keys even if their TPM is lost', async () => {
    let isLost = false;
    await using tpm = await open(() => (isLost ? 'lost' : 'none'));
    const seen = watchCreation(tpm);
    const pool = createKeyPool({ policy, sources: { tpm }, size: 2 });
    await pool.fill();
    isLost = true;
    await pool.close();
    expect(seen.map(({ authValue }) => isWiped(authValue))).toEqual([true, true]);
  });

  test('drops keys made before the TPM was cleared', async () => {
    await using tpm = await open();
    await using pool = createKeyPool({ policy, sources: { tpm }, size: 2 });
    await pool.fill();
    await tpm.run(Clear, { authHandle: TPM_RH.LOCKOUT });
    const made = await take(pool);
    expect([made.pregenerated, pool.size]).toEqual([false, 0]);
    expect(await signs(tpm, made)).toBe(true);
    await pool.close();
    expect(await leftovers(tpm)).toEqual([]);
  });

  test("makes new keys if another client has flushed the pool's keys", async () => {
    await using tpm = await open();
    await using pool = createKeyPool({ policy, sources: { tpm } });
    await pool.fill();
    for (const flushHandle of await leftovers(tpm)) await tpm.run(FlushContext, { flushHandle });
    const made = await take(pool);
    expect(made.pregenerated).toBe(false);
    expect(failedFindings(made, CHALLENGE)).toEqual([]);
    expect(await signs(tpm, made)).toBe(true);
  });

  test.each(['owner', 'endorsement'] as const)(
    'reports a wrong password of the %s hierarchy as it is',
    async (name) => {
      const transport = await openLibtpms();
      await using tpm = await Tpm.open(transport, { hierarchyAuth: { [name]: utf8('wrong') } });
      const authHandle = name === 'owner' ? TPM_RH.OWNER : TPM_RH.ENDORSEMENT;
      await tpm.run(HierarchyChangeAuth, { authHandle: { handle: authHandle, auth: EMPTY }, newAuth: utf8('right') });
      await using pool = createKeyPool({ policy, sources: { tpm } });
      await expect(pool.fill()).rejects.toMatchObject({ code: 'tpm-auth-failed', hierarchy: name });
      await expect(pool.check({ algorithm: 'p-256' })).rejects.toMatchObject({
        code: 'tpm-unavailable',
        cause: { code: 'tpm-auth-failed', hierarchy: name },
      });
      expect(await leftovers(tpm)).toEqual([]);
    },
  );

  test('continues without an attestation key if policy allows it', async () => {
    await using tpm = await open();
    await tpm.run(HierarchyChangeAuth, {
      authHandle: TPM_RH.ENDORSEMENT,
      newAuth: utf8('of the privacy administrator'),
    });
    await using pool = createKeyPool({ policy: preferred, sources: { tpm }, size: 2 });
    expect(await pool.fill()).toBe(2);
    const made = await take(pool);
    expect([made.pregenerated, made.attestation]).toMatchObject([true, { status: 'none', code: 'tpm-auth-failed' }]);
    await expect(take(pool, { policy })).rejects.toMatchObject({ cause: { code: 'attestation-unavailable' } });
  });

  test('makes no attestation key if policy forbids attestation', async () => {
    await using tpm = await open();
    await using pool = createKeyPool({ policy: { ...policy, attestation: 'none' }, sources: { tpm } });
    await pool.fill();
    expect(await leftovers(tpm)).toHaveLength(1);
    const made = await take(pool);
    expect([made.pregenerated, made.attestation.status]).toEqual([true, 'none']);
    expect(await leftovers(tpm)).toEqual([]);
  });

  test('drops keys that another policy refuses, and follows that policy', async () => {
    await using tpm = await open();
    await using pool = createKeyPool({ policy, sources: { tpm, software }, size: 2 });
    await pool.fill();
    const other = definePolicy({ hardware: 'required', algorithm: 'p-384' });
    const made = await take(pool, { policy: other });
    expect([made.pregenerated, made.record.algorithm, made.record.policy, pool.size]).toEqual([
      false,
      'p-384',
      other,
      0,
    ]);

    await pool.fill();
    const refusing = take(pool, {
      policy: definePolicy({ algorithm: 'p-256', hardware: 'required', virtualTpm: 'refuse' }),
    });
    await expect(refusing).rejects.toMatchObject({ code: 'hardware-required' });
    const inSoftware = await take(pool, { policy: definePolicy({ algorithm: 'p-256', hardware: 'discouraged' }) });
    expect([inSoftware.record.backend, inSoftware.pregenerated]).toEqual(['software', false]);
    expect((await take(pool)).pregenerated).toBe(true);
  });

  test('keeps its keys for those who want a PIN', async () => {
    await using tpm = await open();
    await using pool = createKeyPool({ policy, sources: { tpm } });
    await pool.fill();
    const made = await take(pool, { pin: undefined });
    expect([made.pregenerated, made.record.hasPin, pool.size]).toEqual([false, false, 1]);
  });

  test('makes everything on demand if it was never filled', async () => {
    await using tpm = await open();
    const pool = createKeyPool({ policy, sources: { tpm } });
    const made = await take(pool);
    expect(made.pregenerated).toBe(false);
    expect(await signs(tpm, made)).toBe(true);
    await pool.close();
    expect(await leftovers(tpm)).toEqual([]);
  });

  test('makes no software keys in advance, and does not open a TPM that policy discourages', async () => {
    const opening = vi.fn(() => open());
    const discouraged = definePolicy({ algorithm: 'p-256', hardware: 'discouraged' });
    await using pool = createKeyPool({ policy: discouraged, sources: { tpm: opening, software } });
    expect(await pool.fill()).toBe(0);
    const made = await take(pool);
    expect([made.record.backend, made.pregenerated]).toEqual(['software', false]);
    expect(opening).not.toHaveBeenCalled();
    await using none = createKeyPool({ policy: preferred, sources: { software } });
    await expect(none.fill()).rejects.toMatchObject({ code: 'no-tpm' });
    expect((await take(none)).record.backend).toBe('software');
  });

  test('opens the TPM once, and closes it with itself', async () => {
    const opened: Tpm[] = [];
    const tpm = async () => {
      const one = await open();
      vi.spyOn(one, 'close');
      opened.push(one);
      return one;
    };
    const pool = createKeyPool({ policy, sources: { tpm }, size: 2 });
    await pool.fill();
    const made = [await take(pool), await take(pool), await take(pool)];
    expect(made.map(({ pregenerated }) => pregenerated)).toEqual([true, true, false]);
    expect(opened).toHaveLength(1);
    expect(opened[0]?.close).not.toHaveBeenCalled();
    await pool.close();
    await pool.close();
    expect(opened[0]?.close).toHaveBeenCalledTimes(1);
    await expect(take(pool)).rejects.toMatchObject({ code: 'transport-closed' });
    await expect(pool.fill()).rejects.toMatchObject({ code: 'transport-closed' });
  });

  describe.each([
    ['required', policy],
    ['preferred', preferred],
  ] as const)('with a TPM that is lost while the pool is filled, and hardware %s', (hardware, wanted) => {
    /** A TPM that is lost while making the second key, so that the pool already has one. */
    const losing = () => {
      let keys = 0;
      return open((code) => (code === CREATE && ++keys === 2 ? 'lost' : 'none'));
    };

    const lose = async (options: Pick<KeyPoolOptions, 'sources'>): Promise<KeyPool> => {
      const pool = createKeyPool({ policy: wanted, size: 2, ...options });
      await expect(pool.fill()).rejects.toMatchObject({ code: 'transport-lost' });
      expect(pool.size).toBe(0);
      return pool;
    };

    test('uses the next TPM that can be opened', async () => {
      const opened: Tpm[] = [];
      const tpm = async () => {
        const one = await (opened.length === 0 ? losing() : open());
        opened.push(one);
        return one;
      };
      await using pool = await lose({ sources: { tpm, software } });
      const made = await take(pool);
      expect([made.record.backend, made.pregenerated, made.fellBack, opened.length]).toEqual(['tpm', false, false, 2]);
      await pool.fill();
      expect((await take(pool)).pregenerated).toBe(true);
    });

    test('follows policy if there is no TPM any more', async () => {
      await using tpm = await losing();
      await using pool = await lose({ sources: { tpm, software } });
      const error: unknown = await take(pool).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(SelectionError);
      expect(error).toMatchObject({ code: 'tpm-unavailable' });
      if (hardware !== 'required') {
        const made = await take(pool, { fallBack: 'any' });
        expect([made.record.backend, made.pregenerated, made.fellBack]).toEqual(['software', false, true]);
      }
    });
  });

  test('loses a TPM between filling and taking as a run without a pool does', async () => {
    let isLost = false;
    await using tpm = await open(() => (isLost ? 'lost' : 'none'));
    const pools = [policy, preferred].map((wanted) => createKeyPool({ policy: wanted, sources: { tpm, software } }));
    const [strict, lenient] = pools as [KeyPool, KeyPool];
    for (const pool of pools) await pool.fill();
    isLost = true;
    await expect(take(strict)).rejects.toMatchObject({ code: 'tpm-unavailable' });
    await expect(take(lenient)).rejects.toMatchObject({ code: 'tpm-unavailable' });
    const made = await take(lenient, { fallBack: 'any' });
    expect([made.record.backend, made.fellBack]).toEqual(['software', true]);
    for (const pool of pools) await pool.close();
  });

  test('leaves nothing behind when filling or taking is aborted, at whichever command', async () => {
    const enough = new Error('enough');
    for (let at = 0; ; at++) {
      const aborting = new AbortController();
      const { signal } = aborting;
      let commands = -1; // TPM2_Startup is before
      await using tpm = await open(() => {
        if (commands++ === at) aborting.abort(enough);
        return 'none';
      });
      const pool = createKeyPool({ policy, sources: { tpm } });
      const work = async () => {
        await pool.fill({ signal });
        return await take(pool, { signal });
      };
      const outcome: unknown = await work().then(
        () => 'done',
        (error: unknown) => error,
      );
      if (signal.aborted) expect(outcome).toBe(enough);
      else expect(outcome).toBe('done');
      await pool.close();
      expect(await leftovers(tpm)).toEqual([]);
      if (outcome !== 'done') continue;
      expect(at).toBeGreaterThan(30);
      break;
    }
  });

  test('stops running work when it is closed', async () => {
    await using tpm = await open();
    const seen = watchCreation(tpm);
    const pool = createKeyPool({ policy, sources: { tpm }, size: 100 });
    const filling = pool.fill().catch((error: unknown) => error);
    await vi.waitFor(() => expect(pool.size).toBeGreaterThan(1), { interval: 1, timeout: 60_000 });
    await pool.close();
    expect(await filling).toMatchObject({ code: 'transport-closed' });
    expect(seen.length).toBeLessThan(100);
    expect(seen.every(({ authValue }) => isWiped(authValue))).toBe(true);
    expect(await leftovers(tpm)).toEqual([]);
  });

  test('has between 1 and 100 places', () => {
    for (const size of [0, 1.5, 101, Number.NaN]) {
      expect(() => createKeyPool({ policy, sources: {}, size })).toThrow(RangeError);
    }
  });

  test('never prints a random value', async () => {
    await using tpm = await open();
    const seen = watchCreation(tpm);
    await using pool = createKeyPool({ policy, sources: { tpm } });
    await pool.fill();
    const begin = seen[0]?.authCopy.subarray(0, 6) ?? EMPTY;
    const shown = `${inspect(pool, { depth: 9, showHidden: true })}${JSON.stringify(pool)}`;
    expect(begin.length).toBe(6);
    expect(shown).not.toContain(begin.join(', '));
    expect(shown).not.toContain(toHex(begin));
  });
});
