import type { CliCommand, CommandEntry } from '../command.ts';

/** An entry whose command is the export of that name of a module. */
const entry = <Name extends string>(
  name: string,
  summary: string,
  load: () => Promise<Readonly<Record<Name, CliCommand>>>,
  exported: Name,
): CommandEntry => ({ name, summary, load: async () => (await load())[exported] });

/** All commands, in the order in which help lists them. */
export const COMMANDS: readonly CommandEntry[] = [
  entry(
    'provision',
    'make a key for a user, and register it with a service',
    () => import('./provision.ts'),
    'provisionCommand',
  ),
  entry('create', 'make a key, without a service', () => import('./create.ts'), 'createCommand'),
  entry('status', 'show the keys and their state', () => import('./status.ts'), 'statusCommand'),
  entry(
    'sync-status',
    'show whether a key has reached the directory',
    () => import('./sync-status.ts'),
    'syncStatusCommand',
  ),
  entry('change-pin', "change a key's PIN", () => import('./change-pin.ts'), 'changePinCommand'),
  entry('reset', 'replace a forgotten PIN', () => import('./reset.ts'), 'resetCommand'),
  entry(
    'unregister',
    'remove a key from the service and the store',
    () => import('./unregister.ts'),
    'unregisterCommand',
  ),
  entry('remove', 'remove an unregistered key from the store', () => import('./remove.ts'), 'removeCommand'),
  entry('sign', 'sign a file', () => import('./sign.ts'), 'signCommand'),
  entry('verify', "verify a key's attestation", () => import('./verify.ts'), 'verifyCommand'),
  entry('request', 'build a request for a key, in any format', () => import('./request.ts'), 'requestCommand'),
  entry('attest', 'attest a key over a challenge', () => import('./attest.ts'), 'attestCommand'),
  entry(
    'policy explain',
    'show which settings apply, and why',
    () => import('./policy-explain.ts'),
    'policyExplainCommand',
  ),
  entry('inspect', 'identify a file and show its contents', () => import('./inspect.ts'), 'inspectCommand'),
  entry(
    'doctor',
    'check this machine: TPMs, libraries, and what is missing',
    () => import('./doctor.ts'),
    'doctorCommand',
  ),
  entry('dashboard', 'show a status page for help desks', () => import('./dashboard.ts'), 'dashboardCommand'),
  entry('tpm', "show a TPM's PIN tries and loaded objects; end a lockout", () => import('./tpm.ts'), 'tpmCommand'),
  entry('sim', 'run a command with a simulated TPM', () => import('./sim.ts'), 'simCommand'),
  entry('completion', 'print a completion script for a shell', () => import('./completion.ts'), 'completionCommand'),
];
