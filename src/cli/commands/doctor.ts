import { accessSync, constants, existsSync } from 'node:fs';
import type { Command } from 'commander';
import { TpmError } from '../../errors/tpm-error.ts';
import { isKeyprovError, KeyprovError, withCleanup } from '../../errors.ts';
import { type Assurance, sayPlace } from '../../keys/provider.ts';
import { PolicyError, policyInForce } from '../../policy/index.ts';
import { type SignalOptions, unlessAborted, withTimeout } from '../../signal.ts';
import { describeFileError, isThere } from '../../storage/file-error.ts';
import { tryPrivateDirectory } from '../../storage/private-files.ts';
import { runProgram } from '../../storage/run-program.ts';
import { shellWord } from '../../storage/shell-word.ts';
import { userDirectory } from '../../storage/user-paths.ts';
import { refuseOnWindows } from '../../storage/windows.ts';
import { parseTpmAddress } from '../../tpm/address.ts';
import { lockoutIn, readProperties } from '../../tpm/capabilities.ts';
import { GetRandom } from '../../tpm/commands/random.ts';
import { TPM_PT } from '../../tpm/constants.ts';
import { openTpm } from '../../tpm/open-tpm.ts';
import { tryStateDirectory } from '../../tpm/state-file.ts';
import type { Tpm } from '../../tpm/tpm.ts';
import { locateLibtpms } from '../../tpm/transports/libtpms.ts';
import { locateTctiLoader } from '../../tpm/transports/tcti.ts';
import { readNature } from '../../tpm/virtual.ts';
import type { CliCommand, Context, Environment } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { describeLockout, endLockout } from '../lockout-report.ts';
import type { Arguments } from '../options/arguments.ts';
import { describeProblem } from '../options/policy-option.ts';
import { knownStorePath, storeOption } from '../options/store-option.ts';
import { readNamedTpm, TPM_VARIABLE, tpmOption } from '../options/tpm-option.ts';
import type { Outcome } from '../terminal/report.ts';

/** The result of one check. */
export interface Check {
  readonly name: string;
  /** `missing` is not a fault if something else is used. */
  readonly status: 'ok' | 'missing' | 'problem';
  readonly detail: string;
  readonly remedy?: string | undefined;
  /** The address of a TPM that can be used, and the assurance of the keys that it makes. */
  readonly tpm?: string;
  readonly assurance?: Assurance;
}

/** Long enough for a slow TPM or a busy machine. */
const TIME_LIMIT_MS = 3_000;
const THIS_MACHINE = 'this machine';
/** A TPM that forgets its keys. */
const IN_MEMORY = 'libtpms::memory:';
const POLICY_PREFIX = 'KEYPROV_POLICY_';
const LIBRARY_VARIABLES = ['KEYPROV_LIBTPMS', 'KEYPROV_TCTILDR'];

/** `keyprov doctor`. Nothing stays open, running or changed. */
export const doctorCommand: CliCommand = {
  examples: ['keyprov doctor', 'keyprov doctor --tpm device:/dev/tpm0 --json'],
  define: (command: Command) =>
    command
      .description('show TPMs, libraries, key store, what is missing, and how to get it')
      .addOption(tpmOption())
      .addOption(storeOption()),
  run: runDoctor,
};

