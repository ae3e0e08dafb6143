import { createHash, createPublicKey, verify } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { concat, toBase64Url, toHex, uint32At, utf8 } from '../../src/bytes.ts';
import { isTpmError } from '../../src/errors/tpm-error.ts';
import { isKeyprovError } from '../../src/errors.ts';
import { readLockout } from '../../src/tpm/capabilities.ts';
import { decode } from '../../src/tpm/codec/index.ts';
import { Certify } from '../../src/tpm/commands/attestation.ts';
import {
  Clear,
  CreatePrimary,
  type CreatePrimaryResult,
  HierarchyChangeAuth,
} from '../../src/tpm/commands/hierarchy.ts';
import {
  ActivateCredential,
  Create,
  Load,
  MakeCredential,
  ObjectChangeAuth,
  ReadPublic,
} from '../../src/tpm/commands/object.ts';
import {
  PolicyAuthValue,
  PolicyCommandCode,
  PolicyGetDigest,
  PolicyOR,
  PolicyPassword,
  PolicySecret,
} from '../../src/tpm/commands/policy.ts';
import { GetRandom, StirRandom } from '../../src/tpm/commands/random.ts';
import { PolicyRestart } from '../../src/tpm/commands/session.ts';
import { Sign } from '../../src/tpm/commands/signing.ts';
import { HASHES, TPM_ALG, TPM_CC, TPM_ECC, TPM_HT, TPM_RH } from '../../src/tpm/constants.ts';
import { handleName } from '../../src/tpm/names.ts';
import {
  ekPolicyA,
  policyAuthValue,
  policyDigest,
  policySecret,
  windowsHelloBranches,
  windowsHelloPolicy,
} from '../../src/tpm/policy-digest.ts';
import type { Authorization, Session } from '../../src/tpm/session.ts';
import { startSession } from '../../src/tpm/start-session.ts';
import type { TpmtSignature, TpmtSymDef } from '../../src/tpm/structures/algorithm.ts';
import { TPMS_ATTEST } from '../../src/tpm/structures/attest.ts';
import { NULL_HASHCHECK } from '../../src/tpm/structures/base.ts';
import type { TpmtPublic, TpmtPublicEcc } from '../../src/tpm/structures/object.ts';
import { akTemplate, ekTemplate, srkTemplate, userKeyTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import type { TpmObject } from '../../src/tpm/tpm-object.ts';
import { TPM_RC } from '../../src/tpm/tpm-rc.ts';
import type { TpmTransport } from '../../src/tpm/transport.ts';
import { errorOf } from './support/failure.ts';
import { handlesOf, leftovers, newTransport, tpmAbilities, tpmMissing } from './support/new-tpm.ts';

const EMPTY = new Uint8Array(0);
const NONE = { outsideInfo: EMPTY, creationPCR: [] };
const PIN = utf8('12345');
const NEW_PIN = utf8('54321');
const SCHEME = { scheme: TPM_ALG.ECDSA, details: { hashAlg: TPM_ALG.SHA256 } } as const;
const DIGEST = new Uint8Array(32).fill(7);

/** Whether OpenSSL accepts a P-256 key's signature. libtpms 0.9.2 keeps the leading zeros of r and s. */
function isSignedBy(publicArea: TpmtPublic, message: Uint8Array, signature: TpmtSignature): boolean {
  if (publicArea.type !== TPM_ALG.ECC || signature.sigAlg !== TPM_ALG.ECDSA) return false;
  const { x, y } = publicArea.unique;
  const jwk = { kty: 'EC', crv: 'P-256', x: toBase64Url(x), y: toBase64Url(y) };
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  const { signatureR, signatureS } = signature.signature;
  return verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, concat(signatureR, signatureS));
}

/** A transport that lets a test look at commands and change answers. */
class Tapped implements TpmTransport {
  readonly kind;
  readonly address;
  readonly emulator = true;
  readonly managed;
  readonly #inner: TpmTransport;
  /** All commands since the test emptied the list. */
  commands: Uint8Array[] = [];
  /** Changes the answer to the next command with that code. */
  change: { code: number; by: (answer: Uint8Array) => void } | undefined;

  constructor(inner: TpmTransport) {
    this.#inner = inner;
    this.kind = inner.kind;
    this.address = inner.address;
    this.managed = inner.managed;
  }

