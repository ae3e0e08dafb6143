import '../cheap-scrypt.mjs';
import { describe, expect, test } from 'vitest';
import { utf8 } from '../../src/bytes.ts';
import { type AttemptCode, PassedOver, SelectionError } from '../../src/errors/selection-error.ts';
import { type ErrorCode, KeyprovError } from '../../src/errors.ts';
import type { FallbackClass } from '../../src/keys/fallback.ts';
import type { KeySources } from '../../src/keys/key-sources.ts';
import type { KeyProvider, ProvidedKey } from '../../src/keys/provider.ts';
import type { SelectionOptions } from '../../src/keys/select-provider.ts';
import { openSoftwareKeyProvider } from '../../src/keys/software-provider.ts';
import { definePolicy, type PolicySettings } from '../../src/policy/index.ts';
import { makeKey } from '../../src/provisioning/provision-key.ts';
import { type Fault, type FaultyTransport, faultyTransport } from '../../src/testing/faulty-transport.ts';
import { listHandles } from '../../src/tpm/capabilities.ts';
import { DictionaryAttackParameters } from '../../src/tpm/commands/dictionary-attack.ts';
import { TPM_CC, TPM_HT, TPM_RH } from '../../src/tpm/constants.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import { TPM_RC } from '../../src/tpm/tpm-rc.ts';

const PIN = utf8('735191');
const software = async (): Promise<KeyProvider> => openSoftwareKeyProvider();

/** A software provider that makes its key once: scrypt would take most of the time of the tests with faults. */
const onceSoftware = async (): Promise<KeyProvider> => {
  const provider = await software();
  return { ...provider, create: (options) => (onceMade ??= provider.create(options)) };
};
let onceMade: Promise<ProvidedKey> | undefined;

const withFault = (fault: (code: number, index: number) => Fault) => () =>
  openTpm('libtpms', { wrap: (transport) => faultyTransport(transport, fault) });

/** The possible states of a machine, and how to open the TPM in each. */
const MACHINES = {
  present: () => openTpm('libtpms'),
  absent: () => openTpm('device:/dev/keyprov-no-such-tpm'),
  'not named': undefined,
  'locked out': async () => {
    const tpm = await openTpm('libtpms');
    await tpm.run(DictionaryAttackParameters, {
      lockHandle: TPM_RH.LOCKOUT,
      newMaxTries: 0,
      newRecoveryTime: 1000,
      lockoutRecovery: 1000,
    });
    return tpm;
  },
  'failing at start-up': withFault((code) => (code === TPM_CC.Startup ? TPM_RC.FAILURE : 'none')),
  'lacking the algorithm': withFault((code) => (code === TPM_CC.TestParms ? TPM_RC.KEY_SIZE + 0x140 : 'none')),
} as const satisfies Record<string, KeySources['tpm']>;

type Expected =
  | { backend: 'tpm' | 'software'; assurance: string; reasons: string[] }
  | { error: ErrorCode; cause: AttemptCode };

const SOFTWARE = (reason: AttemptCode): Expected => ({ backend: 'software', assurance: 'software', reasons: [reason] });
const REFUSED = (cause: AttemptCode): Expected => ({ error: 'hardware-required', cause });
const LATER = (cause: AttemptCode): Expected => ({ error: 'tpm-unavailable', cause });
const DISCOURAGED: Expected = { backend: 'software', assurance: 'software', reasons: ['passed-over'] };
const TPM: Expected = { backend: 'tpm', assurance: 'virtual', reasons: [] };

const TABLE: Record<keyof typeof MACHINES, { required: Expected; preferred: Expected }> = {
  present: { required: TPM, preferred: TPM },
  absent: { required: REFUSED('no-tpm'), preferred: SOFTWARE('no-tpm') },
  'not named': { required: REFUSED('no-tpm'), preferred: SOFTWARE('no-tpm') },
  'locked out': { required: LATER('tpm-lockout'), preferred: LATER('tpm-lockout') },
  'failing at start-up': { required: REFUSED('tpm-failure-mode'), preferred: SOFTWARE('tpm-failure-mode') },
  'lacking the algorithm': { required: REFUSED('algorithm-unsupported'), preferred: SOFTWARE('algorithm-unsupported') },
};

