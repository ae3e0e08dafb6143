import type { Command } from 'commander';
import { isTpmError, TpmError } from '../../errors/tpm-error.ts';
import { KeyprovError, withCleanup } from '../../errors.ts';
import { readLockout } from '../../tpm/capabilities.ts';
import { DictionaryAttackLockReset } from '../../tpm/commands/dictionary-attack.ts';
import { TPM_RH } from '../../tpm/constants.ts';
import { flushVolatile, readVolatile, type VolatileEntry } from '../../tpm/contents.ts';
import type { Tpm } from '../../tpm/tpm.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { checkOutput } from '../file-io.ts';
import { describeLockout, endLockout } from '../lockout-report.ts';
import { openNamed } from '../open-named.ts';
import type { Arguments } from '../options/arguments.ts';
import { makerOption } from '../options/maker-option.ts';
import { knownStorePath, storeOption } from '../options/store-option.ts';
import { readNamedTpm, tpmOptions } from '../options/tpm-option.ts';
import { ekServiceOption, repeatableOption, valueOption } from '../options/value-option.ts';
import type { Outcome } from '../terminal/report.ts';

/** `keyprov tpm`. */
export const tpmCommand: CliCommand = {
  examples: [
    'keyprov tpm --tpm device:/dev/tpm0 --flush 0x80000000',
    'keyprov tpm --reset-lockout',
    'keyprov tpm --ek-roots TrustedTpm',
  ],
  define,
  run: runTpm,
};

function define(command: Command): void {
  command
    .description(
      "show a TPM's PIN tries, transient objects and sessions; with options, flush objects or sessions, end a lockout, " +
        'or show the endorsement key certificates',
    )
    .addOption(storeOption())
    .addOption(
      repeatableOption(
        '--flush <handle>',
        'flush the object or session at this handle, such as 0x80000000 (repeatable)',
      ),
    )
    .option('--flush-all', "flush all objects and sessions, including other programs'")
    .option('--reset-lockout', 'set the count of wrong PINs to 0; needs the lockout password if one is set')
    .option('--ek-certificates', 'show the endorsement key certificates instead')
    .addOption(valueOption('--ek-roots <path>', 'also verify with these roots: PEM, DER or directory'))
    .addOption(makerOption())
    .addOption(ekServiceOption())
    .addOption(valueOption('--service-ca <file>', 'additional root certificates for that service, PEM'))
    .addOption(valueOption('--proxy <url>', "proxy URL, or 'environment' to use HTTPS_PROXY"))
    .addOption(valueOption('--out <file>', 'write the certificates to this file, PEM'));
  for (const option of tpmOptions('endorsement or lockout')) command.addOption(option);
}

async function runTpm(given: Arguments, context: Context): Promise<Outcome> {
  const { signal, environment } = context;
  const named = readNamedTpm(given, context);
  const { address } = named;
  const handles = given.texts('flush').map((text) => readHandle(given, text));
  const all = given.has('flush-all');
  const resets = given.has('reset-lockout');
  if (address === 'none') given.problems.push('--tpm none: this command needs a TPM');
  const isAsked = ['ek-certificates', 'ek-roots', 'ek-service'].some((name) => given.isThere(name));
  if (!isAsked) {
    given.refuse(['allow-maker'], 'works only with --ek-roots');
    given.refuse(['service-ca', 'proxy'], 'works only with --ek-service');
    given.refuse(['out'], 'works only with --ek-certificates, --ek-roots or --ek-service');
  }
  // For this alone a service may be asked, whose code other commands do without.
  const shown = isAsked ? await import('./endorsement-certificates.ts') : undefined;
  const certificates = await shown?.readCertificateArguments(given);
  const options = { signal, marksDirectory: knownStorePath(given, environment) };
  given.check();
  await checkOutput(given);
  const tpm = await openNamed(named, { create: false, signal });
  return await withCleanup(
    async () => {
      if (shown && certificates) return await shown.showCertificates(tpm, certificates, context);
      const entries = await readVolatile(tpm, options);
      const missing = handles.find((handle) => !entries.some((entry) => entry.handle === handle));
      if (missing !== undefined) {
        throw new KeyprovError('key-not-found', `the TPM has nothing at ${hex(missing)}`, {
          remedy: 'run keyprov tpm without --flush to list what it has',
        });
      }
      const flushed = entries.filter(({ handle }) => all || handles.includes(handle));
      const flushing = flushed.map(({ handle }) => handle);
      await flushVolatile(tpm, flushing, options);
      if (resets) await resetLockout(tpm, signal);
      const lockout = await readLockout(tpm, { signal });
      const isFlushed = (entry: VolatileEntry): boolean => flushed.includes(entry);
      const lines = entries.map((entry) => describe(entry, isFlushed(entry)));
      if (entries.length === 0) lines.push('no transient objects, no sessions');
      if (resets) lines.push('the count of wrong PINs is now 0');
      lines.push(`PIN tries: ${describeLockout(lockout, tpm)}`);
      if (lockout.inLockout) lines.push(endLockout(lockout, tpm));
      if (tpm.transport.managed) lines.push("a resource manager hides other programs' objects");
      return {
        exitCode: EXIT.done,
        lines,
        json: {
          ...{ tpm: tpm.transport.address, managed: tpm.transport.managed, lockout, lockoutReset: resets },
          entries: entries.map((entry) => ({ ...entry, handle: hex(entry.handle), flushed: isFlushed(entry) })),
        },
      };
    },
    () => tpm.close(),
  );
}

/** Sets the count of wrong PINs to 0. Says for how long a wrong password of the lockout hierarchy blocks the next one. */
async function resetLockout(tpm: Tpm, signal: AbortSignal): Promise<void> {
  try {
    await tpm.run(DictionaryAttackLockReset, { lockHandle: TPM_RH.LOCKOUT }, { signal });
  } catch (error) {
    if (!isTpmError(error) || error.hierarchy !== 'lockout') throw error;
    const { command, responseCode, hierarchy } = error;
    const { lockoutRecoverySeconds: seconds } = await readLockout(tpm, { signal });
    const wait = seconds === 0 ? 'restart the machine' : `wait ${seconds} seconds`;
    throw new TpmError(error.code, error.message, {
      ...{ cause: error, command, responseCode, hierarchy, retryAfterSeconds: seconds === 0 ? undefined : seconds },
      remedy: `${wait}, then pass the right password (--tpm-auth lockout=FILE)`,
    });
  }
}

const hex = (handle: number): string => `0x${handle.toString(16).padStart(8, '0')}`;

function describe({ handle, kind, what, ours }: VolatileEntry, isFlushed: boolean): string {
  const owner = ours ? 'left by keyprov' : 'from another program';
  return `${hex(handle)}  ${kind.padEnd(14)}  ${what}, ${owner}${isFlushed ? ': flushed' : ''}`;
}

function readHandle(given: Arguments, text: string): number {
  if (!/^0x[0-9a-f]{1,8}$/i.test(text)) given.problems.push('--flush needs a handle, such as 0x80000000');
  return Number(text);
}
