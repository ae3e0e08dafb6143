import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { isatty } from 'node:tty';
import type { Command } from 'commander';
import { KeyprovError, undoOnFailure, withCleanup } from '../../errors.ts';
import { temporaryDirectory } from '../../storage/temporary-directory.ts';
import { absolutePath } from '../../storage/user-paths.ts';
import { openTpm } from '../../tpm/open-tpm.ts';
import { startSwtpm } from '../../tpm/transports/swtpm-process.ts';
import type { CliCommand, Context, Environment } from '../command.ts';
import { exitCodeOfSignal } from '../exit-codes.ts';
import type { Arguments } from '../options/arguments.ts';
import { TPM_VARIABLE } from '../options/tpm-option.ts';
import { valueOption } from '../options/value-option.ts';
import { familyOf, mayHaveOwnGroup } from '../terminal/process-family.ts';
import type { Outcome } from '../terminal/report.ts';

/** The exit code of shells for a program that does not exist. */
const NOT_FOUND = 127;
const ENGINES = ['swtpm', 'libtpms'] as const;

/** `keyprov sim`. */
export const simCommand: CliCommand = {
  examples: ['keyprov sim -- npm test', 'keyprov sim --state tpm -- tpm2_getcap properties-fixed'],
  silent: true,
  define,
  run: runSim,
};

function define(command: Command): void {
  command
    .description(
      `start a TPM, run a command that finds it through ${TPM_VARIABLE}, TPM2TOOLS_TCTI and TPM2OPENSSL_TCTI, ` +
        'and shut the TPM down',
    )
    .addOption(valueOption('--engine <name>', 'swtpm (default), or libtpms, which only keyprov can use', ENGINES))
    .addOption(valueOption('--state <dir>', "directory for the TPM's state (default: a temporary one)"))
    .option('--json', "print keyprov's errors as JSON")
    .argument('[command...]', 'the command and its arguments, after --')
    .passThroughOptions();
}

/** A TPM for the command. */
interface Simulator {
  readonly environment: Readonly<Record<string, string>>;
  /** A directory that is removed with it. */
  readonly temporary?: string;
  stop(): Promise<void>;
}

/** Returns the exit code of the command. */
async function runSim(given: Arguments, { signals, environment, report }: Context): Promise<Outcome> {
  const engine = given.choice('engine', ENGINES) ?? 'swtpm';
  const state = given.text('state');
  if (given.operands.length === 0) given.problems.push('there is no command to run');
  given.check();
  const [program = ''] = given.operands;
  if (!(await isProgram(program, environment))) {
    const remedy = /\s/.test(program)
      ? 'pass the program and its arguments as separate words, or a shell command as: sh -c COMMAND'
      : 'check its name, and PATH';
    report.fail(new KeyprovError('library-missing', `there is no program ${program}`, { remedy }));
    return { exitCode: NOT_FOUND, lines: [], json: {} };
  }
  const directory = state === undefined ? undefined : absolutePath(state);
  const start = engine === 'swtpm' ? simulateWithSwtpm : simulateWithLibtpms;
  const simulator = await start(directory, signals.abortSignal);
  const exitCode = await withCleanup(
    () => run(given.operands, simulator, { signals, environment }),
    () => simulator.stop(),
  );
  return { exitCode, lines: [], json: {} };
}

/** Whether the shell that runs the command finds it. */
async function isProgram(name: string, environment: Environment): Promise<boolean> {
  const shell = spawn('/bin/sh', ['-c', 'command -v -- "$1"', 'keyprov-sim', name], {
    stdio: 'ignore',
    env: environment,
  });
  const [code]: unknown[] = await once(shell, 'exit');
  return code === 0;
}

async function simulateWithSwtpm(stateDirectory: string | undefined, signal: AbortSignal): Promise<Simulator> {
  const swtpm = await startSwtpm({ ...(stateDirectory !== undefined && { stateDirectory }), signal });
  const tcti = 'path' in swtpm.data ? `swtpm:path=${swtpm.data.path}` : `swtpm:port=${swtpm.data.port}`;
  return {
    environment: { [TPM_VARIABLE]: swtpm.address, TPM2TOOLS_TCTI: tcti, TPM2OPENSSL_TCTI: tcti },
    stop: () => swtpm.stop(),
  };
}

/** A TPM that runs inside each process that uses it. Only its state lives on between them. */
async function simulateWithLibtpms(stateDirectory: string | undefined, signal: AbortSignal): Promise<Simulator> {
  const temporary = stateDirectory === undefined ? await temporaryDirectory('keyprov-sim-') : undefined;
  const stop = async () => {
    if (temporary !== undefined) await rm(temporary, { recursive: true, force: true });
  };
  const directory = stateDirectory ?? join(temporary ?? '', 'state');
  await undoOnFailure(async () => await (await openTpm({ kind: 'libtpms', directory }, { signal })).close(), stop);
  return {
    environment: { [TPM_VARIABLE]: `libtpms:${directory}` },
    ...(temporary !== undefined && { temporary }),
    stop,
  };
}

/**
 * Becomes the command, with the same process id. A watcher stays behind: if keyprov dies, file descriptor 3 ends without a
 * line, and the watcher ends the command, and its group if it has its own. After two seconds it kills what is left. $1 is a
 * directory to remove in that case, or empty.
 */
const LAUNCHER = `
directory=$1; shift
( trap '' HUP INT TERM
  read -r _ <&3 && exit
  all=-$$; kill -TERM "$all" || { all=$$; kill -TERM "$all"; }
  sleep 2
  [ -z "$directory" ] || rm -rf -- "$directory"
  kill -KILL "$all" ) >/dev/null 2>&1 &
exec "$@" 3<&-`;

async function run(
  operands: readonly string[],
  simulator: Simulator,
  { signals, environment }: Pick<Context, 'signals' | 'environment'>,
): Promise<number> {
  signals.abortSignal.throwIfAborted();
  const ownGroup = mayHaveOwnGroup();
  const child = spawn('/bin/sh', ['-c', LAUNCHER, 'keyprov-sim', simulator.temporary ?? '', ...operands], {
    detached: ownGroup,
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: { ...environment, ...simulator.environment },
  });
  signals.divert = (name) => passOn(name, child, ownGroup);
  try {
    const [code, signal]: unknown[] = await once(child, 'exit');
    const watcher = child.stdio[3];
    if (watcher instanceof Writable) watcher.on('error', () => undefined).end('\n');
    return typeof code === 'number' ? code : exitCodeOfSignal(isSignal(signal) ? signal : 'SIGKILL');
  } finally {
    signals.divert = undefined;
  }
}

/** On a terminal Ctrl-C reaches the command by itself; a second one may mean something else to it. */
function passOn(name: NodeJS.Signals, child: ChildProcess, ownGroup: boolean): void {
  if (ownGroup || name !== 'SIGINT' || ![0, 1, 2].some((fd) => isatty(fd))) familyOf(child, ownGroup)(name);
}

const isSignal = (value: unknown): value is NodeJS.Signals => typeof value === 'string' && value.startsWith('SIG');
