import '../cheap-scrypt.mjs';
import { afterAll, describe, expect, test } from 'vitest';
import { fromHex, utf8 } from '../../src/bytes.ts';
import { PassedOver } from '../../src/errors/selection-error.ts';
import { KeyprovError } from '../../src/errors.ts';
import {
  decideHardware,
  HARDWARE_POLICIES,
  type HardwarePolicy,
  hardwarePolicyOf,
  type TpmVersion,
} from '../../src/policy/hardware-policy.ts';
import { layerOf, mergePolicy, type Policy, PolicyError, type PolicySettings } from '../../src/policy/index.ts';
import { provisionKey } from '../../src/provisioning/provision-key.ts';
import { checkPrerequisites, type TpmFacts } from '../../src/provisioning/windows/prerequisites.ts';
import { faultyTransport } from '../../src/testing/faulty-transport.ts';
import { openTpmIn } from '../../src/testing/tpm-conditions.ts';
import { openTestTpm } from '../../src/testing/with-tpm.ts';
import { TPM_CC } from '../../src/tpm/constants.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { TPM_RC } from '../../src/tpm/tpm-rc.ts';
import type { TpmTransport } from '../../src/tpm/transport.ts';
import { softwareOnce } from './support/software-once.ts';

const PIN = utf8('735191');
const CHALLENGE = utf8('a nonce of the service');

/** A TPM 1.2's answer to a TPM 2.0 command: TPM_BAD_TAG with TPM 1.2's answer tag. */
const TPM12_ANSWER = fromHex('00c40000000a0000001e');

interface State {
  readonly open: () => Promise<Tpm>;
  /** The arguments of the two functions that do not ask a TPM. */
  readonly version: TpmVersion;
  readonly facts: TpmFacts | 'none';
  /** The reason why it is not used, if it is tried, and Windows' code for it. */
  readonly reason: string;
  readonly windowsCode: number;
}

const NO_SUITABLE = 0x80090035;
const NOT_READY = 0x80090029;
const LOCKED = 0x80090031;

/** The possible states of a machine's TPM. All TPMs that answer are emulators. */
const STATES = {
  working: {
    open: () => openTpmIn('working'),
    version: '2.0',
    facts: { version: '2.0', virtual: true },
    reason: '',
    windowsCode: 0,
  },
  absent: {
    open: () => openTpmIn('absent'),
    version: 'none',
    facts: 'none',
    reason: 'no-tpm',
    windowsCode: NO_SUITABLE,
  },
  'TPM 1.2': {
    open: () =>
      Tpm.open({
        ...{ kind: 'device', address: 'a TPM 1.2', emulator: false, managed: false },
        send: async () => TPM12_ANSWER,
        close: async () => {},
      }),
    version: '1.2',
    facts: { version: '1.2' },
    reason: 'tpm-response',
    windowsCode: NO_SUITABLE,
  },
  'not ready': {
    // Its owner hierarchy is switched off in the firmware setup.
    open: async () => {
      const wrap = (inner: TpmTransport) =>
        faultyTransport(inner, (code) => (code === TPM_CC.CreatePrimary ? TPM_RC.HIERARCHY + 0x100 : 'none'));
      return (await openTestTpm({ wrap })).tpm;
    },
    version: '2.0',
    facts: { version: '2.0', virtual: true, ready: false },
    reason: 'tpm-response',
    windowsCode: NOT_READY,
  },
  locked: {
    open: () => openTpmIn('locked'),
    version: '2.0',
    facts: { version: '2.0', virtual: true, lockedOut: true },
    reason: 'tpm-lockout',
    windowsCode: LOCKED,
  },
  failing: {
    open: () => openTpmIn('failing'),
    version: '2.0',
    facts: { version: '2.0', ready: false },
    reason: 'tpm-failure-mode',
    windowsCode: NOT_READY,
  },
  lost: {
    open: () => openTpmIn('lost'),
    version: '2.0',
    facts: { version: '2.0', ready: false },
    reason: 'transport-lost',
    windowsCode: NOT_READY,
  },
} as const satisfies Record<string, State>;
type StateName = keyof typeof STATES;
const STATE_NAMES: readonly StateName[] = ['working', 'absent', 'TPM 1.2', 'not ready', 'locked', 'failing', 'lost'];