async function outcome(settings: PolicySettings, tpm: KeySources['tpm']): Promise<Expected> {
  try {
    const made = await makeKey({
      policy: definePolicy({ algorithm: 'p-256', ...settings }),
      sources: { tpm, software },
      pin: PIN,
    });
    const { record } = made;
    expect(record.attempts.at(-1)).toMatchObject({ backend: record.backend, outcome: 'used' });
    expect(made.fellBack).toBe(
      record.backend === 'software' && settings.hardware !== 'discouraged' && tpm !== undefined,
    );
    return {
      backend: record.backend,
      assurance: record.assurance,
      reasons: record.attempts.slice(0, -1).map((attempt) => attempt.code ?? attempt.outcome),
    };
  } catch (error) {
    if (
      !(error instanceof SelectionError) ||
      !(error.cause instanceof KeyprovError || error.cause instanceof PassedOver)
    ) {
      throw error;
    }
    expect(error.attempts.map(({ backend, outcome }) => `${backend} ${outcome}`)).toEqual([
      `tpm ${tpm === undefined ? 'passed-over' : 'failed'}`,
      'software passed-over',
    ]);
    return { error: error.code, cause: error.cause.code };
  }
}

describe('the policy table', () => {
  for (const [name, tpm] of Object.entries(MACHINES)) {
    const row = TABLE[name as keyof typeof MACHINES];
    const cells = { ...row, discouraged: DISCOURAGED };
    for (const [hardware, expected] of Object.entries(cells)) {
      test(`hardware ${hardware} with a TPM that is ${name}`, async () => {
        expect(await outcome({ hardware: hardware as keyof typeof cells }, tpm)).toEqual(expected);
      });
    }
  }

  test('a virtual TPM that policy refuses counts as none', async () => {
    expect(await outcome({ hardware: 'required', virtualTpm: 'refuse' }, MACHINES.present)).toEqual(
      REFUSED('virtual-tpm-refused'),
    );
    expect(await outcome({ hardware: 'preferred', virtualTpm: 'refuse' }, MACHINES.present)).toEqual(
      SOFTWARE('virtual-tpm-refused'),
    );
  });

  test('a mistyped address is an error, not a reason for software', async () => {
    const making = makeKey({ policy: definePolicy(), sources: { tpm: () => openTpm('libtmps'), software }, pin: PIN });
    await expect(making).rejects.toMatchObject({ code: 'address-invalid' });
  });

  test('a TPM without TPM2_TestParms shows what it supports by making the key', async () => {
    const tpm = withFault((code) => (code === TPM_CC.TestParms ? TPM_RC.COMMAND_CODE : 'none'));
    expect(await outcome({ hardware: 'required' }, tpm)).toEqual(TPM);
  });

  test('a key without a PIN is made in a TPM that is locked out', async () => {
    const made = await makeKey({
      policy: definePolicy({ algorithm: 'p-256' }),
      sources: { tpm: MACHINES['locked out'], software },
    });
    expect(made.record.backend).toBe('tpm');
  });

  test('required attestation rules out software like required hardware', async () => {
    const making = makeKey({
      policy: definePolicy({ attestation: 'required' }),
      sources: { tpm: MACHINES.absent, software },
    });
    await expect(making).rejects.toMatchObject({ code: 'attestation-unavailable' });
  });

  test('after a TPM key there is no way back to software unless it is allowed by name', async () => {
    const policy = definePolicy({ algorithm: 'p-256' });
    const sources = { tpm: MACHINES.absent, software };
    await expect(makeKey({ policy, sources, pin: PIN, previous: 'tpm' })).rejects.toMatchObject({
      code: 'downgrade-refused',
    });
    const made = await makeKey({ policy, sources, pin: PIN, previous: 'tpm', allowDowngrade: true });
    expect(made.record.backend).toBe('software');
  });

  test('a PIN that policy does not allow is refused before a TPM is opened', async () => {
    let opened = 0;
    const tpm = async () => {
      opened++;
      return await MACHINES.present();
    };
    const policy = definePolicy({ algorithm: 'p-256', pin: { minLength: 8, digits: 'not-allowed' } });
    const making = makeKey({ policy, sources: { tpm, software }, pin: utf8('1') });
    await expect(making).rejects.toMatchObject({
      code: 'pin-refused',
      problems: [{ code: 'too-short' }, { code: 'digits-not-allowed' }, { code: 'common-pattern' }],
    });
    expect(opened).toBe(0);
  });

  test('with no software provider on offer nothing is left', async () => {
    const making = makeKey({ policy: definePolicy(), sources: { tpm: MACHINES.absent } });
    await expect(making).rejects.toMatchObject({ code: 'no-key-provider' });
  });
});