async function runDoctor(given: Arguments, context: Context): Promise<Outcome> {
  const option = given.text('tpm');
  if (option !== undefined) readNamedTpm(given, context);
  given.check();
  const { signal } = context;
  const { environment } = context;
  const named = namedTpm(option, environment);
  const store = checkStore(knownStorePath(given, environment));
  // Everything that it started ends with this process.
  const checks = [...(await unlessAborted(() => checkAll(environment, option), signal)), store];
  const tpms = checks.flatMap(({ tpm }) => tpm ?? []);
  const found = tpms.length > 0;
  // An emulator that nothing names is not used.
  const source = named.address === '' ? THIS_MACHINE : named.name;
  const isUsable = checks.some(({ name, status }) => name === source && status === 'ok');
  const [isUsed, where, command] = nextCommand(checks, named);
  const next = option === undefined || command.includes('--tpm') ? command : `${command} --tpm ${shellWord(option)}`;
  const only = isUsed ? '' : ' with --tpm';
  const others = found ? `TPMs that can be used${only}: ${tpms.join(', ')}` : 'no TPM can be used';
  const problem = source === THIS_MACHINE ? 'this machine has no usable TPM' : `the TPM of ${source} cannot be used`;
  const message = isUsable || (!found && source === THIS_MACHINE) ? others : `${problem}; ${others}`;
  const lines = checks.map(({ name, status, detail, remedy }) => {
    // The column has the subject of a sentence that begins with it.
    const said = detail.startsWith(`${name} `) ? detail.slice(name.length + 1) : detail;
    const line = `${status.padEnd(8)} ${name.padEnd(15)} ${said}`;
    return remedy === undefined ? line : `${line}; ${remedy}`;
  });
  return {
    exitCode: isUsable ? EXIT.done : EXIT.unexpected,
    lines: [...lines, '', message, `to make a key ${where}: ${next}`],
    json: { ...(!isUsable && { error: { code: 'no-tpm', message } }), tpms, checks, next },
  };
}

type NextCommand = readonly [isUsed: boolean, where: string, command: string];

/**
 * The place for a first key, the command that makes one there, and whether commands use a TPM: the named one, else that
 * of the machine.
 */
function nextCommand(checks: readonly Check[], { name: named, address }: NamedCheck): NextCommand {
  const opened = (name: string) => checks.find((one) => one.name === name && one.status === 'ok' && one.tpm);
  const used = opened(address === '' ? THIS_MACHINE : named);
  if (used !== undefined && used.tpm !== IN_MEMORY)
    return [true, placeOf(used), `keyprov create --hardware required --out ${newPath('key')}`];
  if (address !== 'none') {
    const isUsed = used !== undefined;
    const own = opened(THIS_MACHINE);
    if (own) return [isUsed, placeOf(own), `keyprov create --tpm auto --hardware required --out ${newPath('key')}`];
    if (opened('libtpms'))
      return [isUsed, sayPlace('virtual'), `keyprov create --tpm libtpms:${newPath('tpm')} --out ${newPath('key')}`];
  }
  return [false, sayPlace('software'), `keyprov create --tpm none --out ${newPath('key')}`];
}

const placeOf = ({ assurance = 'hardware' }: Check): string => sayPlace(assurance);

/** A path for a new directory: below the working directory, or below the home directory if the former is not usable. */
function newPath(name: string): string {
  const isUsable = (path: string): boolean => {
    try {
      tryPrivateDirectory(path);
      return true;
    } catch {
      // The command would fail with this error, so another path is shown.
      return false;
    }
  };
  const inHome = userDirectory(undefined, [name]);
  return isUsable(name) || inHome === undefined || !isUsable(inHome) ? name : shellWord(inHome);
}

/** Turns work that may throw into a check. */
async function check(name: string, work: () => Promise<Omit<Check, 'name' | 'status'>>): Promise<Check> {
  try {
    return { name, status: 'ok', ...(await work()) };
  } catch (error) {
    const status = isKeyprovError(error, 'library-missing') || isMissingDevice(error) ? 'missing' : 'problem';
    const detail = error instanceof Error ? error.message : String(error);
    return { name, status, detail, remedy: error instanceof KeyprovError ? error.remedy : undefined };
  }
}

const isMissingDevice = (error: unknown): boolean =>
  isKeyprovError(error, 'no-tpm') && isKeyprovError(error.cause, 'no-tpm');

