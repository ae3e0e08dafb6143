import { MfaError } from '../../errors/mfa-error.ts';
import type { MfaPrompt } from '../../provisioning/mfa-gate.ts';
import { NGC_CLAIMS } from '../../registration/authorize-request.ts';
import { authenticateWithDeviceCode } from '../../registration/device-code.ts';
import type { ServiceOptions } from '../../registration/service-message.ts';
import { commandText } from './command-output.ts';
import type { Prompter } from './prompter.ts';

/** Where the user authenticates. */
export interface DeviceCodeSource extends Pick<ServiceOptions, 'fetch'> {
  readonly tokenEndpoint: URL;
  readonly clientId: string;
  readonly prompter: Prompter;
}

/** Microsoft Authentication Broker, which device-bound sign-ins for registrations are made with. */
export const DEFAULT_CLIENT_ID = '29d9ed98-a469-4536-ade2-f981bc1d605e';

/** Shows a code, with which the user authenticates on a page of the service, in any browser. */
export function deviceCodePrompt(source: DeviceCodeSource): MfaPrompt {
  return async ({ user, resource, maxAgeSeconds, problems }, { signal }) => {
    for (const { message } of problems) source.prompter.say(`The authentication did not count: ${message}`);
    const { accessToken } = await signIn(source, { user, resource, maxAgeSeconds, signal });
    return { status: 'passed', token: accessToken };
  };
}

/** A token for a service that needs no fresh authentication, such as Microsoft Graph. */
export async function deviceCodeToken(
  source: DeviceCodeSource,
  demand: { readonly user: string; readonly resource: string; readonly signal: AbortSignal },
): Promise<string> {
  return (await signIn(source, demand)).accessToken;
}

async function signIn(
  { tokenEndpoint, clientId, prompter, fetch }: DeviceCodeSource,
  {
    user,
    resource,
    maxAgeSeconds,
    signal,
  }: {
    readonly user: string;
    readonly resource: string;
    readonly maxAgeSeconds?: number;
    readonly signal: AbortSignal;
  },
) {
  const demand = {
    ...{ tokenEndpoint, clientId, resource, loginHint: user, claims: NGC_CLAIMS },
    ...(maxAgeSeconds !== undefined && { mfaMaxAge: maxAgeSeconds }),
  };
  return await authenticateWithDeviceCode(demand, {
    ...{ fetch, signal },
    onCode: ({ userCode, verificationUrl, expires }) => {
      prompter.say(`Sign in as ${user}, with a second factor.`);
      prompter.say(`Open this page in any browser: ${verificationUrl}`);
      prompter.say(`Enter this code there: ${userCode}`);
      prompter.say(`The code is good until ${expires.toISOString()}. Waiting for the sign-in. Ctrl-C gives up.`);
    },
  });
}

/** Asks a tool of the user's own for the token; it learns from its environment what the token must be for. */
export function tokenCommandPrompt(command: string): MfaPrompt {
  return async ({ user, deviceId, resource, amrValues, maxAgeSeconds, attempt }, { signal }) => {
    const token = await commandText(command, {
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
    if (!/^[!-~]+$/.test(token)) {
      throw new MfaError('token-invalid', 'the command of --token-command printed something that is not a token', {
        remedy: 'let it print the access token and nothing else',
      });
    }
    return { status: 'passed', token };
  };
}
