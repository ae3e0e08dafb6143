import { execFile } from 'node:child_process';
import { createECDH } from 'node:crypto';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { concat, toHex, utf8, view } from '../../src/bytes.ts';
import { ECDH_ZGen } from '../../src/tpm/commands/asymmetric.ts';
import { CreatePrimary, type CreatePrimaryResult } from '../../src/tpm/commands/hierarchy.ts';
import { PolicyAuthValue, PolicyPassword } from '../../src/tpm/commands/policy.ts';
import { GetRandom } from '../../src/tpm/commands/random.ts';
import { TPM_ALG, TPM_RH } from '../../src/tpm/constants.ts';
import { policyAuthValue, policyDigest } from '../../src/tpm/policy-digest.ts';
import type { Authorization } from '../../src/tpm/session.ts';
import { startSession } from '../../src/tpm/start-session.ts';
import { userKeyTemplate } from '../../src/tpm/templates.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { missingPrograms, PYTHON, pythonLacks } from '../programs.ts';
import { replay, type SessionVectors } from '../session-vectors.ts';
import { newTpm, tpmMissing } from './support/new-tpm.ts';
import { socketOf } from './support/swtpm-address.ts';

const CHILD = 'test/integration/children/tss_sessions.py';

/**
 * With KEYPROV_EVERY_SESSION=1, every combination is recorded, which takes five times as long; otherwise a selection in which any
 * two of hash, salt, binding and cipher meet. That, recorded once, is in test/vectors too.
 */
const EVERY = process.env.KEYPROV_EVERY_SESSION === '1';

const hashes = ['SHA-1', 'SHA-256', 'SHA-384', 'SHA-512'];
const salts = ['no salt', 'salt for RSA-2048', 'salt for P-256', 'salt for P-384'];
const bindings = ['unbound', 'bound', 'bound with zeros at the end of the value', 'bound to another entity'];
const ciphers = ['no cipher', 'AES-128-CFB', 'AES-256-CFB', 'XOR'];
const keyings = ['neither salted nor bound', 'salted', 'bound'];

/** All combinations of one of each, joined by commas. */
const combine = (...parts: readonly (readonly string[])[]): string[] =>
  parts.reduce<string[]>(
    (all, part) => all.flatMap((one) => part.map((next) => (one === '' ? next : `${one}, ${next}`))),
    [''],
  );

describe.skipIf(missingPrograms('swtpm') ?? pythonLacks('tpm2_pytss'))('sessions of tpm2-tss, recorded now', () => {
  let recorded: SessionVectors;
  beforeAll(async () => {
    await using swtpm = await startSwtpm();
    const { stdout } = await promisify(execFile)(PYTHON, [CHILD, socketOf(swtpm), EVERY ? 'all' : 'few'], {
      maxBuffer: 2 ** 26,
    });
    recorded = JSON.parse(stdout);
  });

  it.each([
    ...hashes.map((hash) => [`HMAC, ${hash}`, 19, 4, combine(['HMAC'], [hash], salts, bindings, ciphers)] as const),
    ['PolicyAuthValue', 4, 3, combine(['PolicyAuthValue'], hashes, keyings.slice(0, 2), ciphers)],
    ['PolicyPassword', 4, 4, combine(['PolicyPassword'], hashes, keyings, ciphers)],
    ['PolicyCommandCode', 4, 4, combine(['PolicyCommandCode'], hashes, keyings, ciphers)],
  ] as const)('come out of our code byte for byte in combinations of: %s', async (_, exchanges, some, expected) => {
    const cases = recorded.cases.filter(({ description }) => expected.includes(description));
    const names = cases.map(({ description }) => description);
    if (EVERY) {
      expect(names.sort()).toEqual([...expected].sort());
      expect(cases.filter((vector) => vector.exchanges.length !== exchanges)).toEqual([]);
    } else {
      expect(new Set(names).size).toBe(some);
    }
    expect(await failures({ ...recorded, cases })).toEqual([]);
  });

  it('come out of our code byte for byte in all other commands', async () => {
    const cases = recorded.cases.filter(({ description }) => !/^(HMAC|PolicyA|PolicyP|PolicyC)/.test(description));
    expect(cases.length).toBe(EVERY ? 16 : 8);
    expect(await failures({ ...recorded, cases })).toEqual([]);
  });
});