function checkNode(): Check {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const fits = (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22;
  const detail = `Node.js ${process.versions.node}, ${process.platform} ${process.arch}`;
  if (fits) return { name: 'node', status: 'ok', detail };
  return {
    name: 'node',
    status: 'problem',
    detail,
    remedy: 'install Node.js 20.19 (or a later 20.x), or 22.12 or newer',
  };
}

/** What names a TPM, as the name of its check, and the TPM's address; '' if nothing does. */
interface NamedCheck {
  readonly name: string;
  readonly address: string;
}

const namedTpm = (option: string | undefined, environment: Environment): NamedCheck =>
  option === undefined
    ? { name: TPM_VARIABLE, address: environment[TPM_VARIABLE] ?? '' }
    : { name: '--tpm', address: option };

/** All checks of the machine. `tpm` is the value of `--tpm`, which counts instead of the variable. */
export async function checkAll(environment: Environment, tpm: string | undefined): Promise<Check[]> {
  return await Promise.all([
    checkNode(),
    checkMachine(),
    check('libtpms', checkLibtpms),
    check('swtpm', checkSwtpm),
    check('tpm2-tss', checkTpm2Tss),
    ...LIBRARY_VARIABLES.map((name) => checkLibraryVariable(name, environment)),
    checkNamedTpm(namedTpm(tpm, environment)),
    checkPolicyVariables(environment),
  ]);
}

/** Where keys are kept, and whether the access of others is checked. */
function checkStore(path: string | undefined): Check {
  const name = 'key store';
  if (path === undefined) {
    return { name, status: 'problem', detail: 'this user has no home directory', remedy: 'set KEYPROV_STORE or HOME' };
  }
  try {
    if (isThere(path)) accessSync(path, constants.R_OK);
    tryPrivateDirectory(path);
  } catch (error) {
    if (error instanceof KeyprovError) return { name, status: 'problem', detail: error.message, remedy: error.remedy };
    const { what, remedy } = describeFileError(path, error);
    return { name, status: 'problem', detail: `${path} ${what}`, remedy };
  }
  const guard =
    process.platform === 'win32' ? '; keyprov does not check its access list: use a directory in your profile' : '';
  return { name, status: 'ok', detail: `${path}${guard}` };
}

/** The TPM of the machine itself. */
async function checkMachine(): Promise<Check> {
  const result = await check(THIS_MACHINE, () => openBriefly('auto'));
  // The kernel has a TPM, but not the resource manager that makes it safe to share.
  if (process.platform !== 'linux' || result.status !== 'missing' || !existsSync('/dev/tpm0')) return result;
  return {
    ...{ name: result.name, status: 'problem', detail: 'there is a /dev/tpm0, but no /dev/tpmrm0' },
    remedy: 'use kernel 4.12 or newer and a TPM 2.0, or pass --tpm device:/dev/tpm0',
  };
}

/** Opens a TPM and asks what it is. */
async function openBriefly(address: string): Promise<Omit<Check, 'name' | 'status'> & { detail: string }> {
  const late = () =>
    new KeyprovError('transport-timeout', `${address}: the TPM did not answer within ${TIME_LIMIT_MS / 1000} s`, {
      remedy: 'check that a TPM 2.0 is there, and stop other programs that hold it',
    });
  return await withTimeout({ timeoutMs: TIME_LIMIT_MS, late }, async (signal) => {
    const tpm = await openTpm(address, { create: false, signal, lifetime: signal });
    return await withCleanup(
      async () => {
        const { virtual, vendor } = await readNature(tpm, { signal });
        const { manufacturer, vendorString, revision } = vendor;
        const kind = virtual ? 'virtual' : 'hardware';
        const where = tpm.transport.address === IN_MEMORY ? 'in memory' : tpm.transport.address;
        const detail = `${where}: ${manufacturer} '${vendorString}', TPM 2.0 revision ${revision}, ${kind}`;
        const { limit, remedy } = await findLimit(tpm, { signal });
        return { detail: detail + limit, remedy, tpm: tpm.transport.address, assurance: kind };
      },
      () => tpm.close(),
    );
  });
}

/** Bits of TPMA_STARTUP_CLEAR: the owner and the endorsement hierarchy are enabled. Part 2, 8.7. */
const ENABLED = { owner: 2, endorsement: 4 };
const ENABLE =
  'restart the machine or the virtual TPM; if that does not help, enable the hierarchy in the firmware setup';

/** What an open TPM cannot do. @throws KeyprovError if it cannot make keys. */
async function findLimit(tpm: Tpm, options: SignalOptions): Promise<{ limit: string; remedy?: string }> {
  await tpm.run(GetRandom, { bytesRequested: 1 }, options); // fails if a self-test has failed
  const properties = await readProperties(tpm, TPM_PT.PERMANENT, options);
  const isOff = (bit: number) => ((properties.get(TPM_PT.STARTUP_CLEAR) ?? bit) & bit) === 0;
  const off = (name: string) => `the ${name} hierarchy is disabled, so the TPM`;
  if (isOff(ENABLED.owner)) throw new TpmError('tpm-unsupported', `${off('owner')} makes no keys`, { remedy: ENABLE });
  if (isOff(ENABLED.endorsement)) return { limit: `; ${off('endorsement')} does not attest keys`, remedy: ENABLE };
  const lockout = lockoutIn(properties);
  if (lockout.inLockout)
    return { limit: `; PIN tries: ${describeLockout(lockout, tpm)}`, remedy: endLockout(lockout, tpm) };
  return { limit: '' };
}

async function checkLibtpms(): Promise<Omit<Check, 'name' | 'status'>> {
  const { path, version } = await locateLibtpms();
  const { detail } = await openBriefly('libtpms');
  return { detail: `${version} (${path}); ${detail}`, tpm: 'libtpms', assurance: 'virtual' };
}

/** The version of swtpm. @throws KeyprovError `library-missing` if it is not installed. */
export async function checkSwtpm(): Promise<Omit<Check, 'name' | 'status'>> {
  refuseOnWindows('swtpm');
  const remedy = 'keyprov sim needs it (Debian: apt-get install swtpm)';
  const printed = await runProgram('swtpm', ['--version'], { timeoutMs: TIME_LIMIT_MS, remedy });
  return { detail: /version ([\d.]+)/.exec(printed)?.[1] ?? 'found, version unknown' };
}

async function checkTpm2Tss(): Promise<Omit<Check, 'name' | 'status'>> {
  return { detail: (await locateTctiLoader()).path };
}

/** A variable that names a library; other checks load the library. */
function checkLibraryVariable(name: string, environment: Environment): Check {
  const path = environment[name];
  if (path === undefined || path === '')
    return { name, status: 'ok', detail: 'not set: the usual directories are searched' };
  const error = accessError(path, constants.R_OK);
  if (error === undefined) return { name, status: 'ok', detail: path };
  const { what } = describeFileError(path, error);
  return { name, status: 'problem', detail: `${path} ${what}`, remedy: 'correct the variable, or unset it' };
}

/** Why this user may not use a path; undefined if all is well. */
function accessError(path: string, mode: number): unknown {
  try {
    accessSync(path, mode);
    return undefined;
  } catch (error) {
    return error;
  }
}

async function checkPolicyVariables(environment: Environment): Promise<Check> {
  const name = `${POLICY_PREFIX}*`;
  const set = Object.keys(environment).filter((variable) => variable.startsWith(POLICY_PREFIX));
  try {
    await policyInForce({ environment });
    return { name, status: 'ok', detail: set.length === 0 ? 'not set' : set.join(', ') };
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    const detail = error.problems.map(describeProblem).join('; ');
    return { name, status: 'problem', detail, remedy: 'correct the variable, or unset it' };
  }
}

async function checkNamedTpm({ name, address: text }: NamedCheck): Promise<Check> {
  if (text === '') return { name, status: 'ok', detail: 'not set: auto' };
  return await check(name, async () => {
    if (text === 'none') return { detail: 'none: no TPM is used' };
    const address = parseTpmAddress(text);
    try {
      return await openBriefly(text);
    } catch (error) {
      if (address.kind !== 'libtpms' || !address.directory || !isKeyprovError(error, 'no-tpm')) throw error;
      tryStateDirectory(address.directory);
      return { detail: `${text}: does not exist yet; the first key creates it`, tpm: text, assurance: 'virtual' };
    }
  });
}
