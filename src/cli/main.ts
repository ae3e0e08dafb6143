#!/usr/bin/env node
import { createRequire } from 'node:module';
import { Command, CommanderError } from 'commander';
import { defineAttest, runAttest } from './commands/attest.ts';
import { defineChangePin, runChangePin } from './commands/change-pin.ts';
import { defineDoctor, runDoctor } from './commands/doctor.ts';
import { defineInspect, runInspect } from './commands/inspect.ts';
import { defineExplain, runExplain } from './commands/policy-explain.ts';
import { defineProvision, runProvision } from './commands/provision.ts';
import { defineRequest, runRequest } from './commands/request.ts';
import { defineReset, runReset } from './commands/reset.ts';
import { defineSign, runSign } from './commands/sign.ts';
import { defineSim, runSim } from './commands/sim.ts';
import { defineStatus, runStatus } from './commands/status.ts';
import { defineSyncStatus, runSyncStatus } from './commands/sync-status.ts';
import { defineUnregister, runUnregister } from './commands/unregister.ts';
import { defineVerify, runVerify } from './commands/verify.ts';
import { EXIT, EXIT_CODES_HELP, exitCodeOf } from './exit-codes.ts';
import { Arguments, UsageError } from './options/arguments.ts';
import { LineReader } from './terminal/line-reader.ts';
import { Prompter } from './terminal/prompter.ts';
import { type Outcome, Report } from './terminal/report.ts';
import { Signals } from './terminal/signals.ts';

const report = new Report(process.argv.includes('--json'));
const signals = new Signals((interrupted) => process.exit(exitCodeOf(interrupted)));
const { abortSignal } = signals;

// Whoever reads the output may have seen enough.
process.stdout.on('error', () => process.exit(EXIT.unexpected));

const manifest: { version: string } = createRequire(import.meta.url)('keyprov/package.json');

const program = new Command('keyprov')
  .description('Gets a key pair out of a TPM 2.0, attests it, and builds its registration request.')
  .version(manifest.version)
  .addHelpText('after', EXIT_CODES_HELP)
  .enablePositionalOptions()
  .exitOverride()
  .configureOutput({ writeErr: () => {} });

const reader = new LineReader(process.stdin, () => process.emit('SIGINT', 'SIGINT'));
const prompter = new Prompter(reader, (text) => process.stderr.write(text));

function add(
  name: string,
  define: (command: Command) => void,
  run: (given: Arguments) => Promise<Outcome>,
  parent: Command = program,
): void {
  const command = parent.command(name).allowUnknownOption().allowExcessArguments();
  define(command);
  command.action(async () => {
    const outcome = await run(new Arguments(command));
    report.finish(outcome);
    process.exitCode = outcome.exitCode;
  });
}

add('provision', defineProvision, (given) => runProvision(given, report, prompter, abortSignal));
add('status', defineStatus, (given) => runStatus(given, report, abortSignal));
add('sync-status', defineSyncStatus, (given) => runSyncStatus(given, report, abortSignal));
add('change-pin', defineChangePin, (given) => runChangePin(given, report, prompter, abortSignal));
add('reset', defineReset, (given) => runReset(given, report, prompter, abortSignal));
add('unregister', defineUnregister, (given) => runUnregister(given, report, prompter, abortSignal));
const policy = program.command('policy').description('settings, and where they come from').exitOverride();
add('explain', defineExplain, (given) => runExplain(given, report), policy);
add('sign', defineSign, (given) => runSign(given, report, abortSignal));
add('verify', defineVerify, runVerify);
add('request', defineRequest, (given) => runRequest(given, report, abortSignal));
add('attest', defineAttest, (given) => runAttest(given, report, abortSignal));
add('inspect', defineInspect, (given) => runInspect(given, abortSignal));
add('doctor', defineDoctor, runDoctor);
add('sim', defineSim, (given) => runSim(given, signals));

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) {
    report.fail(error);
    process.exitCode = exitCodeOf(error);
  } else if (error.exitCode !== 0 || error.code === 'commander.help') {
    const problem = error.code === 'commander.help' ? 'there is no command' : error.message.replace(/^error: /, '');
    report.fail(new UsageError([problem]));
    process.exitCode = EXIT.usage;
  }
} finally {
  prompter.close();
  signals[Symbol.dispose]();
}