/** The failed cases with their problems. */
async function failures({ cases, saltKeys }: SessionVectors): Promise<string[]> {
  const failed: string[] = [];
  for (const vector of cases) {
    await replay(vector, saltKeys).catch((error: unknown) => failed.push(`${vector.description}: ${error}`));
  }
  return failed;
}

const missing = await tpmMissing();

describe.skipIf(missing !== undefined)('our sessions where tpm2-tss 3.2.1 fails', () => {
  const PIN = utf8('12345');
  const EMPTY = new Uint8Array(0);
  const ours = createECDH('prime256v1');
  const ourPoint = view(ours.generateKeys());
  const inPoint = { x: ourPoint.subarray(1, 33), y: ourPoint.subarray(33) };
  let tpm: Tpm;
  let key: CreatePrimaryResult;

  /** A P-256 key for ECDH with a PIN. */
  const newKey = async (authPolicy: Uint8Array): Promise<CreatePrimaryResult> => {
    const flags = { fixedTPM: true, fixedParent: true, sensitiveDataOrigin: true, decrypt: true, noDA: true };
    const objectAttributes = { ...flags, userWithAuth: authPolicy.length === 0 };
    const template = userKeyTemplate('p-256');
    return await tpm.run(CreatePrimary, {
      primaryHandle: TPM_RH.OWNER,
      inSensitive: { userAuth: PIN, data: EMPTY },
      inPublic: { ...template, objectAttributes, authPolicy },
      outsideInfo: EMPTY,
      creationPCR: [],
    });
  };
  /** Uses the key and compares the result with OpenSSL's for the other half. */
  const use = async (auth: Authorization, { objectHandle, outPublic } = key) => {
    const { outPoint } = await tpm.run(ECDH_ZGen, { keyHandle: { handle: objectHandle, auth }, inPoint });
    if (outPublic.type !== TPM_ALG.ECC) expect.fail('not an ECC key');
    const { x, y } = outPublic.unique;
    expect(toHex(outPoint.x)).toBe(toHex(view(ours.computeSecret(concat(new Uint8Array([4]), x, y)))));
  };
  const bind = (authValue = PIN, { objectHandle, name } = key) => ({ handle: objectHandle, name, authValue });

  beforeAll(async () => {
    tpm = await newTpm();
    key = await newKey(EMPTY);
  });
  afterAll(() => tpm.close());

  it('authorize and audit what they are bound to, and are unbound then', async () => {
    await using session = await startSession(tpm, { bind: bind(), use: { audit: true, encrypt: true } });
    const auth = { session, authValue: PIN };
    await use(auth);
    session.use = { ...session.use, audit: false };
    await use(auth);
    session.use = { ...session.use, audit: true };
    await use(auth);
  });

  it('are used together without authorizing: one audits, another encrypts', async () => {
    await using auditor = await startSession(tpm, { bind: bind(), use: { audit: true } });
    await using encryptor = await startSession(tpm, { bind: bind(), use: { encrypt: true } });
    for (const sessions of [
      [auditor, encryptor],
      [encryptor, auditor],
    ]) {
      const { randomBytes } = await tpm.run(GetRandom, { bytesRequested: 20 }, { sessions });
      expect(randomBytes.length).toBe(20);
    }
  });

  it('are bound by an authorization value with zeros at its end', async () => {
    await using session = await startSession(tpm, { bind: bind(concat(PIN, new Uint8Array(2))) });
    await use({ session, authValue: PIN });
    await use({ session, authValue: concat(PIN, new Uint8Array(1)) });
  });

  it.each([
    ['PolicyAuthValue', PolicyAuthValue],
    ['PolicyPassword', PolicyPassword],
  ] as const)('are policy sessions that are bound, decrypt and encrypt: %s', async (_, policy) => {
    const guarded = await newKey(policyDigest(TPM_ALG.SHA256, policyAuthValue));
    await using session = await startSession(tpm, {
      type: 'policy',
      bind: bind(PIN, guarded),
      use: { decrypt: true, encrypt: true },
    });
    for (let turn = 0; turn < 2; turn++) {
      await tpm.run(policy, { policySession: session.sessionHandle });
      await use({ session, authValue: PIN }, guarded);
    }
    await guarded.objectHandle.flush();
  });
});