const REFUSALS: ReadonlyMap<string, string> = new Map([
  ['hardware-required', 'H'],
  ['attestation-unavailable', 'A'],
  ['tpm-unavailable', 'U'],
]);

const LEGEND = `Each cell: what decideHardware says of the version, what the prerequisite check says, what provisionKey does.
T: in the TPM, with its attestation; t: in the TPM, without; S: in software. +: eligible; -: not.
N: nowhere; H: refused as hardware-required; A: refused as attestation-unavailable; U: refused as tpm-unavailable.
no policy: there is none, since its settings contradict each other.`;

/** The five hardware policies of Windows, then the settings of this library. */
const EXPECTED: Readonly<Record<string, string>> = {
  'virtualTpm allow, attestation none': `
                    | working   | absent    | TPM 1.2   | not ready | locked    | failing   | lost
Force Software      | S + S     | S + S     | S + S     | S + S     | S + S     | S + S     | S + S
Any TPM             | T + t     | N - H     | N - H     | T - H     | T - U     | T - H     | T - U
TPM 2.0 or Software | T + t     | S + S     | S + S     | T + S     | T + U     | T + S     | T + U
Hardware Preferred  | T + t     | S + S     | S + S     | T + S     | T + U     | T + S     | T + U
Hardware Required   | T + t     | N - H     | N - H     | T - H     | T - U     | T - H     | T - U
required            | T + t     | N - H     | N - H     | T - H     | T - U     | T - H     | T - U
preferred           | T + t     | S + S     | S + S     | T + S     | T + U     | T + S     | T + U
discouraged         | S + S     | S + S     | S + S     | S + S     | S + S     | S + S     | S + S
`,
  'virtualTpm allow, attestation preferred': `
                    | working   | absent    | TPM 1.2   | not ready | locked    | failing   | lost
Force Software      | S + S     | S + S     | S + S     | S + S     | S + S     | S + S     | S + S
Any TPM             | T + T     | N - H     | N - H     | T - H     | T - U     | T - H     | T - U
TPM 2.0 or Software | T + T     | S + S     | S + S     | T + S     | T + U     | T + S     | T + U
Hardware Preferred  | T + T     | S + S     | S + S     | T + S     | T + U     | T + S     | T + U
Hardware Required   | T + T     | N - H     | N - H     | T - H     | T - U     | T - H     | T - U
required            | T + T     | N - H     | N - H     | T - H     | T - U     | T - H     | T - U
preferred           | T + T     | S + S     | S + S     | T + S     | T + U     | T + S     | T + U
discouraged         | S + S     | S + S     | S + S     | S + S     | S + S     | S + S     | S + S
`,
  'virtualTpm allow, attestation required': `
                    | working   | absent    | TPM 1.2   | not ready | locked    | failing   | lost
Force Software      | no policy | no policy | no policy | no policy | no policy | no policy | no policy
Any TPM             | T + T     | N - H     | N - H     | T - H     | T - U     | T - H     | T - U
TPM 2.0 or Software | T + T     | S - A     | S - A     | T - A     | T - U     | T - A     | T - U
Hardware Preferred  | T + T     | S - A     | S - A     | T - A     | T - U     | T - A     | T - U
Hardware Required   | T + T     | N - H     | N - H     | T - H     | T - U     | T - H     | T - U
required            | T + T     | N - H     | N - H     | T - H     | T - U     | T - H     | T - U
preferred           | T + T     | S - A     | S - A     | T - A     | T - U     | T - A     | T - U
discouraged         | no policy | no policy | no policy | no policy | no policy | no policy | no policy
`,
  'virtualTpm refuse, attestation none': `
                    | working   | absent    | TPM 1.2   | not ready | locked    | failing   | lost
Force Software      | S + S     | S + S     | S + S     | S + S     | S + S     | S + S     | S + S
Any TPM             | T - H     | N - H     | N - H     | T - H     | T - H     | T - H     | T - U
TPM 2.0 or Software | T + S     | S + S     | S + S     | T + S     | T + S     | T + S     | T + U
Hardware Preferred  | T + S     | S + S     | S + S     | T + S     | T + S     | T + S     | T + U
Hardware Required   | T - H     | N - H     | N - H     | T - H     | T - H     | T - H     | T - U
required            | T - H     | N - H     | N - H     | T - H     | T - H     | T - H     | T - U
preferred           | T + S     | S + S     | S + S     | T + S     | T + S     | T + S     | T + U
discouraged         | S + S     | S + S     | S + S     | S + S     | S + S     | S + S     | S + S
`,
  'virtualTpm refuse, attestation preferred': `
                    | working   | absent    | TPM 1.2   | not ready | locked    | failing   | lost
Force Software      | S + S     | S + S     | S + S     | S + S     | S + S     | S + S     | S + S
Any TPM             | T - H     | N - H     | N - H     | T - H     | T - H     | T - H     | T - U
TPM 2.0 or Software | T + S     | S + S     | S + S     | T + S     | T + S     | T + S     | T + U
Hardware Preferred  | T + S     | S + S     | S + S     | T + S     | T + S     | T + S     | T + U
Hardware Required   | T - H     | N - H     | N - H     | T - H     | T - H     | T - H     | T - U
required            | T - H     | N - H     | N - H     | T - H     | T - H     | T - H     | T - U
preferred           | T + S     | S + S     | S + S     | T + S     | T + S     | T + S     | T + U
discouraged         | S + S     | S + S     | S + S     | S + S     | S + S     | S + S     | S + S
`,
  'virtualTpm refuse, attestation required': `
                    | working   | absent    | TPM 1.2   | not ready | locked    | failing   | lost
Force Software      | no policy | no policy | no policy | no policy | no policy | no policy | no policy
Any TPM             | T - H     | N - H     | N - H     | T - H     | T - H     | T - H     | T - U
TPM 2.0 or Software | T - A     | S - A     | S - A     | T - A     | T - A     | T - A     | T - U
Hardware Preferred  | T - A     | S - A     | S - A     | T - A     | T - A     | T - A     | T - U
Hardware Required   | T - H     | N - H     | N - H     | T - H     | T - H     | T - H     | T - U
required            | T - H     | N - H     | N - H     | T - H     | T - H     | T - H     | T - U
preferred           | T - A     | S - A     | S - A     | T - A     | T - A     | T - A     | T - U
discouraged         | no policy | no policy | no policy | no policy | no policy | no policy | no policy
`,
};