  async send(command: Uint8Array, options?: Parameters<TpmTransport['send']>[1]) {
    this.commands.push(new Uint8Array(command));
    const answer = await this.#inner.send(command, options);
    if (uint32At(this.commands.at(-1) as Uint8Array, 6) === this.change?.code) {
      this.change.by(answer);
      this.change = undefined;
    }
    return answer;
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

const includes = (bytes: Uint8Array, part: Uint8Array): boolean => Buffer.from(bytes).includes(Buffer.from(part));

const missing = await tpmMissing();
const { hasAlgorithm, hasCurve } = await tpmAbilities();
const hasP384 = hasCurve(TPM_ECC.NIST_P384) && hasAlgorithm(TPM_ALG.SHA384);

describe.skipIf(missing !== undefined)('sessions', () => {
  let transport: Tapped;
  let tpm: Tpm;
  let srk: CreatePrimaryResult;
  let key: { objectHandle: TpmObject; name: Uint8Array };
  let keyPublic: TpmtPublic;
  let saltKeys: Record<'RSA' | 'P-256' | 'P-384', CreatePrimaryResult>;

  const primary = (inPublic: TpmtPublic, primaryHandle: number = TPM_RH.OWNER) =>
    tpm.run(CreatePrimary, { primaryHandle, inPublic, inSensitive: { userAuth: EMPTY, data: EMPTY }, ...NONE });
  const sign = (auth: Authorization, options = {}, handle = key.objectHandle) =>
    tpm.run(
      Sign,
      { keyHandle: { handle, auth }, digest: DIGEST, inScheme: SCHEME, validation: NULL_HASHCHECK },
      options,
    );
  const newKey = async (inPublic: TpmtPublic) => {
    const sensitive = { inSensitive: { userAuth: PIN, data: EMPTY }, ...NONE };
    const { outPrivate, outPublic } = await tpm.run(Create, { parentHandle: srk.objectHandle, inPublic, ...sensitive });
    return {
      outPublic,
      ...(await tpm.run(Load, { parentHandle: srk.objectHandle, inPrivate: outPrivate, inPublic: outPublic })),
    };
  };

  beforeAll(async () => {
    transport = new Tapped(await newTransport());
    tpm = await Tpm.open(transport);
    srk = await primary(srkTemplate('p-256'));
    const p384 = srkTemplate('p-256', 'empty') as TpmtPublicEcc;
    saltKeys = {
      RSA: await primary(srkTemplate('rsa-2048')),
      'P-256': srk,
      // Not used if the TPM lacks it.
      'P-384': !hasP384
        ? srk
        : await primary({
            ...p384,
            nameAlg: TPM_ALG.SHA384,
            parameters: { ...p384.parameters, curveID: TPM_ECC.NIST_P384 },
          }),
    };
    const made = await newKey(userKeyTemplate('p-256', { noDA: true }));
    key = made;
    keyPublic = made.outPublic;
  });
  afterAll(async () => {
    for (const { objectHandle } of new Set([key, ...Object.values(saltKeys)])) await objectHandle.flush();
    expect(await leftovers(tpm)).toEqual([]);
    await tpm.close();
  });

  const HASH_ALGS = [
    ['SHA-1', TPM_ALG.SHA1],
    ['SHA-256', TPM_ALG.SHA256],
    ['SHA-384', TPM_ALG.SHA384],
    ['SHA-512', TPM_ALG.SHA512],
  ] as const;
  const CIPHERS: readonly (readonly [string, TpmtSymDef])[] = [
    ['AES-128-CFB', { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB }],
    ['AES-256-CFB', { algorithm: TPM_ALG.AES, keyBits: 256, mode: TPM_ALG.CFB }],
    ['XOR', { algorithm: TPM_ALG.XOR, keyBits: TPM_ALG.SHA256 }],
    ['none', { algorithm: TPM_ALG.NULL }],
  ];
  const combinations = HASH_ALGS.flatMap(([hashName, authHash]) =>
    (['RSA', 'P-256', 'P-384', 'none'] as const).flatMap((salt) =>
      (['bound', 'unbound'] as const).flatMap((bound) =>
        CIPHERS.map(([cipherName, symmetric]) => [hashName, salt, bound, cipherName, authHash, symmetric] as const),
      ),
    ),
  );

  it.for(combinations)(
    'authorize, encrypt and decrypt: %s, salt %s, %s, cipher %s',
    async ([hashName, salt, bound, cipher, authHash, symmetric], { skip }) => {
      skip(!hasAlgorithm(authHash), `the TPM has no ${hashName}`);
      skip(salt === 'P-384' && !hasP384, 'the TPM has no P-384');
      const encrypts = cipher !== 'none';
      await using session = await startSession(tpm, {
        authHash,
        symmetric,
        ...(salt !== 'none' && { salt: { handle: saltKeys[salt].objectHandle, publicArea: saltKeys[salt].outPublic } }),
        ...(bound === 'bound' && { bind: { handle: key.objectHandle, name: key.name, authValue: PIN } }),
      });

      // As authorization, with the authorization value in the key or bound; the digest to sign is encrypted.
      session.use = { ...session.use, decrypt: encrypts };
      transport.commands = [];
      const message = utf8('message');
      const digest = new Uint8Array(createHash('sha256').update(message).digest());
      const keyHandle = { handle: key.objectHandle, auth: { session, authValue: PIN } };
      const { signature } = await tpm.run(Sign, { keyHandle, digest, inScheme: SCHEME, validation: NULL_HASHCHECK });
      expect(isSignedBy(keyPublic, message, signature)).toBe(true);
      expect(transport.commands.some((command) => includes(command, digest))).toBe(!encrypts);

      // The new authorization value goes in and the private area comes out encrypted.
      session.use = { ...session.use, encrypt: encrypts };
      transport.commands = [];
      const changing = {
        objectHandle: { handle: key.objectHandle, auth: { session, authValue: PIN } },
        newAuth: NEW_PIN,
      };
      const { outPrivate } = await tpm.run(ObjectChangeAuth, { ...changing, parentHandle: srk.objectHandle });
      expect(transport.commands.some((command) => includes(command, NEW_PIN))).toBe(!encrypts);
      await using changed = (
        await tpm.run(Load, { parentHandle: srk.objectHandle, inPrivate: outPrivate, inPublic: keyPublic })
      ).objectHandle;
      session.use = { ...session.use, decrypt: encrypts, encrypt: false };
      await sign({ session, authValue: NEW_PIN }, {}, changed);

      // Beside other authorizations, and alone. A session that does nothing of the three is refused there.
      session.use = { ...session.use, decrypt: false, encrypt: encrypts, audit: !encrypts };
      expect((await tpm.run(GetRandom, { bytesRequested: 20 }, { sessions: [session] })).randomBytes.length).toBe(20);
      session.use = { ...session.use, decrypt: encrypts, encrypt: false };
      await tpm.run(StirRandom, { inData: utf8('entropy') }, { sessions: [session] });
      await sign(PIN, { sessions: [session] });
      expect(session.ended).toBe(false);
    },
  );

  it('refuse a wrong authorization value, and can be used again afterwards', async () => {
    await using session = await startSession(tpm, { salt: { handle: srk.objectHandle, publicArea: srk.outPublic } });
    const error = await errorOf(sign({ session, authValue: utf8('wrong') }));
    expect(isKeyprovError(error, 'tpm-auth-failed')).toBe(true);
    await sign({ session, authValue: PIN });
  });

  it('treat an authorization value with trailing zeros like the one without', async () => {
    await using session = await startSession(tpm, {});
    await sign({ session, authValue: concat(PIN, new Uint8Array(3)) });
  });

  describe('in one command', () => {
    it('may be three: one to authorize, one to decrypt, one to encrypt', async () => {
      const salt = { handle: srk.objectHandle, publicArea: srk.outPublic };
      await using authorizing = await startSession(tpm, { salt });
      await using decryptor = await startSession(tpm, { salt, authHash: TPM_ALG.SHA384, use: { decrypt: true } });
      await using encryptor = await startSession(tpm, { salt, authHash: TPM_ALG.SHA1, use: { encrypt: true } });
      for (const sessions of [
        [decryptor, encryptor],
        [encryptor, decryptor],
      ]) {
        const objectHandle = { handle: key.objectHandle, auth: { session: authorizing, authValue: PIN } };
        const args = { objectHandle, parentHandle: srk.objectHandle, newAuth: NEW_PIN };
        const { outPrivate } = await tpm.run(ObjectChangeAuth, args, { sessions });
        const loading = { parentHandle: srk.objectHandle, inPrivate: outPrivate, inPublic: keyPublic };
        await (await tpm.run(Load, loading)).objectHandle.flush();
      }
    });

    it('may authorize two handles, each with its own authorization value', async () => {
      await using ak = (await primary(akTemplate('p-256'), TPM_RH.ENDORSEMENT)).objectHandle;
      await using first = await startSession(tpm, {});
      await using second = await startSession(tpm, { salt: { handle: srk.objectHandle, publicArea: srk.outPublic } });
      const { certifyInfo } = await tpm.run(Certify, {
        objectHandle: { handle: key.objectHandle, auth: { session: first, authValue: PIN } },
        signHandle: { handle: ak, auth: { session: second } },
        qualifyingData: utf8('challenge'),
        inScheme: { scheme: TPM_ALG.NULL },
      });
      expect(toHex(decode(TPMS_ATTEST, certifyInfo).extraData)).toBe(toHex(utf8('challenge')));
    });

    it('may not be four', async () => {
      await using session = await startSession(tpm, {});
      transport.commands = [];
      const error = await errorOf(sign(PIN, { sessions: [session, session, session] }));
      expect(error).toEqual(new RangeError('4 sessions in one command; at most 3 are allowed'));
      expect(transport.commands).toEqual([]);
    });
  });

  it('audit', async () => {
    await using session = await startSession(tpm, { use: { audit: true } });
    await sign(PIN, { sessions: [session] });
    session.use = { ...session.use, auditReset: true };
    await tpm.run(GetRandom, { bytesRequested: 4 }, { sessions: [session] });
    session.use = { ...session.use, auditReset: false, auditExclusive: true };
    await tpm.run(GetRandom, { bytesRequested: 4 }, { sessions: [session] });
    await tpm.run(GetRandom, { bytesRequested: 4 }, {});
    // A command without the session has ended the exclusive audit.
    const error = await errorOf(tpm.run(GetRandom, { bytesRequested: 4 }, { sessions: [session] }));
    expect(isTpmError(error, TPM_RC.EXCLUSIVE)).toBe(true);
  });

  it.each([
    ['a parameter', (answer: Uint8Array) => answer.set([(answer[20] as number) ^ 1], 20)],
    ['the HMAC', (answer: Uint8Array) => answer.set([(answer.at(-1) as number) ^ 1], answer.length - 1)],
  ])('detect an answer whose %s was changed in transit', async (_, by) => {
    const salt = { handle: srk.objectHandle, publicArea: srk.outPublic };
    await using session = await startSession(tpm, { salt, use: { audit: true } });
    transport.change = { code: TPM_CC.GetRandom, by };
    const error = await errorOf(tpm.run(GetRandom, { bytesRequested: 8 }, { sessions: [session] }));
    expect(isKeyprovError(error, 'tpm-session'), String(error)).toBe(true);
  });

  it.each([
    ['bound to it', true],
    ['neither salted nor bound', false],
  ])('authenticate the answer with the new authorization value of a hierarchy: %s', async (_, isBound) => {
    const bind = { handle: TPM_RH.OWNER, name: handleName(TPM_RH.OWNER), authValue: EMPTY };
    await using session = await startSession(tpm, isBound ? { bind, use: { decrypt: true } } : {});
    const change = (authValue: Uint8Array, newAuth: Uint8Array) =>
      tpm.run(HierarchyChangeAuth, { authHandle: { handle: TPM_RH.OWNER, auth: { session, authValue } }, newAuth });
    await change(EMPTY, PIN);
    await change(PIN, NEW_PIN);
    await change(NEW_PIN, EMPTY);
    await change(EMPTY, EMPTY);
  });

  it('authenticate the answer to TPM2_Clear with the authorization value that is there afterwards', async () => {
    const other = await Tpm.open(await newTransport());
    try {
      const session = await startSession(other, {});
      const change = (handle: number, authValue: Uint8Array, newAuth: Uint8Array) =>
        other.run(HierarchyChangeAuth, { authHandle: { handle, auth: { session, authValue } }, newAuth });
      await change(TPM_RH.LOCKOUT, EMPTY, PIN);
      await change(TPM_RH.PLATFORM, EMPTY, PIN);
      await other.run(Clear, { authHandle: { handle: TPM_RH.LOCKOUT, auth: { session, authValue: PIN } } });
      await other.run(Clear, { authHandle: { handle: TPM_RH.PLATFORM, auth: { session, authValue: PIN } } });
      await other.run(Clear, { authHandle: { handle: TPM_RH.LOCKOUT, auth: { session } } });
    } finally {
      await other.close();
    }
  });

  describe('used once', () => {
    const once = { use: { continueSession: false } };

    it('are gone after their last use', async () => {
      const session = await startSession(tpm, once);
      expect(await handlesOf(tpm, TPM_HT.HMAC_SESSION)).toEqual([session.sessionHandle]);
      await sign({ session, authValue: PIN });
      expect(session.ended).toBe(true);
      expect(await handlesOf(tpm, TPM_HT.HMAC_SESSION)).toEqual([]);
      await session.close();
    });

    it('are gone after an error of the TPM', async () => {
      const session = await startSession(tpm, once);
      await errorOf(sign({ session, authValue: utf8('wrong') }));
      expect(await handlesOf(tpm, TPM_HT.HMAC_SESSION)).toEqual([]);
    });

    it('are gone after an argument that does not fit', async () => {
      const session = await startSession(tpm, once);
      const error = await errorOf(tpm.run(GetRandom, { bytesRequested: -1 }, { sessions: [session] }));
      expect(isKeyprovError(error, 'codec')).toBe(true);
      expect(await handlesOf(tpm, TPM_HT.HMAC_SESSION)).toEqual([]);
    });

    it('are gone after an abort before or after sending, as is what the command has loaded', async () => {
      for (let turns = 0; turns < 6; turns++) {
        const before = await handlesOf(tpm, TPM_HT.TRANSIENT);
        const session = await startSession(tpm, {
          ...once,
          salt: { handle: srk.objectHandle, publicArea: srk.outPublic },
        });
        const controller = new AbortController();
        const args = { primaryHandle: { handle: TPM_RH.NULL, auth: { session } }, inPublic: akTemplate('p-256') };
        const creating = tpm
          .run(
            CreatePrimary,
            { ...args, inSensitive: { userAuth: EMPTY, data: EMPTY }, ...NONE },
            { signal: controller.signal },
          )
          .catch((error: unknown) => error);
        for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
        controller.abort(new Error('enough'));
        const result = await creating;
        if (!(result instanceof Error)) await (result as CreatePrimaryResult).objectHandle.flush();
        await session.close();
        expect(await handlesOf(tpm, TPM_HT.HMAC_SESSION)).toEqual([]);
        expect((await handlesOf(tpm, TPM_HT.TRANSIENT)).length).toBeLessThanOrEqual(before.length);
      }
    });
  });

  describe('of a policy', () => {
    const withPolicy = (authPolicy: Uint8Array): TpmtPublic => ({
      ...akTemplate('p-256'),
      // Neither userWithAuth nor restricted: only the policy authorizes.
      objectAttributes: { fixedTPM: true, fixedParent: true, sensitiveDataOrigin: true, sign: true, noDA: true },
      authPolicy,
    });
    const policySession = (options = {}): Promise<Session> => startSession(tpm, { type: 'policy', ...options });

    it.each([
      ['neither salted nor bound', false],
      ['salted', true],
    ])('with PolicyAuthValue prove the authorization value: %s', async (_, salted) => {
      await using object = (await newKey(withPolicy(policyDigest(TPM_ALG.SHA256, policyAuthValue)))).objectHandle;
      await using session = await policySession(
        salted ? { salt: { handle: srk.objectHandle, publicArea: srk.outPublic }, use: { decrypt: true } } : {},
      );
      await tpm.run(PolicyAuthValue, { policySession: session.sessionHandle });
      transport.commands = [];
      await sign({ session, authValue: PIN }, {}, object);
      expect(transport.commands.some((command) => includes(command, PIN))).toBe(false);
      // The policy was used up: it has to be run again.
      expect(isTpmError(await errorOf(sign({ session, authValue: PIN }, {}, object)))).toBe(true);
      await tpm.run(PolicyRestart, { sessionHandle: session.sessionHandle });
      await tpm.run(PolicyAuthValue, { policySession: session.sessionHandle });
      const error = await errorOf(sign({ session, authValue: utf8('wrong') }, {}, object));
      expect(isKeyprovError(error, 'tpm-auth-failed')).toBe(true);
      await expect(sign(PIN, {}, object)).rejects.toThrow('TPM_RC_AUTH_UNAVAILABLE');
    });

    it('prove the authorization value of a Windows Hello key, and cost no try', async () => {
      await using hello = (await newKey(userKeyTemplate('p-256'))).objectHandle;
      await using session = await policySession();
      const policy = { policySession: session.sessionHandle };
      const before = await readLockout(tpm);
      for (let turn = 0; turn < 2; turn++) {
        await tpm.run(PolicyAuthValue, policy);
        await tpm.run(PolicyOR, { ...policy, pHashList: windowsHelloBranches() });
        await sign({ session, authValue: PIN }, {}, hello);
      }
      expect(await readLockout(tpm)).toEqual(before);
    });

    it.each([
      ['PolicyPassword after PolicyAuthValue', PolicyAuthValue, PolicyPassword, true],
      ['PolicyAuthValue after PolicyPassword', PolicyPassword, PolicyAuthValue, false],
    ])('send or prove the authorization value as the last command says: %s', async (_, first, second, isSent) => {
      await using object = (await newKey(withPolicy(policyDigest(TPM_ALG.SHA256, policyAuthValue)))).objectHandle;
      await using session = await policySession();
      const { sessionHandle } = session;
      await tpm.run(first, { policySession: sessionHandle });
      await tpm.run(PolicyRestart, { sessionHandle });
      expect([session.needsAuthValue, session.needsPassword]).toEqual([false, false]);
      await tpm.run(second, { policySession: sessionHandle });
      transport.commands = [];
      await sign({ session, authValue: PIN }, {}, object);
      expect(transport.commands.some((command) => includes(command, PIN))).toBe(isSent);
    });

    it.each(['encrypt', 'decrypt'] as const)(
      'take part after PolicyPassword without authorizing anything: %s',
      async (way) => {
        await using session = await policySession({ salt: { handle: srk.objectHandle, publicArea: srk.outPublic } });
        const never = { encrypt: false, decrypt: false };
        const run = () => tpm.run(StirRandom, { inData: new Uint8Array(8) }, { sessions: [session] });
        const get = () => tpm.run(GetRandom, { bytesRequested: 8 }, { sessions: [session] });
        for (let turn = 0; turn < 2; turn++) {
          session.use = { ...session.use, ...never };
          await tpm.run(PolicyPassword, { policySession: session.sessionHandle });
          session.use = { ...session.use, [way]: true };
          await (way === 'decrypt' ? run() : get());
          // The policy is reset, so there is an HMAC again.
          expect(session.needsPassword).toBe(false);
          await (way === 'decrypt' ? run() : get());
        }
      },
    );

    it('lose their policy, and so the way to prove, with every command that they take part in', async () => {
      await using session = await policySession({
        symmetric: { algorithm: TPM_ALG.XOR, keyBits: TPM_ALG.SHA256 },
        use: { encrypt: true },
      });
      const policy = { policySession: session.sessionHandle };
      await tpm.run(PolicyAuthValue, policy);
      await tpm.run(GetRandom, { bytesRequested: 8 }, { sessions: [session] });
      expect(session.needsAuthValue).toBe(false);
      expect(toHex((await tpm.run(PolicyGetDigest, policy)).policyDigest)).toBe('00'.repeat(32));
    });

    it('keep their policy while other sessions take their place', async () => {
      await using object = (await newKey(withPolicy(policyDigest(TPM_ALG.SHA256, policyAuthValue)))).objectHandle;
      await using session = await policySession();
      await tpm.run(PolicyAuthValue, { policySession: session.sessionHandle });
      const others = [];
      for (let i = 0; i < 4; i++) others.push(await startSession(tpm));
      await sign({ session, authValue: PIN }, {}, object);
      for (const other of others) await other.close();
    });

    it('with PolicyPassword send the authorization value in clear', async () => {
      await using object = (await newKey(withPolicy(policyDigest(TPM_ALG.SHA256, policyAuthValue)))).objectHandle;
      await using session = await policySession();
      await tpm.run(PolicyPassword, { policySession: session.sessionHandle });
      transport.commands = [];
      await sign({ session, authValue: PIN }, {}, object);
      expect(transport.commands.some((command) => includes(command, PIN))).toBe(true);
    });

    it('with PolicySecret open an endorsement key, whose policy that is', async () => {
      await using ek = (await primary(ekTemplate('L-2'), TPM_RH.ENDORSEMENT)).objectHandle;
      const { name } = key;
      const secret = new Uint8Array(32).fill(0x5a);
      const { credentialBlob, secret: encrypted } = await tpm.run(MakeCredential, {
        handle: ek,
        credential: secret,
        objectName: name,
      });
      await using session = await policySession({ salt: { handle: srk.objectHandle, publicArea: srk.outPublic } });
      await tpm.run(PolicySecret, {
        authHandle: TPM_RH.ENDORSEMENT,
        policySession: session.sessionHandle,
        nonceTPM: session.nonceTPM,
        cpHashA: EMPTY,
        policyRef: EMPTY,
        expiration: -1,
      });
      session.use = { ...session.use, encrypt: true };
      const { certInfo } = await tpm.run(ActivateCredential, {
        activateHandle: { handle: key.objectHandle, auth: PIN },
        keyHandle: { handle: ek, auth: { session } },
        credentialBlob,
        secret: encrypted,
      });
      expect(toHex(certInfo)).toBe(toHex(secret));
    });

    it('with PolicyOR certify a Windows Hello key without its PIN', async () => {
      await using ak = (await primary(akTemplate('p-256'), TPM_RH.ENDORSEMENT)).objectHandle;
      await using session = await policySession();
      const policy = { policySession: session.sessionHandle };
      await tpm.run(PolicyCommandCode, { ...policy, code: TPM_CC.Certify });
      const pHashList = windowsHelloBranches();
      await tpm.run(PolicyOR, { ...policy, pHashList });
      expect(toHex((await tpm.run(PolicyGetDigest, policy)).policyDigest)).toBe(toHex(windowsHelloPolicy()));
      const args = { signHandle: ak, qualifyingData: EMPTY, inScheme: { scheme: TPM_ALG.NULL } } as const;
      const withoutPin = await errorOf(tpm.run(Certify, { ...args, objectHandle: key.objectHandle }));
      expect(isKeyprovError(withoutPin, 'tpm-auth-failed')).toBe(true);
      const { certifyInfo } = await tpm.run(Certify, {
        ...args,
        objectHandle: { handle: key.objectHandle, auth: { session } },
      });
      const { attested } = decode(TPMS_ATTEST, certifyInfo);
      expect('name' in attested && toHex(attested.name)).toBe(toHex(key.name));
    });

    it.each(HASH_ALGS)('have the digest that we compute without a TPM: %s', async (_, authHash) => {
      await using session = await startSession(tpm, { type: 'trial', authHash });
      const policy = { policySession: session.sessionHandle };
      const digest = async () => toHex((await tpm.run(PolicyGetDigest, policy)).policyDigest);
      expect(await digest()).toBe('00'.repeat(HASHES[authHash].size));
      const args = { ...policy, nonceTPM: EMPTY, cpHashA: EMPTY, policyRef: utf8('ref'), expiration: 0 };
      await tpm.run(PolicySecret, { ...args, authHandle: TPM_RH.ENDORSEMENT });
      expect(await digest()).toBe(
        toHex(policyDigest(authHash, policySecret(handleName(TPM_RH.ENDORSEMENT), utf8('ref')))),
      );
      await tpm.run(PolicyRestart, { sessionHandle: session.sessionHandle });
      await tpm.run(PolicySecret, { ...args, policyRef: EMPTY, authHandle: TPM_RH.ENDORSEMENT });
      expect(await digest()).toBe(toHex(ekPolicyA(authHash)));
    });
  });

  it('are asked for the Name of an object that the caller knows only by its handle', async () => {
    await using session = await startSession(tpm, {});
    const { name } = await tpm.run(ReadPublic, { objectHandle: key.objectHandle });
    expect(toHex(name)).toBe(toHex(key.name));
    const handle = key.objectHandle.handle as number;
    const keyHandle = { handle, auth: { session, authValue: PIN } };
    await tpm.run(Sign, { keyHandle, digest: DIGEST, inScheme: SCHEME, validation: NULL_HASHCHECK });
  });
});
