import type { CommandEntry } from '../command.ts';

/** All commands, in the order in which help lists them. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'provision',
    summary: 'give a user a registered key',
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
    summary: 'change the PIN of a key',
    load: async () => (await import('./change-pin.ts')).changePinCommand,
  },
  {
    name: 'reset',
    summary: 'reset a forgotten PIN',
    load: async () => (await import('./reset.ts')).resetCommand,
  },
  {
    name: 'unregister',
    summary: 'remove a key from the service',
    load: async () => (await import('./unregister.ts')).unregisterCommand,
  },
  {
    name: 'remove',
    summary: 'remove a key that is not registered from the store',
    load: async () => (await import('./remove.ts')).removeCommand,
  },
  {
    name: 'sign',
    summary: 'sign a file',
    load: async () => (await import('./sign.ts')).signCommand,
  },
  {
    name: 'verify',
    summary: 'verify the attestation of a key',
    load: async () => (await import('./verify.ts')).verifyCommand,
  },
  {
    name: 'request',
    summary: 'build a request in any format for a key',
    load: async () => (await import('./request.ts')).requestCommand,
  },
  {
    name: 'attest',
    summary: 'have the TPM attest a key over a challenge',
    load: async () => (await import('./attest.ts')).attestCommand,
  },
  {
    name: 'policy explain',
    summary: 'show which settings apply, and why',
    load: async () => (await import('./policy-explain.ts')).policyExplainCommand,
  },
  {
    name: 'inspect',
    summary: 'identify a file and show what is in it',
    load: async () => (await import('./inspect.ts')).inspectCommand,
  },
  {
    name: 'doctor',
    summary: 'find TPMs and libraries, and what is missing',
    load: async () => (await import('./doctor.ts')).doctorCommand,
  },
  {
    name: 'dashboard',
    summary: 'show a status page for help desks',
    load: async () => (await import('./dashboard.ts')).dashboardCommand,
  },
  {
    name: 'tpm',
    summary: 'show PIN tries and objects of a TPM, and reset them',
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
