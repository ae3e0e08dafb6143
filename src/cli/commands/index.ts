import type { CommandEntry } from '../command.ts';

/** All commands, in the order in which help lists them. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'provision',
    summary: 'make a key for a user, and register it with a service',
    load: async () => (await import('./provision.ts')).provisionCommand,
  },
  {
    name: 'create',
    summary: 'make a key, without a service',
    load: async () => (await import('./create.ts')).createCommand,
  },
  {
    name: 'status',
    summary: 'show the keys and their state',
    load: async () => (await import('./status.ts')).statusCommand,
  },
  {
    name: 'sync-status',
    summary: 'show whether a key has reached the directory',
    load: async () => (await import('./sync-status.ts')).syncStatusCommand,
  },
  {
    name: 'change-pin',
    summary: "change a key's PIN",
    load: async () => (await import('./change-pin.ts')).changePinCommand,
  },
  {
    name: 'reset',
    summary: 'replace a forgotten PIN',
    load: async () => (await import('./reset.ts')).resetCommand,
  },
  {
    name: 'unregister',
    summary: 'remove a key from the service and the store',
    load: async () => (await import('./unregister.ts')).unregisterCommand,
  },
  {
    name: 'remove',
    summary: 'remove an unregistered key from the store',
    load: async () => (await import('./remove.ts')).removeCommand,
  },
  {
    name: 'sign',
    summary: 'sign a file',
    load: async () => (await import('./sign.ts')).signCommand,
  },
  {
    name: 'verify',
    summary: "verify a key's attestation",
    load: async () => (await import('./verify.ts')).verifyCommand,
  },
  {
    name: 'request',
    summary: 'build a request for a key, in any format',
    load: async () => (await import('./request.ts')).requestCommand,
  },
  {
    name: 'attest',
    summary: 'attest a key over a challenge',
    load: async () => (await import('./attest.ts')).attestCommand,
  },
  {
    name: 'policy explain',
    summary: 'show which settings apply, and why',
    load: async () => (await import('./policy-explain.ts')).policyExplainCommand,
  },
  {
    name: 'inspect',
    summary: 'identify a file and show its contents',
    load: async () => (await import('./inspect.ts')).inspectCommand,
  },
  {
    name: 'doctor',
    summary: 'check this machine: TPMs, libraries, and what is missing',
    load: async () => (await import('./doctor.ts')).doctorCommand,
  },
  {
    name: 'dashboard',
    summary: 'show a status page for help desks',
    load: async () => (await import('./dashboard.ts')).dashboardCommand,
  },
  {
    name: 'tpm',
    summary: "show a TPM's PIN tries and loaded objects; end a lockout",
    load: async () => (await import('./tpm.ts')).tpmCommand,
  },
  {
    name: 'sim',
    summary: 'run a command with a simulated TPM',
    load: async () => (await import('./sim.ts')).simCommand,
  },
  {
    name: 'completion',
    summary: 'print a completion script for a shell',
    load: async () => (await import('./completion.ts')).completionCommand,
  },
];
