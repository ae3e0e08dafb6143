import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMANDS } from '../../src/cli/commands/index.ts';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { CHEAP_SCRYPT } from '../cheap-scrypt-option.ts';
import { CHEAP_SERVICE } from '../cheap-service-option.ts';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { passwordToken } from '../integration/support/service-client.ts';
import { PYTHON } from '../programs.ts';
import { type CommandLines, commandLines } from './support/command-lines.ts';
import { environment, MAIN } from './support/keyprov.ts';
import { ADA, type ServiceWorld, startServiceWorld, storeFiles } from './support/service-world.ts';

const missing = await libtpmsMissing();

/** How a shell connects the outputs; `$@` is the command. `code` of the result that is lost, `said` on standard error. */
interface Sink {
  readonly shell: string;
  readonly code: number;
  readonly said: RegExp;
}

const ALL_IS_WELL = { code: 0, said: /^/ };
const FULL = { code: 7, said: /^keyprov: the result is lost: standard output is on a full disk/m };
const fullPipe = (number: 1 | 2) => `${PYTHON} test/cli/support/full_pipe.py ${number} "$@"`;

const ERROR_SINKS: Readonly<Record<string, Sink>> = {
  'a reader of standard error that leaves': { shell: 'exec 4> >(:); wait $!; "$@" 2>&4', ...ALL_IS_WELL },
  'a full standard error': { shell: '"$@" 2>/dev/full', ...ALL_IS_WELL },
  'a closed standard error': { shell: '"$@" 2>&-', ...ALL_IS_WELL },
  'a standard error that is read late': { shell: fullPipe(2), ...ALL_IS_WELL },
};
const RESULT_SINKS: Readonly<Record<string, Sink>> = {
  'a full standard output': { shell: '"$@" >/dev/full', ...FULL },
  'a full standard output and error': { shell: '"$@" >/dev/full 2>&1', code: 7, said: /^$/ },
  'a closed standard output': { shell: '"$@" >&-', ...ALL_IS_WELL },
  // As for a program that SIGPIPE ends.
  'a reader of standard output that leaves': { shell: 'exec 4> >(:); wait $!; "$@" >&4', code: 141, said: /^/ },
  'a standard output that is read late': { shell: fullPipe(1), ...ALL_IS_WELL },
};
const SINKS = { ...ERROR_SINKS, ...RESULT_SINKS };

const PIN = '730519-Xq';
const NEXT = '905173-Yr';
/** A user with many keys on one device, none of which is removed. */
const EVE = { upn: 'eve@contoso.test', password: 'wrong horse charger' };
const LOCAL = { SSH_CONNECTION: '' };
const IN_SOFTWARE = ['--algorithm', 'p-256', '--tpm', 'none', '--hardware', 'discouraged'];

/** The files that commands use. Commands that change a key or a directory have their own. */
interface World extends ServiceWorld {
  /** With a registered key in software. */
  readonly kept: string;
  /** A new one with another. */
  doomed(): string;
  readonly tpmStore: string;
  readonly graph: readonly string[];
  readonly run: readonly string[];
  readonly pin: readonly string[];
}

/** One command line and its effect, whether its output was written or not. */
interface Line {
  readonly args: readonly string[];
  readonly done?: () => Promise<unknown>;
  /** Set if the command itself prints nothing. */
  readonly silent?: true;
}

const keysIn = async (store: string) => (await (await openKeyStore(store)).list()).records;

/** One of each command. */
const LINES: Readonly<Record<string, (at: World) => Line>> = {
  provision: (at) => {
    const store = join(mkdtempSync(join(at.path, 'new-')), 'store');
    return {
      args: ['provision', ...at.run, '--user', EVE.upn, ...at.pin, '--store', store],
      done: async () => expect(storeFiles(store)).toEqual(['key']),
    };
  },
  create: (at) => {
    const out = join(mkdtempSync(join(at.path, 'new-')), 'out');
    return {
      args: ['create', ...IN_SOFTWARE, '--out', out],
      done: async () => {
        expect(readdirSync(out).map((name) => name.replace(/^key-.*/, 'key'))).toContain('public.pem');
        expect(await keysIn(out)).toHaveLength(1);
      },
    };
  },
  status: (at) => ({ args: ['status', '--store', at.kept] }),
  'sync-status': (at) => ({
    args: ['sync-status', '--store', at.kept, ...at.graph, '--service-ca', join(at.path, 'ca.pem')],
  }),
  'change-pin': (at) => {
    const store = at.doomed();
    return {
      args: ['change-pin', '--store', store, ...at.pin, '--new-pin-file', at.file('next', NEXT)],
      done: async () => {
        const [[record], [before]] = [await keysIn(store), await keysIn(at.kept)];
        expect(record?.privateKey).not.toEqual(before?.privateKey);
      },
    };
  },
  reset: (at) => {
    const store = at.doomed();
    return {
      args: [
        'reset',
        ...at.run,
        '--user',
        ADA.upn,
        ...at.graph,
        ...at.pin,
        '--store',
        store,
        '--yes',
        '--allow-downgrade',
      ],
      done: async () => {
        const [records, [before]] = [await keysIn(store), await keysIn(at.kept)];
        expect(records.map(({ id }) => id === before?.id)).toEqual([false]);
      },
    };
  },
  unregister: (at) => {
    const store = at.doomed();
    return {
      args: ['unregister', ...at.serviceArgs, ...at.graph, '--store', store, '--yes'],
      done: async () => expect(await keysIn(store)).toEqual([]),
    };
  },
  remove: (at) => {
    const store = mkdtempSync(join(at.path, 'removed-'));
    cpSync(at.tpmStore, store, { recursive: true });
    return {
      args: ['remove', '--store', store, '--yes'],
      done: async () => expect(await keysIn(store)).toEqual([]),
    };
  },
  sign: (at) => ({ args: ['sign', '--store', at.kept, '--in', join(at.path, 'ca.pem'), ...at.pin] }),
  verify: (at) => ({ args: ['verify', '--store', at.tpmStore, '--challenge', 'c0ffee'] }),
  request: (at) => ({ args: ['request', '--store', at.kept, '--format', 'jwk'] }),
  attest: (at) => ({
    args: ['attest', '--store', at.tpmStore, ...at.tpmArgs, '--format', 'statement', '--challenge', 'c0ffee'],
  }),
  'policy explain': () => ({ args: ['policy', 'explain'] }),
  inspect: (at) => ({ args: ['inspect', join(at.path, 'ca.pem')] }),
  doctor: () => ({ args: ['doctor', '--tpm', 'none'] }),
  completion: () => ({ args: ['completion', 'bash'] }),
  tpm: (at) => ({ args: ['tpm', ...at.tpmArgs] }),
  sim: () => ({ args: ['sim', '--engine', 'libtpms', '--', 'true'], silent: true }),
};