type Settings = Required<Pick<PolicySettings, 'virtualTpm' | 'attestation'>>;
const BLOCKS: readonly Settings[] = (['allow', 'refuse'] as const).flatMap((virtualTpm) =>
  (['none', 'preferred', 'required'] as const).map((attestation) => ({ virtualTpm, attestation })),
);
const WINDOWS_POLICIES: readonly HardwarePolicy[] = [
  'Force Software',
  'Any TPM',
  'TPM 2.0 or Software',
  'Hardware Preferred',
  'Hardware Required',
];
const OWN: readonly Policy['hardware'][] = ['required', 'preferred', 'discouraged'];
type Row = (typeof WINDOWS_POLICIES)[number] | (typeof OWN)[number];

const isOwn = (row: Row): row is Policy['hardware'] => OWN.some((own) => own === row);

function policyOf(row: Row, settings: Settings): Policy | undefined {
  const { hardware, ...windows } = isOwn(row) ? { hardware: row } : HARDWARE_POLICIES[row];
  try {
    return mergePolicy([layerOf({ hardware, ...settings, algorithm: 'p-256', windows })]).policy;
  } catch (error) {
    if (error instanceof PolicyError) return undefined;
    throw error;
  }
}

/** The reason why the TPM is not used, if it is tried. A TPM that does not answer cannot be identified as virtual. */
function whyNot({ virtualTpm }: Settings, name: StateName): Pick<State, 'reason' | 'windowsCode'> {
  const isRefused = virtualTpm === 'refuse' && (name === 'working' || name === 'not ready' || name === 'locked');
  return isRefused ? { reason: 'virtual-tpm-refused', windowsCode: NO_SUITABLE } : STATES[name];
}

