import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  type AttestationKey,
  createAttestationKey,
  loadAttestationKey,
} from '../../src/attestation/attestation-key.ts';
import { attestKey, certifyCreation, certifyKey } from '../../src/attestation/certify.ts';
import {
  type AttestationStatement,
  decodeStatement,
  encodeStatement,
  verifyStatement,
} from '../../src/attestation/index.ts';
import { type Bytes, copy, fromHex, toHex } from '../../src/bytes.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import { buildKast, decodeKast, encodeKast, statementFromKast } from '../../src/formats/windows/kast.ts';
import { readProperties } from '../../src/tpm/capabilities.ts';
import { decode, encode } from '../../src/tpm/codec/index.ts';
import { DictionaryAttackLockReset, DictionaryAttackParameters } from '../../src/tpm/commands/dictionary-attack.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { Create, type CreateResult, Load } from '../../src/tpm/commands/object.ts';
import { TPM_ALG, TPM_ECC, TPM_PT, TPM_RH } from '../../src/tpm/constants.ts';
import { handleName, qualifiedName } from '../../src/tpm/names.ts';
import { publicKeyOf } from '../../src/tpm/public-key.ts';
import { TPMS_ATTEST } from '../../src/tpm/structures/attest.ts';
import { TPM2B_PUBLIC, TPMT_PUBLIC } from '../../src/tpm/structures/object.ts';
import { akTemplate, srkTemplate, userKeyTemplate } from '../../src/tpm/templates.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import type { TpmObject } from '../../src/tpm/tpm-object.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { missingPrograms } from '../programs.ts';
import { ENGINES } from './support/engines.ts';
import { manufacturedTpm } from './support/new-tpm.ts';
import { tctiOf } from './support/swtpm-address.ts';

const EMPTY = new Uint8Array(0);
const PIN = fromHex('0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20');
const CHALLENGE = fromHex('c0ffee'.repeat(10));
const OWNER_NAME = handleName(TPM_RH.OWNER);
const ENDORSEMENT_NAME = handleName(TPM_RH.ENDORSEMENT);

/** Runs a program with files of these contents, whose paths `argumentsOf` gets. @returns its exit code and its output. */
function run(
  program: string,
  files: Readonly<Record<string, string | Uint8Array>>,
  argumentsOf: (path: (name: string) => string) => string[],
  env: Readonly<Record<string, string>> = {},
): { status: number | null; output: string } {
  const directory = mkdtempSync(join(tmpdir(), 'keyprov-attestation-'));
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content);
    const options = { encoding: 'utf8', env: { ...process.env, ...env } } as const;
    const { status, stdout, stderr } = spawnSync(
      program,
      argumentsOf((name) => join(directory, name)),
      options,
    );
    return { status, output: stdout + stderr };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** With another last byte. */
const changed = (bytes: Uint8Array): Bytes => {
  const other = copy(bytes);
  other[other.length - 1] = (other.at(-1) ?? 0) ^ 1;
  return other;
};

/** The files of a statement that other tools read. */
function filesOf(statement: AttestationStatement) {
  const json = encodeStatement(statement);
  return {
    'ak.pem': json.ak.publicKey,
    'ak.pub': encode(TPM2B_PUBLIC, decode(TPMT_PUBLIC, statement.ak.pubArea)),
    certInfo: statement.certInfo,
    changed: changed(statement.certInfo),
    signature: statement.signature,
    bare: fromHex(json.bareSignature),
  };
}