async function startWorld(commands: CommandLines): Promise<World> {
  const world = await startServiceWorld({ users: [ADA, EVE] });
  const token = world.file(
    'graph',
    await passwordToken(world.service, ADA, { resource: 'https://graph.microsoft.com' }),
  );
  const graph = ['--graph-token-command', `cat '${token}'`, '--graph-url', `${world.service.url}/graph/`];
  const run = [...world.serviceArgs, ...IN_SOFTWARE, '--skip-prerequisites'];
  const pin = ['--pin-file', world.file('pin', PIN)];
  const [kept, tpmStore] = [join(world.path, 'kept'), join(world.path, 'tpm-store')];
  for (const args of [
    ['provision', ...run, '--user', ADA.upn, ...pin, '--store', kept],
    ['create', ...world.tpmArgs, '--algorithm', 'p-256', '--challenge', 'c0ffee', '--out', tpmStore],
  ]) {
    const { status, stderr } = await commands.run(args, { env: LOCAL });
    if (status !== 0) throw new Error(stderr);
  }
  const doomed = () => {
    const store = mkdtempSync(join(world.path, 'doomed-'));
    cpSync(kept, store, { recursive: true });
    return store;
  };
  return { ...world, ...{ kept, tpmStore, graph, run, pin, doomed } };
}

/**
 * Every command with one sink of each output, in turn; with KEYPROV_EVERY_SINK=1, with every sink, which takes four times
 * as long.
 */
// The dashboard ends only when its window is closed.
const ROWS = COMMANDS.filter(({ name }) => name !== 'dashboard').flatMap(({ name }, index) =>
  [ERROR_SINKS, RESULT_SINKS].flatMap((sinks) => {
    const names = Object.keys(sinks);
    const some = process.env.KEYPROV_EVERY_SINK === '1' ? names : [names[index % names.length] ?? ''];
    return some.map((sink) => ({ name, sink }));
  }),
);

describe.skipIf(missing)('an output that is lost', () => {
  const commands = commandLines({ cheapScrypt: true });
  let world: World;
  beforeAll(async () => {
    world = await startWorld(commands);
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  async function run(args: readonly string[], shell: string) {
    const program = [process.execPath, CHEAP_SERVICE, CHEAP_SCRYPT, MAIN];
    const child = spawn('bash', ['-c', shell, 'sh', ...program, ...args], {
      ...{ stdio: ['ignore', 'pipe', 'pipe'], env: environment(LOCAL) },
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const [status] = await once(child, 'close');
    return { status, stdout, stderr };
  }

  it.each(ROWS)('loses only the output of keyprov $name: $sink', async ({ name, sink }) => {
    const line = LINES[name]?.(world);
    const chosen = SINKS[sink];
    if (line === undefined || chosen === undefined) expect.fail(`no line for ${name}`);
    const { status, stdout, stderr } = await run(line.args, chosen.shell);
    const [code, said] = line.silent ? [0, /^$/] : [chosen.code, chosen.said];
    expect({ status, stderr }).toEqual({ status: code, stderr: expect.stringMatching(said) });
    // Output that is read late is complete.
    if (sink in ERROR_SINKS || sink.endsWith('late')) expect(stdout === '').toBe(line.silent === true);
    await line.done?.();
  });

  it.each(Object.entries(SINKS))('leaves an error its exit code: %s', async (_, { shell }) => {
    expect((await run(['status', '--store', join(world.path, 'missing')], shell)).status).toBe(7);
  });

  it.each([1, 2] as const)('is complete if output %s is read late', async (number) => {
    const args = ['inspect', '--json', join(world.path, 'ca.pem')];
    const whole = await run(args, '"$@" 2>&1');
    const redirect = number === 1 ? '' : ' 3>&2 2>&1 1>&3';
    expect(await run(args, fullPipe(number) + redirect)).toMatchObject({
      status: 0,
      stdout: number === 1 ? whole.stdout : '',
    });
  });
});
