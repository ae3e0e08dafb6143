import { execFileSync, spawn } from 'node:child_process';
import { on, once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { holdLock } from '../../src/storage/hold-lock.ts';
import { FlushContext } from '../../src/tpm/commands/context.ts';
import { TPM_CC } from '../../src/tpm/constants.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { type SwtpmProcess, startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { type FakeServer, startFakePair } from '../integration/support/fake-server.ts';
import { leftovers } from '../integration/support/new-tpm.ts';
import { socketOf } from '../integration/support/swtpm-address.ts';
import { missingPrograms, PYTHON } from '../programs.ts';
import { type HoldingRelay, startHoldingRelay } from './support/holding-relay.ts';
import { keyprovBeside, override, startKeyprov } from './support/keyprov.ts';
import { type ServiceWorld, startServiceWorld, storeFiles } from './support/service-world.ts';

/** Everything that a command can wait for, for one signal. None of it needs to answer. */
interface World extends AsyncDisposable {
  readonly world: ServiceWorld;
  readonly swtpm: SwtpmProcess;
  readonly relay: HoldingRelay;
  /** Accepts connections on two consecutive ports, and sends nothing. */
  readonly silent: FakeServer & { connected(): Promise<void> };
  /** A pipe without a writer. */
  readonly fifo: string;
  readonly tpm: string;
  readonly pin: string;
}

async function startWorld(): Promise<World> {
  const world = await startServiceWorld();
  const swtpm = await startSwtpm();
  const path = join(world.path, 'relay');
  const relay = await startHoldingRelay(path, socketOf(swtpm));
  let onConnection = (): void => {};
  const silent = await startFakePair(
    () => onConnection(),
    () => undefined,
  );
  const fifo = join(world.path, 'fifo');
  execFileSync('mkfifo', ['-m', '600', fifo]);
  const pin = world.file('pin', '730519-Xq\n');
  const tpm = `swtpm:unix:${path}`;
  const args = [
    'provision',
    ...world.runArgs,
    '--algorithm',
    'p-256',
    '--tpm',
    tpm,
    '--pin-file',
    pin,
    '--skip-prerequisites',
  ];
  const { status, stderr } = await keyprovBeside(args, { env: { SSH_CONNECTION: '' } });
  if (status !== 0) throw new Error(stderr);
  return {
    ...{ world, swtpm, relay, fifo, pin, tpm },
    silent: {
      ...silent,
      connected: () =>
        new Promise((resolve) => {
          onConnection = resolve;
        }),
    },
    async [Symbol.asyncDispose]() {
      await relay[Symbol.asyncDispose]();
      await swtpm.stop();
      await silent[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

type Started = ReturnType<typeof startKeyprov>['child'];

/** A command, and what it waits for when the signal arrives. */
interface Case {
  readonly args: (at: World) => readonly string[] | Promise<readonly string[]>;
  /** Starts before the command. Resolves when the command waits, to a function that ends the peer. */
  readonly hangs: (at: World, started: Promise<Started>) => Promise<(() => Promise<void>) | undefined>;
  readonly input?: 'open';
  readonly env?: (at: World) => Readonly<Record<string, string>>;
}

const out = ({ world }: World) => ['--out', join(world.path, 'out')];
const stored = ({ world, tpm }: World) => ['--store', world.store, '--tpm', tpm];
const letter = ({ world }: World) => ['--in', join(world.path, 'pin')];
const p256 = ['--algorithm', 'p-256'];
const inSoftware = [...p256, '--tpm', 'none', '--hardware', 'discouraged'];
const silentService = ({ world, silent }: World, scheme = 'https') => [
  ...['--service', `${scheme}://localhost:${silent.port}`, '--service-ca', join(world.path, 'ca.pem')],
];

/** During a command that the TPM accepts and never answers. */
const held = (code: number): Case['hangs'] => {
  return async ({ relay }) => {
    await relay.hold(code);
    return undefined;
  };
};
const connected: Case['hangs'] = async ({ silent }) => {
  await silent.connected();
  return undefined;
};
/** While reading a pipe that nobody writes to. */
const atFifo: Case['hangs'] = async ({ fifo }) => {
  const writer = await open(fifo, 'w');
  return () => writer.close();
};

/** A command that ends only by SIGKILL, and says when it runs. */
const endless = ({ fifo }: World) => `exec 2>/dev/null; trap '' TERM HUP INT; echo >'${fifo}'; sleep 60; sleep 60`;
const saidToFifo: Case['hangs'] = async ({ fifo }) => {
  await (await open(fifo, 'r')).close();
  return undefined;
};

/** The processes with this environment variable: those that a command has started, and what these have started. */
function withVariable(variable: string): string[] {
  const ofProcess = (pid: string, name: string) => {
    try {
      return readFileSync(`/proc/${pid}/${name}`, 'latin1');
    } catch {
      return ''; // it has ended
    }
  };
  return readdirSync('/proc')
    .filter((pid) => ofProcess(pid, 'environ').split('\0').includes(variable))
    .map((pid) => ofProcess(pid, 'cmdline').replaceAll('\0', ' '));
}

/** Waits until the process handles signals, for cases in which its waiting is not visible from outside. */
async function settled(pid = 0): Promise<void> {
  const SIGHUP_BIT = 1n; // Node.js catches SIGTERM from the start
  const caught = () => BigInt(`0x${/^SigCgt:\s*(\w+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]}`);
  while ((caught() & SIGHUP_BIT) === 0n) await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 500));
}

/** A character device with the TPM behind it. It ends with the TPM. */
async function deviceOf({ relay, tpm }: World): Promise<string> {
  const bridge = spawn(PYTHON, ['test/integration/children/pty_device.py', tpm.replace('swtpm:unix:', '')], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  relay.onCut(() => bridge.kill());
  const [path] = await once(createInterface({ input: bridge.stdout }), 'line');
  return path;
}

const CASES: Readonly<Record<string, Case>> = {
  'create, while the TPM says what it is': {
    args: (at) => ['create', ...p256, '--tpm', at.tpm, ...out(at)],
    hangs: held(TPM_CC.GetCapability),
  },
  'create, while the TPM makes a parent': {
    args: (at) => ['create', ...p256, '--tpm', at.tpm, ...out(at)],
    hangs: held(TPM_CC.CreatePrimary),
  },
  'create, while the TPM makes a key': {
    args: (at) => ['create', ...p256, '--tpm', at.tpm, ...out(at)],
    hangs: held(TPM_CC.Create),
  },
  'create, while the TPM attests': {
    args: (at) => ['create', ...p256, '--tpm', at.tpm, ...out(at)],
    hangs: held(TPM_CC.Certify),
  },
  'create, while the TPM forgets what it has loaded': {
    args: (at) => ['create', ...p256, '--tpm', at.tpm, ...out(at)],
    hangs: held(TPM_CC.FlushContext),
  },
  "create, while tpm2-tss' TCTI waits for the TPM": {
    args: (at) => ['create', ...p256, '--tpm', at.tpm.replace('swtpm:unix:', 'tcti:swtpm:path='), ...out(at)],
    hangs: held(TPM_CC.CreatePrimary),
  },
  'create, while a device waits for the TPM': {
    args: async (at) => ['create', ...p256, '--tpm', `device:${await deviceOf(at)}`, ...out(at)],
    hangs: held(TPM_CC.CreatePrimary),
  },
  'create, with a swtpm that takes the connection and says nothing': {
    args: (at) => ['create', ...p256, '--tpm', `swtpm:127.0.0.1:${at.silent.port}`, ...out(at)],
    hangs: connected,
  },
  'create, with a simulator that takes the connection and says nothing': {
    args: (at) => ['create', ...p256, '--tpm', `mssim:127.0.0.1:${at.silent.port}`, ...out(at)],
    hangs: connected,
  },
  'create, with a PIN that comes never': {
    args: (at) => ['create', ...inSoftware, ...out(at), '--pin-file', at.fifo],
    hangs: atFifo,
  },
  'create, with a PIN from standard input that comes never': {
    args: (at) => ['create', ...inSoftware, ...out(at), '--pin-file', '-'],
    hangs: async (_, started) => {
      await settled((await started).pid);
      return undefined;
    },
    input: 'open',
  },
  'create, with a policy that comes never': {
    args: (at) => ['create', ...inSoftware, ...out(at), '--policy', at.fifo],
    hangs: atFifo,
  },
  'create, while another process has the store': {
    args: (at) => ['create', ...inSoftware, '--store', at.world.store, '--user', 'eve'],
    hangs: async ({ world }, started) => {
      const lock = await holdLock(join(world.store, '.keyprov.lock'));
      await settled((await started).pid);
      return () => lock.release();
    },
  },
  'create, while another process has the directory of the TPM': {
    args: (at) => ['create', ...p256, '--tpm', `libtpms:${join(at.world.path, 'tpm')}`, ...out(at)],
    hangs: async ({ world }, started) => {
      const tpm = await openTpm(`libtpms:${join(world.path, 'tpm')}`);
      await settled((await started).pid);
      return () => tpm.close();
    },
  },
  'sign, while the TPM loads the key': {
    args: (at) => ['sign', ...stored(at), ...letter(at), '--pin-file', at.pin],
    hangs: held(TPM_CC.Load),
  },
  'sign, while the TPM signs': {
    args: (at) => ['sign', ...stored(at), ...letter(at), '--pin-file', at.pin],
    hangs: held(TPM_CC.Sign),
  },
  'sign, with a file that comes never': {
    args: (at) => ['sign', ...stored(at), '--in', at.fifo, '--pin-file', at.pin],
    hangs: atFifo,
  },
  'attest, while the TPM attests': {
    args: (at) => ['attest', ...stored(at), '--format', 'statement', '--challenge', 'c0ffee', '--pin-file', at.pin],
    hangs: held(TPM_CC.Certify),
  },
  'change-pin, while the TPM changes it': {
    args: (at) => [
      'change-pin',
      ...stored(at),
      '--pin-file',
      at.pin,
      '--new-pin-file',
      at.world.file('new', '905173-Yr'),
    ],
    hangs: held(TPM_CC.ObjectChangeAuth),
  },
  'status, while the TPM loads the key': { args: (at) => ['status', ...stored(at)], hangs: held(TPM_CC.Load) },
  'doctor, while the TPM says what it is': {
    args: () => ['doctor'],
    hangs: held(TPM_CC.GetCapability),
    env: ({ tpm }) => ({ KEYPROV_TPM: tpm }),
  },
  'inspect, with a file that comes never': { args: (at) => ['inspect', at.fifo], hangs: atFifo },
  'status, with a policy that comes never': {
    args: (at) => ['status', '--store', at.world.store, '--policy', at.fifo],
    hangs: atFifo,
  },
  'policy explain, with a policy that comes never': {
    args: (at) => ['policy', 'explain', '--policy', at.fifo],
    hangs: atFifo,
  },
  'provision, with a service that says nothing': {
    args: (at) => [
      ...override(['provision', ...at.world.runArgs], ...silentService(at), '--user', 'eve@contoso.test'),
      ...[...inSoftware, '--pin-file', at.pin, '--skip-prerequisites'],
    ],
    hangs: connected,
  },
  'unregister, with a service that says nothing': {
    args: (at) => ['unregister', '--store', at.world.store, ...silentService(at), '--yes'],
    hangs: connected,
  },
  'reset, with a service that says nothing': {
    args: (at) => [
      ...override(['reset', ...at.world.runArgs], ...silentService(at)),
      ...['--tpm', at.tpm, '--pin-file', at.pin],
      ...['--token-command', 'echo x', '--graph-token-command', 'echo x', '--yes'],
    ],
    hangs: connected,
  },
  'sync-status, with a directory that says nothing': {
    args: (at) => [
      ...['sync-status', '--store', at.world.store, '--ldap', `ldap://127.0.0.1:${at.silent.port}`],
      ...['--ldap-base', 'dc=x', '--ldap-bind-dn', 'cn=x', '--ldap-password-file', at.pin],
    ],
    hangs: connected,
  },
  'sync-status, with a directory that never begins with TLS': {
    args: (at) => [
      ...['sync-status', '--store', at.world.store, '--ldap', `ldaps://127.0.0.1:${at.silent.port}`],
      ...['--ldap-base', 'dc=x', '--ldap-bind-dn', 'cn=x', '--ldap-password-file', at.pin],
    ],
    hangs: connected,
  },
  'sync-status, with Microsoft Graph that says nothing': {
    args: (at) => [
      ...['sync-status', '--store', at.world.store, '--graph-url', `https://localhost:${at.silent.port}`],
      ...['--graph-token-command', 'echo x'],
    ],
    hangs: connected,
  },
  'sync-status, with a token command that does not end': {
    args: (at) => [...['sync-status', '--store', at.world.store, '--graph-token-command', endless(at)]],
    hangs: saidToFifo,
  },
  'provision, with a token command that does not end': {
    args: (at) => [
      ...override(['provision', ...at.world.runArgs], '--user', 'eve@contoso.test', '--token-command', endless(at)),
      ...[...inSoftware, '--pin-file', at.pin, '--skip-prerequisites'],
    ],
    hangs: saidToFifo,
  },
  'reset, with a token command for Microsoft Graph that does not end': {
    args: (at) => [
      ...override(['reset', ...at.world.runArgs], '--token-command', 'echo x', '--graph-token-command', endless(at)),
      ...['--tpm', at.tpm, '--pin-file', at.pin, '--yes'],
    ],
    hangs: saidToFifo,
  },
  'doctor, with a swtpm that does not end': {
    args: () => ['doctor'],
    hangs: saidToFifo,
    env: (at) => {
      const directory = join(at.world.path, 'programs');
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, 'swtpm'), `#!/bin/sh\n${endless(at).replace('sleep 60; ', 'exec ')}`, {
        mode: 0o755,
      });
      return { PATH: `${directory}:${process.env.PATH}` };
    },
  },
  'sync-status, while it waits for the next look': {
    args: (at) => [
      ...['sync-status', '--store', at.world.store, '--wait', '--graph-url', 'https://localhost:1'], // nobody listens
      ...['--graph-token-command', 'echo x'],
    ],
    hangs: async (_, started) => {
      const { stderr } = await started;
      for await (const [text] of on(stderr, 'data', { close: ['end'] })) if (/^sync: /m.test(`${text}`)) break;
      return undefined;
    },
  },
};

/** An environment variable of every process of a case. */
const MARK = 'SIGNALS_TEST';
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
/** One signal per case, in turn. With KEYPROV_EVERY_SIGNAL=1, every signal in every case, which takes three times as long. */
const ROWS = Object.entries(CASES).flatMap(([name, entry], row) =>
  SIGNALS.filter((_, index) => process.env.KEYPROV_EVERY_SIGNAL === '1' || index === row % SIGNALS.length).map(
    (signal) => ({ name, entry, signal }),
  ),
);

describe.skipIf(missingPrograms('swtpm'))('one signal ends', () => {
  let at: World;
  beforeAll(async () => {
    at = await startWorld();
  });
  afterAll(async () => await at?.[Symbol.asyncDispose]());

  // The test runner's time limit reveals an endless wait.
  it.each(ROWS)('$name: $signal', async ({ entry: { args, hangs, input, env }, signal }) => {
    // One that was not ended in time fails alone.
    rmSync(join(at.world.path, 'out'), { recursive: true, force: true });
    let start = (_child: Started): void => {};
    const started = new Promise<Started>((resolve) => {
      start = resolve;
    });
    const hanging = hangs(at, started);
    const { child, ended } = startKeyprov(await args(at), {
      env: { SSH_CONNECTION: '', [MARK]: `${process.pid}`, ...env?.(at) },
    });
    start(child);
    if (input !== 'open') child.stdin.end();
    const byItself = ended.then(({ stderr, stdout }) => expect.fail(`it ended by itself: ${stderr} ${stdout}`));
    const release = await Promise.race([hanging, byItself]);
    byItself.catch(() => undefined);
    child.kill(signal);
    expect(await once(child, 'exit')).toEqual([null, signal]);
    // A killed process is listed for a moment.
    await vi.waitFor(() => expect(withVariable(`${MARK}=${process.pid}`)).toEqual([]), { timeout: 5_000 });
    await release?.();
    await at.relay.cut();
    expect((await ended).stderr).toMatch(new RegExp(`^keyprov: ended by ${signal}$`, 'm'));
    expect(existsSync(join(at.world.path, 'out'))).toBe(false);
    expect(storeFiles(at.world.store)).toEqual(['key']);
    // The objects that the TPM could not be told to flush.
    await using tpm = await openTpm(at.swtpm.address);
    for (const flushHandle of await leftovers(tpm)) await tpm.run(FlushContext, { flushHandle });
  });
});