describe('a fault at any command of the making of a key', () => {
  const faults: [string, Fault, FallbackClass][] = [
    ['a lost connection', 'lost', 'temporary'],
    ['TPM_RC_FAILURE', TPM_RC.FAILURE, 'absent'],
    ['TPM_RC_AUTH_FAIL', TPM_RC.AUTH_FAIL + 0x900, 'password'],
    ['a block by TBS', 0x80280400, 'temporary'],
    ['an answer that is cut off', 'cut', 'temporary'],
  ];

  /** Makes a P-256 key with the fault at command `at`, on a TPM that stays open to be looked at. */
  async function makeWithFault(
    hardware: 'required' | 'preferred',
    fault: Fault,
    at: number,
    fallBack?: SelectionOptions['fallBack'],
  ) {
    let wrapped: FaultyTransport | undefined;
    let tpm: Tpm | undefined;
    const sources: KeySources = {
      software: onceSoftware,
      tpm: async () => {
        tpm = await openTpm('libtpms', {
          wrap: (inner) => {
            wrapped = faultyTransport(inner, (_, index) => (index === at ? fault : 'none'));
            return wrapped;
          },
        });
        return tpm;
      },
    };
    const result = await makeKey({
      policy: definePolicy({ hardware, algorithm: 'p-256' }),
      sources,
      pin: PIN,
      fallBack,
    }).catch((error: unknown) => error);
    return { result, commands: wrapped?.commands ?? 0 };
  }

  test.each(faults)('never yields a software key if hardware is required: %s', async (_, fault) => {
    let refused = 0;
    for (let at = 0; ; at++) {
      const { result, commands } = await makeWithFault('required', fault, at);
      if (commands <= at) break; // the fault came too late to be met
      if (result instanceof KeyprovError) refused++;
      else expect(result).toMatchObject({ record: { backend: 'tpm' } });
    }
    expect(refused).toBeGreaterThanOrEqual(5);
  });

  test.each(faults)('hardware is preferred: software replaces only an unusable TPM: %s', async (_, fault, kind) => {
    const codes = new Set<string>();
    for (let at = 0; ; at++) {
      const { result, commands } = await makeWithFault('preferred', fault, at);
      if (commands <= at) break;
      if (result instanceof SelectionError) codes.add(result.code);
      else if (result instanceof Error) throw result;
      else codes.add(result instanceof Object && 'fellBack' in result && result.fellBack ? 'software' : 'tpm');
    }
    codes.delete('tpm');
    expect([...codes]).toEqual([kind === 'absent' ? 'software' : 'tpm-unavailable']);
  });

  test('a wrong password never leads to software, even if the caller wants that after any failure', async () => {
    let refused = 0;
    for (let at = 0; ; at++) {
      const { result, commands } = await makeWithFault('preferred', TPM_RC.AUTH_FAIL + 0x900, at, 'any');
      if (commands <= at) break;
      if (!(result instanceof Error)) expect(result).toMatchObject({ record: { backend: 'tpm' }, fellBack: false });
      else {
        refused++;
        expect(result).toMatchObject({
          code: 'tpm-unavailable',
          remedy: expect.stringMatching(/^(?:check the PIN or authorization value|provide the [a-z ]+'s password)/),
        });
      }
    }
    expect(refused).toBeGreaterThanOrEqual(5);
  });

  const others = faults.filter(([, , kind]) => kind !== 'password');
  test.each(others)('falls back to software, with the reason, if the caller asks for it: %s', async (_, fault) => {
    for (let at = 0; ; at++) {
      const { result, commands } = await makeWithFault('preferred', fault, at, 'any');
      if (commands <= at) break;
      expect(result).not.toBeInstanceOf(Error);
      expect(result).toSatisfy((made: Awaited<ReturnType<typeof makeKey>>) =>
        made.record.backend === 'tpm' ? !made.fellBack : made.record.attempts[0]?.code !== undefined,
      );
    }
  });

  test('leaves no object and no session behind if the TPM keeps working', async () => {
    for (let at = 3; at < 14; at++) {
      let armed = true;
      const inner = await openTpm('libtpms', {
        wrap: (transport) =>
          faultyTransport(transport, (code, index) =>
            armed && index === at && code !== TPM_CC.FlushContext ? TPM_RC.AUTH_FAIL + 0x900 : 'none',
          ),
      });
      await makeKey({
        ...{ policy: definePolicy({ algorithm: 'p-256' }), sources: { tpm: inner, software: onceSoftware } },
        ...{ pin: PIN, fallBack: 'any' },
      }).catch((error: unknown) => expect(error).toMatchObject({ code: 'tpm-unavailable' }));
      armed = false;
      for (const type of [TPM_HT.TRANSIENT, TPM_HT.HMAC_SESSION, TPM_HT.POLICY_SESSION]) {
        expect(await listHandles(inner, type), `after a fault at command ${at}`).toEqual([]);
      }
      await inner.close();
    }
  });
});
