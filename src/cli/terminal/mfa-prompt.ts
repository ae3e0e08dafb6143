import { sayTime } from '../../printable.ts';
import type { MfaPrompt } from '../../provisioning/mfa-gate.ts';
import type { DeviceCodePrompt } from '../../registration/device-code.ts';
import { commandToken } from './command-output.ts';
import type { Prompter } from './prompter.ts';

/** Shows the code with which the user signs in on a page of the service, in any browser. */
export function showCode(
  { userCode, verificationUrl, expires }: DeviceCodePrompt,
  { user, prompter }: { readonly user: string; readonly prompter: Prompter },
): void {
  prompter.say(`Sign in as ${user}, with a second factor.`);
  prompter.say(`Open this page in any browser: ${verificationUrl}`);
  prompter.say(`Enter this code there: ${userCode}`);
  prompter.say(`The code is valid until ${sayTime(expires)}. Waiting for the sign-in. Press Ctrl-C to give up.`);
}

/** Wraps a prompt to say first why the last authentication was not accepted. */
export function sayingProblems(prompt: MfaPrompt, prompter: Prompter): MfaPrompt {
  return async (request, options) => {
    for (const { message } of request.problems) prompter.say(`The authentication was not accepted: ${message}`);
    return await prompt(request, options);
  };
}

/** Gets the token from the user's own command, whose environment says what the token must be for. */
export function tokenCommandPrompt(command: string): MfaPrompt {
  return async ({ user, deviceId, resource, amrValues, maxAgeSeconds, attempt }, { signal }) => {
    const token = await commandToken(command, {
      option: '--token-command',
      environment: {
        KEYPROV_USER: user,
        KEYPROV_DEVICE_ID: deviceId,
        KEYPROV_RESOURCE: resource,
        KEYPROV_AMR_VALUES: amrValues,
        KEYPROV_MFA_MAX_AGE: String(maxAgeSeconds),
        KEYPROV_ATTEMPT: String(attempt),
      },
      signal,
    });
    return { status: 'passed', token };
  };
}
