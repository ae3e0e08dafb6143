import '../cheap-scrypt.mjs';
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import {
  answerActivationChallenge,
  buildActivationChallenge,
  isActivated,
} from '../../src/attestation/activation-challenge.ts';
import { createAttestationKey } from '../../src/attestation/attestation-key.ts';
import { openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import { concat, copy, toHex, uint32At, utf8 } from '../../src/bytes.ts';
import { verifySignature } from '../../src/crypto/verify-signature.ts';
import { isKeyprovError, KeyprovError } from '../../src/errors.ts';
import { deriveAuthValue } from '../../src/keys/pin-derivation.ts';
import type { ProvidedKey } from '../../src/keys/provider.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { provisionKey } from '../../src/provisioning/provision-key.ts';
import type { Command } from '../../src/tpm/command.ts';
import { DictionaryAttackParameters } from '../../src/tpm/commands/dictionary-attack.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { ActivateCredential, Create, CreateLoaded, ObjectChangeAuth } from '../../src/tpm/commands/object.ts';
import { GetRandom } from '../../src/tpm/commands/random.ts';
import { StartAuthSession } from '../../src/tpm/commands/session.ts';
import { Sign } from '../../src/tpm/commands/signing.ts';
import { TPM_ALG, TPM_RH } from '../../src/tpm/constants.ts';
import { checkAnswerFrame } from '../../src/tpm/frame.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import type { Session } from '../../src/tpm/session.ts';
import { startSession } from '../../src/tpm/start-session.ts';
import { NULL_HASHCHECK } from '../../src/tpm/structures/base.ts';
import { srkTemplate, userKeyTemplate } from '../../src/tpm/templates.ts';
import type { TpmTransport } from '../../src/tpm/transport.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { leftovers, tpmMissing } from './support/new-tpm.ts';

const EMPTY = new Uint8Array(0);
const PIN = utf8('864209');
const NEW_PIN = utf8('751984');

/** A relay between keyprov and the TPM that may change the bytes. */
type Relay = (bytes: Uint8Array, direction: 'command' | 'answer', commandCode: number) => void;

/** A transport with a relay in it, which checks the frame of answers as a socket does. */
function relayed(inner: TpmTransport, relay: Relay): TpmTransport {
  const { kind, address, emulator, managed } = inner;
  return {
    ...{ kind, address, emulator, managed },
    async send(command, options) {
      const code = uint32At(command, 6);
      const passed = copy(command);
      relay(passed, 'command', code);
      const answer = copy(await inner.send(uint32At(passed, 2) === passed.length ? passed : command, options));
      if (uint32At(passed, 2) !== passed.length) throw new KeyprovError('transport-protocol', 'a broken frame');
      relay(answer, 'answer', code);
      checkAnswerFrame(answer, address);
      return answer;
    },
    close: () => inner.close(),
  };
}

/** Every form in which someone might look for a secret in a recording. */
function formsOf(secret: Uint8Array): Uint8Array[] {
  const buffer = Buffer.from(secret);
  const digests = ['sha1', 'sha256', 'sha384', 'sha512'].map((name) => createHash(name).update(buffer).digest());
  const texts = [buffer.toString('hex'), buffer.toString('base64'), buffer.toString('base64url')];
  return [
    buffer,
    Buffer.from(buffer.toString('latin1'), 'utf16le'),
    Buffer.from(buffer).reverse(),
    ...digests,
    ...texts.map((text) => Buffer.from(text)),
  ];
}

describe.skipIf(await tpmMissing())('a relay between us and the TPM', () => {
  test('that records a provisioning, signing, a PIN change and an activation finds no secret', async () => {
    const traffic: Uint8Array[] = [];
    await using swtpm = await startSwtpm();
    await using tpm = await openTpm(swtpm.address, {
      wrap: (inner) => relayed(inner, (bytes) => traffic.push(copy(bytes))),
    });
    const made = await provisionKey({
      policy: definePolicy({ hardware: 'required', attestation: 'required' }),
      sources: { tpm },
      challenge: utf8('a challenge'),
      pin: PIN,
    });
    const provider = await openTpmKeyProvider(tpm);
    await provider.sign(made.record, { data: utf8('x'), pin: PIN });
    const changed = await provider.changePin(made.record, { pin: PIN, newPin: NEW_PIN });
    await provider.sign(changed, { data: utf8('x'), pin: NEW_PIN });

    await using ak = await createAttestationKey(tpm, { algorithm: 'p-256' });
    const ek = await openEndorsementKey(tpm, { template: 'L-2' });
    const { challenge, secret } = buildActivationChallenge({ ek: ek.publicArea, ak: ak.publicArea });
    const response = await answerActivationChallenge(tpm, challenge, { ek, ak: ak.object });
    expect(isActivated(response, secret)).toBe(true);
    await ek.release();

    const derivations = [made.record.pinDerivation, changed.pinDerivation];
    if (derivations[0] === undefined || derivations[1] === undefined) throw new Error('no derivation');
    const secrets = [
      PIN,
      NEW_PIN,
      secret,
      await deriveAuthValue(PIN, derivations[0]),
      await deriveAuthValue(NEW_PIN, derivations[1]),
    ];
    const recording = Buffer.from(concat(...traffic));
    expect(recording.length).toBeGreaterThan(10_000);
    for (const secret of secrets) {
      for (const form of formsOf(secret)) expect(recording.includes(Buffer.from(form)), toHex(form)).toBe(false);
    }
    // The search itself works: it finds public data.
    expect(made.record.publicKey.kty === 'RSA' && recording.includes(Buffer.from(made.record.publicKey.n))).toBe(true);
  });
});

describe.skipIf(await tpmMissing())('a relay that replaces the salt key with its own', () => {
  /** Changes the public key that TPM2_CreatePrimary answers with, as who knows another private key would. */
  const impostor: Relay = (bytes, direction, code) => {
    if (direction === 'answer' && code === CreatePrimary.code && uint32At(bytes, 6) === 0) {
      // handle, size of the parameters, TPM2B_PUBLIC of a P-256 storage key: the last byte of y.
      const at = 10 + 4 + 4 + 2 + 88 - 1;
      bytes[at] = (bytes[at] ?? 0) ^ 1;
    }
  };

  test('is found out by the Name in the record before a session is started', async () => {
    await using swtpm = await startSwtpm();
    let key: ProvidedKey;
    {
      await using tpm = await openTpm(swtpm.address);
      key = await (await openTpmKeyProvider(tpm)).create({ algorithm: 'p-256', pin: PIN });
    }
    const sent: number[] = [];
    const relay: Relay = (bytes, direction, code) => {
      if (direction === 'command') sent.push(code);
      impostor(bytes, direction, code);
    };
    await using tpm = await openTpm(swtpm.address, { wrap: (inner) => relayed(inner, relay) });
    const provider = await openTpmKeyProvider(tpm);
    await expect(provider.sign(key, { data: utf8('x'), pin: PIN })).rejects.toMatchObject({
      code: 'tpm-session',
    });
    expect(sent).toContain(CreatePrimary.code);
    expect(sent).not.toContain(StartAuthSession.code);
  });

  test('has no part in a session that is salted with a trusted endorsement key', async () => {
    await using swtpm = await startSwtpm();
    let ekName: Uint8Array;
    {
      await using tpm = await openTpm(swtpm.address);
      await using ek = await openEndorsementKey(tpm, { template: 'L-2' });
      ekName = ek.name;
    }
    await using tpm = await openTpm(swtpm.address, { wrap: (inner) => relayed(inner, impostor) });
    await expect(openEndorsementKey(tpm, { template: 'L-2', expectedName: ekName })).rejects.toMatchObject({
      code: 'tpm-session',
    });
  });

  test('does not hinder a provider whose salt key is the endorsement key', async () => {
    await using tpm = await openTpm('libtpms');
    await using ek = await openEndorsementKey(tpm, { template: 'L-2' });
    const provider = await openTpmKeyProvider(tpm, { saltKey: { handle: ek.handle, publicArea: ek.publicArea } });
    const key = await provider.create({ algorithm: 'p-256', pin: PIN });
    const data = utf8('x');
    expect(verifySignature(key.publicKey, 'sha256', data, await provider.sign(key, { data, pin: PIN }), 'der')).toBe(
      true,
    );
  });
});

/** Every fifth bit, at varying positions in a byte. With KEYPROV_EVERY_BIT=1 every bit, which takes five times as long. */
const EACH_BIT = process.env.KEYPROV_EVERY_BIT === '1' ? 1 : 5;

describe.skipIf(await tpmMissing())('a relay that changes one bit', () => {
  /** A TPM that never locks, with a storage key and a signing key in it. */
  async function setUp(relay: Relay) {
    const tpm = await openTpm('libtpms', { wrap: (inner) => relayed(inner, relay) });
    await tpm.run(DictionaryAttackParameters, {
      lockHandle: TPM_RH.LOCKOUT,
      newMaxTries: 0x7fffffff,
      newRecoveryTime: 1,
      lockoutRecovery: 1,
    });
    const common = { inSensitive: { userAuth: EMPTY, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] };
    const parent = await tpm.run(CreatePrimary, {
      primaryHandle: TPM_RH.OWNER,
      inPublic: srkTemplate('p-256'),
      ...common,
    });
    const key = await tpm.run(CreateLoaded, {
      parentHandle: parent.objectHandle,
      inSensitive: { userAuth: PIN, data: EMPTY },
      inPublic: userKeyTemplate('p-256'),
    });
    const ak = await createAttestationKey(tpm, { algorithm: 'p-256' });
    const ek = await openEndorsementKey(tpm, { template: 'L-2' });
    return { tpm, parent, key, ak, ek, ...buildActivationChallenge({ ek: ek.publicArea, ak: ak.publicArea }) };
  }
  type Setting = Awaited<ReturnType<typeof setUp>>;

  const PROTECTED: Record<
    string,
    { command: Command<never, object>; run: (it: Setting, session: Session) => Promise<unknown> }
  > = {
    'TPM2_Sign, authorized by PIN': {
      command: Sign,
      run: ({ tpm, key }, session) => {
        session.use = { ...session.use, encrypt: false };
        return tpm.run(Sign, {
          keyHandle: { handle: key.objectHandle, auth: { session, authValue: PIN } },
          digest: new Uint8Array(32).fill(7),
          inScheme: { scheme: TPM_ALG.ECDSA, details: { hashAlg: TPM_ALG.SHA256 } },
          validation: NULL_HASHCHECK,
        });
      },
    },
    'TPM2_ObjectChangeAuth, both ways encrypted': {
      command: ObjectChangeAuth,
      run: ({ tpm, key, parent }, session) =>
        tpm.run(ObjectChangeAuth, {
          objectHandle: { handle: key.objectHandle, auth: { session, authValue: PIN } },
          parentHandle: parent.objectHandle,
          newAuth: NEW_PIN,
        }),
    },
    'TPM2_GetRandom, protected by a session beside it': {
      command: GetRandom,
      run: ({ tpm }, session) => {
        session.use = { ...session.use, decrypt: false };
        return tpm.run(GetRandom, { bytesRequested: 16 }, { sessions: [session] });
      },
    },
    TPM2_ActivateCredential: {
      command: ActivateCredential,
      run: ({ tpm, ek, ak, challenge }) => answerActivationChallenge(tpm, challenge, { ek, ak: ak.object }),
    },
    'TPM2_Create, with the PIN in its sensitive area': {
      command: Create,
      run: ({ tpm, parent }, session) =>
        tpm.run(Create, {
          parentHandle: { handle: parent.objectHandle, auth: { session } },
          inSensitive: { userAuth: PIN, data: EMPTY },
          inPublic: userKeyTemplate('p-256'),
          outsideInfo: EMPTY,
          creationPCR: [],
        }),
    },
  };

  test.each(Object.entries(PROTECTED))(
    'of %s causes a typed error, whichever bit it is',
    async (_, { command, run }) => {
      let flip: { direction: 'command' | 'answer'; bit: number } | undefined;
      const lengths = { command: 0, answer: 0 };
      const setting = await setUp((bytes, direction, code) => {
        if (code !== command.code) return;
        lengths[direction] = bytes.length;
        if (flip?.direction !== direction) return;
        const at = flip.bit >>> 3;
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (flip.bit & 7));
      });
      const { tpm, parent } = setting;
      const attempt = async (): Promise<unknown> => {
        await using session = await startSession(tpm, {
          salt: { handle: parent.objectHandle, publicArea: parent.outPublic },
          use: { decrypt: true, encrypt: true },
        });
        return await run(setting, session).catch((error: unknown) => error);
      };
      expect(isKeyprovError(await attempt())).toBe(false);

      const wrong: string[] = [];
      for (const direction of ['command', 'answer'] as const) {
        for (let bit = 0; bit < 8 * lengths[direction]; bit += EACH_BIT) {
          flip = { direction, bit };
          const result = await attempt();
          if (!isKeyprovError(result))
            wrong.push(`${direction} bit ${bit}: ${result instanceof Error ? result.message : 'accepted'}`);
        }
      }
      flip = undefined;
      expect(wrong).toEqual([]);
      expect(isKeyprovError(await attempt())).toBe(false);
      await setting.key.objectHandle.flush();
      await parent.objectHandle.flush();
      await setting.ak.close();
      await setting.ek.release();
      expect(await leftovers(tpm)).toEqual([]);
      await tpm.close();
    },
  );
});
