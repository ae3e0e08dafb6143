import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createAttestationKey } from '../../src/attestation/attestation-key.ts';
import { attestKey } from '../../src/attestation/certify.ts';
import { verifyStatement } from '../../src/attestation/verify.ts';
import { type Bytes, utf8 } from '../../src/bytes.ts';
import { describeLockout, endLockout } from '../../src/cli/lockout-report.ts';
import { verifySignature } from '../../src/crypto/verify-signature.ts';
import { isKeyprovError, type KeyprovError } from '../../src/errors.ts';
import type { ProvidedKey } from '../../src/keys/provider.ts';
import { selectKeyProvider } from '../../src/keys/select-provider.ts';
import { spareLastTry } from '../../src/keys/tpm-pin.ts';
import { openTpmKeyProvider, type TpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { readTpmFacts } from '../../src/provisioning/tpm-facts.ts';
import { readLockout } from '../../src/tpm/capabilities.ts';
import { DictionaryAttackLockReset, DictionaryAttackParameters } from '../../src/tpm/commands/dictionary-attack.ts';
import { HierarchyChangeAuth } from '../../src/tpm/commands/hierarchy.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { openLibtpms } from '../../src/tpm/transports/libtpms.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { leftovers } from './support/new-tpm.ts';

const PIN = utf8('147258');
const WRONG = utf8('000000');
const data = utf8('to be signed');

async function setLockout(tpm: Tpm, newMaxTries: number, newRecoveryTime: number): Promise<void> {
  const lockHandle = TPM_RH.LOCKOUT;
  await tpm.run(DictionaryAttackParameters, { lockHandle, newMaxTries, newRecoveryTime, lockoutRecovery: 86_400 });
}

/** The settings that Windows gives to a TPM: 32 tries, one forgotten every 10 minutes. */
const setWindowsLockout = (tpm: Tpm): Promise<void> => setLockout(tpm, 32, 600);

const signs = async (provider: TpmKeyProvider, key: ProvidedKey, pin: Bytes, force = false): Promise<boolean> =>
  verifySignature(key.publicKey, 'sha256', data, await provider.sign(key, { data, pin, force }), 'der');

async function refusal(provider: TpmKeyProvider, key: ProvidedKey, pin: Bytes, force = false): Promise<KeyprovError> {
  const error: unknown = await provider.sign(key, { data, pin, force }).catch((thrown: unknown) => thrown);
  if (!isKeyprovError(error)) throw error;
  return error;
}

describe('the PIN of a TPM key', () => {
  test('is not empty', async () => {
    await using tpm = await openTpm('libtpms');
    const provider = await openTpmKeyProvider(tpm);
    const empty = new Uint8Array(0);
    await expect(provider.create({ algorithm: 'p-256', pin: empty })).rejects.toThrow(RangeError);
    const prepared = await provider.prepare({ algorithm: 'p-256' });
    await expect(provider.finish(prepared, { pin: empty })).rejects.toThrow(RangeError);
    expect(await leftovers(tpm)).toEqual([]);
  });

  test('is counted down on a TPM with the settings of Windows, and the last try is refused unless forced', async () => {
    await using tpm = await openTpm('libtpms');
    await setWindowsLockout(tpm);
    const provider = await openTpmKeyProvider(tpm);
    const key = await provider.create({ algorithm: 'p-256', pin: PIN });
    const bystander = await provider.create({ algorithm: 'p-256' });

    const left: (number | string | undefined)[][] = [];
    for (let i = 0; i < 31; i++) {
      const error = await refusal(provider, key, WRONG);
      if (!isKeyprovError(error, 'pin-wrong')) throw error;
      left.push([error.triesLeft, error.retryAfterSeconds, error.remedy]);
    }
    const remedy = 'wait 600 s for another try, or, if you are sure of the PIN, use the last try with `force: true`';
    expect(left).toEqual([
      ...Array.from({ length: 30 }, (_, i) => [31 - i, undefined, 'try again with the right PIN']),
      [1, 600, remedy],
    ]);

    const refused = await refusal(provider, key, PIN);
    expect(refused).toMatchObject({ code: 'pin-last-try', triesLeft: 1, retryAfterSeconds: 600, remedy });
    expect((await readLockout(tpm)).failedTries).toBe(31);

    expect(await refusal(provider, key, WRONG, true)).toMatchObject({ code: 'pin-wrong', triesLeft: 0 });
    expect(await refusal(provider, key, PIN)).toMatchObject({ code: 'tpm-lockout', retryAfterSeconds: 600 });
    expect(await refusal(provider, key, PIN, true)).toMatchObject({ code: 'tpm-lockout' });

    // In lockout the key still attests, and keys without a PIN still work.
    await using ak = await createAttestationKey(tpm, { algorithm: 'p-256' });
    const challenge = utf8('a nonce');
    const statement = await provider.useWithoutPin(key, {}, ({ object }) =>
      attestKey(tpm, { key: object, authorization: 'windows-hello-policy', ak, challenge }),
    );
    const verified = verifyStatement(statement, { challenge, attestationKey: { pubArea: ak.pubArea } });
    expect(verified.findings.filter(({ status }) => status === 'fail')).toEqual([]);
    expect(verified.ok).toBe(true);
    await provider.sign(bystander, { data });

    await tpm.run(DictionaryAttackLockReset, { lockHandle: TPM_RH.LOCKOUT });
    expect(await signs(provider, key, PIN)).toBe(true);
  });

  test('is tried as often as one likes on a TPM that counts no wrong PINs', async () => {
    await using tpm = await openTpm('libtpms');
    await setLockout(tpm, 1, 0);
    const provider = await openTpmKeyProvider(tpm);
    const key = await provider.create({ algorithm: 'p-256', pin: PIN });
    for (let i = 0; i < 3; i++) {
      expect(await refusal(provider, key, WRONG)).toMatchObject({
        ...{ code: 'pin-wrong', message: 'the PIN is wrong; the TPM does not count wrong PINs' },
        ...{ triesLeft: undefined, retryAfterSeconds: undefined, remedy: 'try again with the right PIN' },
      });
    }
    expect(await signs(provider, key, PIN)).toBe(true);
    expect(describeLockout(await readLockout(tpm), tpm)).toBe('wrong tries are not counted');
  });

  test.each([0, 1000])('cannot be used if the TPM allows no wrong try, and recovers in %i s', async (recovery) => {
    await using tpm = await openTpm('libtpms');
    const provider = await openTpmKeyProvider(tpm);
    const key = await provider.create({ algorithm: 'p-256', pin: PIN });
    await setLockout(tpm, 0, recovery);
    const remedy =
      "raise the TPM's maximum of wrong tries, which is 0 (TPM2_DictionaryAttackParameters with the password of the lockout hierarchy)";
    expect(await refusal(provider, key, PIN)).toMatchObject({
      ...{ code: 'tpm-lockout', retryAfterSeconds: undefined, remedy },
    });
    const lockout = await readLockout(tpm);
    expect([describeLockout(lockout, tpm), endLockout(lockout, tpm)]).toEqual([
      'locked: no wrong try is allowed',
      remedy,
    ]);
    expect(await readTpmFacts({ tpm })).toEqual({ version: '2.0', virtual: true, lockedOut: true });
  });

  test('needs force if the TPM allows one wrong try, since waiting gives no more', async () => {
    await using tpm = await openTpm('libtpms');
    await setLockout(tpm, 1, 600);
    const provider = await openTpmKeyProvider(tpm);
    const key = await provider.create({ algorithm: 'p-256', pin: PIN });
    const raise =
      "raise the TPM's maximum of wrong tries, which is 1 (TPM2_DictionaryAttackParameters with the password of the lockout hierarchy)";
    const remedy = `${raise}, or, if you are sure of the PIN, use the last try with \`force: true\``;
    const last = { code: 'pin-last-try', triesLeft: 1, retryAfterSeconds: undefined, remedy };
    expect(await refusal(provider, key, PIN)).toMatchObject(last);
    expect(await signs(provider, key, PIN, true)).toBe(true);
    await expect(spareLastTry(tpm, {})).rejects.toMatchObject({ ...last, remedy: raise });
    expect(await refusal(provider, key, WRONG, true)).toMatchObject({
      ...{ code: 'pin-wrong', triesLeft: 0, retryAfterSeconds: 600 },
      remedy: 'wait 600 s for another try, which needs `force: true`',
    });
  });

  test('is not waited for on a TPM that runs only while a program has it open', async () => {
    using directory = temporaryDirectory();
    await using tpm = await openTpm(`libtpms:${directory.path}`);
    await setLockout(tpm, 2, 600);
    const provider = await openTpmKeyProvider(tpm);
    const key = await provider.create({ algorithm: 'p-256', pin: PIN });
    const reset =
      "reset the count with the lockout hierarchy's password: this TPM counts time only while a program has it open";
    const force = `${reset}; or, if you are sure of the PIN, use the last try with \`force: true\``;
    const last = { triesLeft: 1, retryAfterSeconds: undefined, remedy: force };
    expect(await refusal(provider, key, WRONG)).toMatchObject({ code: 'pin-wrong', ...last });
    expect(await refusal(provider, key, PIN)).toMatchObject({ code: 'pin-last-try', ...last });
    await expect(spareLastTry(tpm, {})).rejects.toMatchObject({ ...last, remedy: reset });
    const counted = 'the count decreases by one every 600 seconds while a program has the TPM open';
    expect(describeLockout(await readLockout(tpm), tpm)).toBe(`1 of 2 wrong tries, 1 left; ${counted}`);
    const none = { triesLeft: 0, retryAfterSeconds: undefined, remedy: reset };
    expect(await refusal(provider, key, WRONG, true)).toMatchObject({ code: 'pin-wrong', ...none });
    const locked = { code: 'tpm-lockout', retryAfterSeconds: undefined, remedy: reset };
    expect(await refusal(provider, key, PIN)).toMatchObject(locked);
    expect(endLockout(await readLockout(tpm), tpm)).toBe('end it with keyprov tpm --reset-lockout');
    const select = selectKeyProvider(
      definePolicy({ hardware: 'required' }),
      { tpm },
      { algorithm: 'p-256', hasPin: true },
    );
    await expect(select).rejects.toMatchObject({ retryAfterSeconds: undefined, cause: locked });
    expect(await readTpmFacts({ tpm })).toEqual({ version: '2.0', virtual: true, lockedOut: true });
  });

  test('is not called wrong when it is the owner authorization that the TPM wants', async () => {
    await using tpm = await openTpm('libtpms');
    const provider = await openTpmKeyProvider(tpm);
    const key = await provider.create({ algorithm: 'p-256', pin: PIN });
    await tpm.run(HierarchyChangeAuth, { authHandle: TPM_RH.OWNER, newAuth: utf8('owner') });
    await expect(provider.sign(key, { data, pin: PIN })).rejects.toMatchObject({
      code: 'tpm-auth-failed',
      command: 'CreatePrimary',
    });
    expect((await readLockout(tpm)).failedTries).toBe(0);
    const owner = await openTpmKeyProvider(tpm, { ownerAuth: utf8('owner') });
    expect(await signs(owner, key, PIN)).toBe(true);
  });

  test('can be changed without changing the key', async () => {
    await using tpm = await openTpm('libtpms');
    await setWindowsLockout(tpm);
    const provider = await openTpmKeyProvider(tpm);
    const key = await provider.create({ algorithm: 'p-256', pin: PIN });
    const newPin = utf8('963741');
    const changed = await provider.changePin(key, { pin: PIN, newPin });
    expect(changed.publicKey).toEqual(key.publicKey);
    expect(await signs(provider, changed, newPin)).toBe(true);
    expect(await refusal(provider, changed, PIN)).toMatchObject({ code: 'pin-wrong', triesLeft: 31 });
    await expect(provider.changePin(key, { pin: WRONG, newPin })).rejects.toMatchObject({ code: 'pin-wrong' });
    await expect(provider.changePin(key, { pin: PIN, newPin: utf8('') })).rejects.toThrow(RangeError);
    const unprotected = await provider.create({ algorithm: 'p-256' });
    await expect(provider.changePin(unprotected, { pin: PIN, newPin })).rejects.toMatchObject({ code: 'key-invalid' });
  });

  test.each(['scrypt', 'pcp-sha1', 'pcp-sha256'] as const)(
    'becomes an authorization value by %s',
    async (pinDerivation) => {
      await using tpm = await openTpm('libtpms');
      const provider = await openTpmKeyProvider(tpm, { pinDerivation });
      const key = await provider.create({ algorithm: 'p-256', pin: PIN });
      expect(key.pinDerivation?.kdf).toBe(pinDerivation);
      expect(await signs(provider, key, PIN)).toBe(true);
      await expect(provider.sign(key, { data })).rejects.toMatchObject({ code: 'pin-required' });
    },
  );

  test('costs no try when the power goes 100 times right after its use', async () => {
    const transport = await openLibtpms();
    await using tpm = await Tpm.open(transport);
    const provider = await openTpmKeyProvider(tpm, { pinDerivation: 'pcp-sha256' });
    const key = await provider.create({ algorithm: 'p-256', pin: PIN });
    for (let i = 0; i < 100; i++) {
      expect(await signs(provider, key, PIN)).toBe(true);
      await transport.powerCycle();
      await tpm.startup();
    }
    expect((await readLockout(tpm)).failedTries).toBe(0);
  });

  test('costs no try when the TPM is reopened 100 times after its use', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'keyprov-pin-'));
    try {
      let key: ProvidedKey | undefined;
      for (let i = 0; i < 100; i++) {
        await using tpm = await Tpm.open(await openLibtpms({ directory }));
        const provider = await openTpmKeyProvider(tpm, { pinDerivation: 'pcp-sha256' });
        expect((await readLockout(tpm)).failedTries).toBe(0);
        key ??= await provider.create({ algorithm: 'p-256', pin: PIN });
        expect(await signs(provider, key, PIN)).toBe(true);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