async function provision(policy: Policy, settings: Settings, name: StateName): Promise<string> {
  const reasons = policy.hardware === 'discouraged' ? [undefined] : [whyNot(settings, name).reason];
  try {
    const result = await provisionKey({
      policy,
      sources: { tpm: STATES[name].open, software: softwareOnce },
      challenge: CHALLENGE,
      pin: PIN,
    });
    const { record: key, fellBack, attestation } = result;
    const { assurance, attempts } = key;
    const isTpm = key.backend === 'tpm';
    expect([assurance, fellBack]).toEqual([
      isTpm ? 'virtual' : 'software',
      !isTpm && policy.hardware !== 'discouraged',
    ]);
    expect(attempts.slice(0, -1).map(({ code }) => code)).toEqual(isTpm ? [] : reasons);
    if (!isTpm) return 'S';
    expect(attestation.status).toBe(settings.attestation === 'none' ? 'none' : 'made');
    return attestation.status === 'made' ? 'T' : 't';
  } catch (error) {
    const cause = error instanceof KeyprovError ? error.cause : undefined;
    if (!(error instanceof KeyprovError) || !(cause instanceof KeyprovError || cause instanceof PassedOver))
      throw error;
    expect(cause.code).toBe(whyNot(settings, name).reason);
    return REFUSALS.get(error.code) ?? error.code;
  }
}

async function cellOf(row: Row, settings: Settings, name: StateName): Promise<string> {
  const policy = policyOf(row, settings);
  if (policy === undefined) return 'no policy';
  const { version, facts: tpm } = STATES[name];
  const windowsPolicy = isOwn(row) ? hardwarePolicyOf(row, false) : row;
  const { place } = decideHardware(windowsPolicy, version);
  const { findings } = checkPrerequisites({}, { policy, tpm });
  const eligible = findings.find(({ id }) => id === 'hardware-eligible');
  expect(eligible?.status).toMatch(/^(?:pass|fail)$/);
  if (eligible?.status === 'fail') expect(eligible.code).toBe(whyNot(settings, name).windowsCode);
  const decided = { tpm: 'T', software: 'S', refused: 'N' }[place];
  return `${decided} ${eligible?.status === 'pass' ? '+' : '-'} ${await provision(policy, settings, name)}`;
}

const title = ({ virtualTpm, attestation }: Settings) => `virtualTpm ${virtualTpm}, attestation ${attestation}`;

describe('the hardware policies in every state of the TPM', () => {
  const printed: string[] = [];
  afterAll(() => console.log(`${LEGEND}\n${printed.join('\n')}\n`));

  test.each(BLOCKS)('virtualTpm $virtualTpm, attestation $attestation', async (settings) => {
    const rows = [['', ...STATE_NAMES]];
    for (const row of [...WINDOWS_POLICIES, ...OWN]) {
      const cells: string[] = [row];
      for (const name of STATE_NAMES) cells.push(await cellOf(row, settings, name));
      rows.push(cells);
    }
    const lines = rows.map((cells) =>
      cells
        .map((cell, at) => cell.padEnd(at === 0 ? 19 : 9))
        .join(' | ')
        .trimEnd(),
    );
    printed.push(title(settings), ...lines);
    expect(`\n${lines.join('\n')}\n`).toBe(EXPECTED[title(settings)]);
  });
});
