#!/usr/bin/env node
import { createRequire } from 'node:module';
import { Command, CommanderError } from 'commander';
import { Arguments, UsageError } from './arguments.ts';
import { defineAttest, runAttest } from './attest.ts';
import { defineDoctor, runDoctor } from './doctor.ts';
import { EXIT, EXIT_CODES_HELP, exitCodeOf } from './exit-codes.ts';
import { defineInspect, runInspect } from './inspect.ts';
import { defineProvision, runProvision } from './provision.ts';
import { type Outcome, Report } from './report.ts';
import { defineRequest, runRequest } from './request.ts';
import { defineSign, runSign } from './sign.ts';
import { Signals } from './signals.ts';
import { defineSim, runSim } from './sim.ts';
import { defineVerify, runVerify } from './verify.ts';

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

function add(name: string, define: (command: Command) => void, run: (given: Arguments) => Promise<Outcome>): void {
  const command = program.command(name).allowUnknownOption().allowExcessArguments();
  define(command);
  command.action(async () => {
    const outcome = await run(new Arguments(command));
    report.finish(outcome);
    process.exitCode = outcome.exitCode;
  });
}

add('provision', defineProvision, (given) => runProvision(given, report, abortSignal));
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
  signals[Symbol.dispose]();
}