for (const [engine, missing] of ENGINES) {
  describe.skipIf(missing)(`attestation by ${engine}`, () => {
    let tpm: Tpm;
    let srk: TpmObject;
    const keys = new Map<string, { object: TpmObject; made: CreateResult }>();
    const aks = new Map<string, AttestationKey>();
    const keyOf = (name: string) => keys.get(name) ?? expect.unreachable(name);
    const akOf = (name: string) => aks.get(name) ?? expect.unreachable(name);
    const srkName = () => qualifiedName(OWNER_NAME, srk.name);

    beforeAll(async () => {
      tpm = await manufacturedTpm({ engine });
      const primary = await tpm.run(CreatePrimary, {
        primaryHandle: TPM_RH.OWNER,
        inSensitive: { userAuth: EMPTY, data: EMPTY },
        inPublic: srkTemplate('p-256', 'empty'),
        outsideInfo: EMPTY,
        creationPCR: [],
      });
      srk = primary.objectHandle;
      for (const algorithm of ['rsa-2048', 'p-256'] as const) {
        const made = await tpm.run(Create, {
          parentHandle: srk,
          inSensitive: { userAuth: PIN, data: EMPTY },
          inPublic: userKeyTemplate(algorithm),
          outsideInfo: EMPTY,
          creationPCR: [],
        });
        const parts = { inPrivate: made.outPrivate, inPublic: made.outPublic };
        const { objectHandle } = await tpm.run(Load, { parentHandle: srk, ...parts });
        keys.set(algorithm, { object: objectHandle, made });
        aks.set(`${algorithm} endorsement`, await createAttestationKey(tpm, { algorithm }));
        aks.set(`${algorithm} owner`, await createAttestationKey(tpm, { algorithm, parent: srk, nonce: CHALLENGE }));
      }
    });
    afterAll(() => tpm?.close());

    const cases = ['rsa-2048', 'p-256'].flatMap((key) =>
      ['rsa-2048', 'p-256'].flatMap((ak) => ['endorsement', 'owner'].map((place) => [key, `${ak} ${place}`] as const)),
    );
    const attest = (keyName: string, akName: string): Promise<AttestationStatement> => {
      const { object, made } = keyOf(keyName);
      const key = { handle: object, auth: PIN };
      const ak = akOf(akName);
      return attestKey(tpm, { key, ak, challenge: CHALLENGE, creation: made, akCreation: true });
    };

    it('a key whose Name keyprov cannot compute is refused, and not the connection blamed', async () => {
      const run = tpm.run.bind(tpm);
      vi.spyOn(tpm, 'run').mockImplementation(async (command, args, options) => {
        const result = await run(command, args, options);
        if ('outPublic' in result) Object.assign(Object(result.outPublic), { nameAlg: TPM_ALG.SM3_256 });
        return result;
      });
      try {
        const common = {
          ak: akOf('p-256 owner'),
          challenge: CHALLENGE,
          authorization: 'windows-hello-policy',
        } as const;
        await expect(attestKey(tpm, { ...common, key: keyOf('p-256').object })).rejects.toMatchObject({
          code: 'tpm-unsupported',
          message: 'keyprov cannot check the attestation of a key with the name algorithm 0x12',
          remedy: 'use a key whose name algorithm is SHA-256, or call certifyKey, which does not check the result',
        });
      } finally {
        vi.restoreAllMocks();
      }
    });

    it.each(cases)('a %s key certified by an attestation key %s verifies in every check', async (keyName, akName) => {
      const statement = await attest(keyName, akName);
      const { object, made } = keyOf(keyName);
      const ak = akOf(akName);
      const options = {
        challenge: CHALLENGE,
        attestationKey: { name: ak.object.name },
        expectedKey: { spki: encodeSpki(publicKeyOf(made.outPublic)) },
        keyParent: srkName(),
        akParent: akName.endsWith('owner') ? srkName() : ENDORSEMENT_NAME,
        akNonce: akName.endsWith('owner') ? CHALLENGE : EMPTY,
      };
      const result = verifyStatement(statement, options);
      expect(result.findings.filter(({ status }) => status === 'fail')).toEqual([]);
      expect(result.ok && result.publicKey).toEqual(publicKeyOf(made.outPublic));
      expect(result.findings).toHaveLength(7 + 8 + 9 + 9);
      expect(verifyStatement(statement, { ...options, expectedKey: { name: object.name } }).ok).toBe(true);
      expect(decodeStatement(JSON.parse(JSON.stringify(encodeStatement(statement))))).toEqual(statement);

      const others = [...aks.values()].filter((other) => other !== ak);
      for (const other of others) {
        const { ok } = verifyStatement(statement, { ...options, attestationKey: { pubArea: other.pubArea } });
        expect(ok).toBe(false);
      }
    });

    it.each([
      ['Schnorr', TPM_ECC.NIST_P256, TPM_ALG.ECSCHNORR],
      ['P-224', TPM_ECC.NIST_P224, TPM_ALG.ECDSA],
    ] as const)('a key is certified with %s, which only others can verify', async (_, curveID, scheme) => {
      const template = akTemplate('p-256');
      if (template.type !== TPM_ALG.ECC) return expect.unreachable();
      const made = await tpm.run(Create, {
        ...{ parentHandle: srk, inSensitive: { userAuth: EMPTY, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] },
        inPublic: {
          ...template,
          parameters: { ...template.parameters, curveID, scheme: { scheme, details: { hashAlg: TPM_ALG.SHA256 } } },
        },
      });
      const saved = { publicArea: made.outPublic, privateArea: made.outPrivate, creation: made };
      await using ak = await loadAttestationKey(tpm, saved, { parent: srk });
      const { object: key, made: creation } = keyOf('p-256');
      const authorization = 'windows-hello-policy';
      const statement = await attestKey(tpm, {
        key,
        ak,
        challenge: CHALLENGE,
        authorization,
        creation,
        akCreation: true,
      });
      const { findings } = verifyStatement(statement, { challenge: CHALLENGE, attestationKey: ak });
      const signatures = findings.filter(({ id, status }) => status === 'fail' && id.endsWith('signature'));
      expect(signatures.length).toBe(3);
    });

    it.each(cases)('a %s key with PIN is certified by %s without the PIN', async (keyName, akName) => {
      const { object: key } = keyOf(keyName);
      const ak = akOf(akName);
      await expect(certifyKey(tpm, { key, ak, challenge: CHALLENGE })).rejects.toMatchObject({
        code: 'tpm-auth-failed',
      });
      await tpm.run(DictionaryAttackLockReset, { lockHandle: TPM_RH.LOCKOUT });
      const statement = await attestKey(tpm, {
        key,
        ak,
        challenge: CHALLENGE,
        authorization: 'windows-hello-policy',
      });
      const { ok } = verifyStatement(statement, { challenge: CHALLENGE, attestationKey: { pubArea: ak.pubArea } });
      expect(ok).toBe(true);
    });

    it('in lockout a key is certified by policy and creation, but not with its PIN', async () => {
      const { object: key, made: creation } = keyOf('p-256');
      const parameters = { lockHandle: TPM_RH.LOCKOUT, newRecoveryTime: 1000, lockoutRecovery: 1000 };
      await tpm.run(DictionaryAttackParameters, { ...parameters, newMaxTries: 0 });
      try {
        for (const ak of aks.values()) {
          const common = { ak, challenge: CHALLENGE };
          const byPin = certifyKey(tpm, { ...common, key: { handle: key, auth: PIN } });
          await expect(byPin).rejects.toMatchObject({ code: 'tpm-lockout' });
          const statement = await attestKey(tpm, { ...common, key, authorization: 'windows-hello-policy', creation });
          const { ok } = verifyStatement(statement, { challenge: CHALLENGE, attestationKey: { pubArea: ak.pubArea } });
          expect(ok).toBe(true);
        }
      } finally {
        await tpm.run(DictionaryAttackParameters, { ...parameters, newMaxTries: 3 });
      }
    });

    it('the creation of a key is certified without its PIN', async () => {
      const { object: key, made: creation } = keyOf('rsa-2048');
      const ak = akOf('p-256 endorsement');
      const proof = await certifyCreation(tpm, { key, creation, ak, challenge: CHALLENGE });
      const attest = decode(TPMS_ATTEST, proof.certInfo);
      expect(attest).toMatchObject({
        type: 0x801a,
        extraData: CHALLENGE,
        attested: { objectName: key.name, creationHash: creation.creationHash },
      });
    });

    it('only an attestation key of the endorsement hierarchy shows the firmware version', async () => {
      const properties = await readProperties(tpm, TPM_PT.FAMILY_INDICATOR);
      const firmware =
        (BigInt(properties.get(TPM_PT.FIRMWARE_VERSION_1) ?? 0) << 32n) |
        BigInt(properties.get(TPM_PT.FIRMWARE_VERSION_2) ?? 0);
      const { object } = keyOf('p-256');
      for (const [name, ak] of aks) {
        const key = { handle: object, auth: PIN };
        const { certInfo } = await certifyKey(tpm, { key, ak, challenge: CHALLENGE });
        expect(decode(TPMS_ATTEST, certInfo).firmwareVersion === firmware).toBe(name.endsWith('endorsement'));
      }
    });

    it('an attestation key of the endorsement hierarchy is the same each time, one of the SRK is loaded again', async () => {
      await using again = await createAttestationKey(tpm, { algorithm: 'p-256' });
      expect(toHex(again.object.name)).toBe(toHex(akOf('p-256 endorsement').object.name));
      expect(again.saved).toBeUndefined();

      const { saved, object } = akOf('p-256 owner');
      if (saved === undefined) return expect.unreachable();
      await using loaded = await loadAttestationKey(tpm, saved, { parent: srk });
      expect(toHex(loaded.object.name)).toBe(toHex(object.name));
      const proof = await certifyCreation(tpm, {
        key: loaded.object,
        creation: saved.creation,
        ak: loaded,
        challenge: CHALLENGE,
      });
      expect(proof.signature.length).toBeGreaterThan(0);
    });

    it.each([0, 65])('a challenge of %i bytes is refused before anything is sent', async (length) => {
      const { object: key } = keyOf('p-256');
      const ak = akOf('p-256 owner');
      const challenge = new Uint8Array(length);
      await expect(certifyKey(tpm, { key, ak, challenge })).rejects.toThrow(RangeError);
    });

    it.each([1, 64])('a challenge of %i bytes is certified', async (length) => {
      const challenge = new Uint8Array(length).fill(7);
      const key = { handle: keyOf('p-256').object, auth: PIN };
      const { certInfo } = await certifyKey(tpm, { key, ak: akOf('p-256 owner'), challenge });
      expect(decode(TPMS_ATTEST, certInfo).extraData).toEqual(challenge);
    });

    it('a failed certification by policy leaves no session', async () => {
      const { object: key } = keyOf('p-256');
      const ak = akOf('p-256 endorsement');
      await using other = await createAttestationKey(tpm, { algorithm: 'p-256', parent: srk });
      for (let i = 0; i < 10; i++) {
        const wrong = certifyKey(tpm, {
          key: other.object,
          ak,
          challenge: CHALLENGE,
          authorization: 'windows-hello-policy',
        });
        await expect(wrong).rejects.toMatchObject({
          code: 'tpm-response',
          responseCode: { name: 'TPM_RC_POLICY_FAIL' },
        });
      }
      await certifyKey(tpm, { key, ak, challenge: CHALLENGE, authorization: 'windows-hello-policy' });
    });

    it.each(['rsa-2048', 'p-256'])('a statement about a %s key becomes a KAST and comes back', async (keyName) => {
      const { made } = keyOf(keyName);
      const ak = akOf('rsa-2048 owner');
      const statement = await attest(keyName, 'rsa-2048 owner');
      const { creation: _, ...expected } = statement;
      const kast = buildKast(statement, {
        claim: 'authority-and-subject',
        privateArea: made.outPrivate,
        authRequired: true,
      });
      expect(encodeKast(decodeKast(kast))).toEqual(kast);
      const back = statementFromKast(decodeKast(kast));
      expect(back).toEqual(expected);
      const options = { challenge: CHALLENGE, akNonce: CHALLENGE, attestationKey: { pubArea: ak.pubArea } };
      expect(verifyStatement(back, options).ok).toBe(true);
    });

    const missingTools = missingPrograms(
      'openssl',
      'tpm2_checkquote',
      'tpm2_loadexternal',
      'tpm2_verifysignature',
      'swtpm',
    );
    it.skipIf(missingTools !== undefined).each(cases)(
      'other tools take a %s key certified by %s',
      async (keyName, akName) => {
        const files = filesOf(await attest(keyName, akName));
        const openssl = (data: string) =>
          run('openssl', files, (path) => [
            ...['dgst', '-sha256', '-verify', path('ak.pem'), '-signature', path('bare'), path(data)],
          ]);
        expect(openssl('certInfo')).toEqual({ status: 0, output: 'Verified OK\n' });
        expect(openssl('changed').output).toContain('Verification failure');

        const checkquote = (data: string, challenge = CHALLENGE) =>
          run('tpm2_checkquote', files, (path) => [
            ...[
              '-u',
              path('ak.pem'),
              '-m',
              path(data),
              '-s',
              path('signature'),
              '-q',
              toHex(challenge),
              '-g',
              'sha256',
            ],
          ]).status;
        expect(checkquote('certInfo')).toBe(0);
        expect(checkquote('changed')).not.toBe(0);
        expect(checkquote('certInfo', changed(CHALLENGE))).not.toBe(0);

        await using verifier = await startSwtpm();
        const env = { TPM2TOOLS_TCTI: tctiOf(verifier) };
        const verify = (data: string) =>
          run(
            'sh',
            files,
            (path) => [
              '-c',
              `tpm2_loadexternal -Q -C n -u "${path('ak.pub')}" -c "${path('ak.ctx')}" &&
               tpm2_verifysignature -Q -c "${path('ak.ctx')}" -g sha256 -m "${path(data)}" -s "${path('signature')}";
               status=$?; tpm2_flushcontext -Q -t; exit $status`,
            ],
            env,
          );
        expect(verify('certInfo')).toEqual({ status: 0, output: '' });
        expect(verify('changed').status).not.toBe(0);
      },
    );
  });
}
