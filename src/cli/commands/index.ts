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
    summary: 'say which keys there are, and how they are',
    load: async () => (await import('./status.ts')).statusCommand,
  },
  {
    name: 'sync-status',
    summary: 'say whether a key has reached the directory',
    load: async () => (await import('./sync-status.ts')).syncStatusCommand,
  },
  {
    name: 'change-pin',
    summary: 'change the PIN of a key',
    load: async () => (await import('./change-pin.ts')).changePinCommand,
  },
  {
    name: 'reset',
    summary: 'replace a key whose PIN was forgotten',
    load: async () => (await import('./reset.ts')).resetCommand,
  },
  {
    name: 'unregister',
    summary: 'take a key back from the service',
    load: async () => (await import('./unregister.ts')).unregisterCommand,
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
    summary: 'build a request of any format for a key',
    load: async () => (await import('./request.ts')).requestCommand,
  },
  {
    name: 'attest',
    summary: 'have the TPM attest a key over a challenge',
    load: async () => (await import('./attest.ts')).attestCommand,
  },
  {
    name: 'policy explain',
    summary: 'say which settings hold, and why',
    load: async () => (await import('./policy-explain.ts')).policyExplainCommand,
  },
  {
    name: 'inspect',
    summary: 'say what a file is and what is in it',
    load: async () => (await import('./inspect.ts')).inspectCommand,
  },
  {
    name: 'doctor',
    summary: 'say which TPMs and libraries are there',
    load: async () => (await import('./doctor.ts')).doctorCommand,
  },
  {
    name: 'dashboard',
    summary: 'show all of that on a page for help desks',
    load: async () => (await import('./dashboard.ts')).dashboardCommand,
  },
  {
    name: 'tpm',
    summary: 'say what takes the room in a TPM, and flush it',
    load: async () => (await import('./tpm.ts')).tpmCommand,
  },
  {
    name: 'sim',
    summary: 'run a command with a simulated TPM',
    load: async () => (await import('./sim.ts')).simCommand,
  },
];
