import type { CliCommand } from '../command.ts';
import { attestCommand } from './attest.ts';
import { changePinCommand } from './change-pin.ts';
import { createCommand } from './create.ts';
import { doctorCommand } from './doctor.ts';
import { inspectCommand } from './inspect.ts';
import { policyExplainCommand } from './policy-explain.ts';
import { provisionCommand } from './provision.ts';
import { requestCommand } from './request.ts';
import { resetCommand } from './reset.ts';
import { signCommand } from './sign.ts';
import { simCommand } from './sim.ts';
import { statusCommand } from './status.ts';
import { syncStatusCommand } from './sync-status.ts';
import { tpmCommand } from './tpm.ts';
import { unregisterCommand } from './unregister.ts';
import { verifyCommand } from './verify.ts';

/** All commands, in the order in which help lists them. */
export const COMMANDS: readonly CliCommand[] = [
  ...[
    provisionCommand,
    createCommand,
    statusCommand,
    syncStatusCommand,
    changePinCommand,
    resetCommand,
    unregisterCommand,
  ],
  ...[
    signCommand,
    verifyCommand,
    requestCommand,
    attestCommand,
    policyExplainCommand,
    inspectCommand,
    doctorCommand,
    tpmCommand,
    simCommand,
  ],
];
