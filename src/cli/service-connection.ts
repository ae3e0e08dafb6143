import { rethrowAs, withCleanup } from '../errors.ts';
import type { EnrolAk } from '../provisioning/key-request.ts';
import type { MfaPrompt } from '../provisioning/mfa-gate.ts';
import { createMfaPrompt, tokenByCode } from '../provisioning/mfa-prompt.ts';
import { attestationCaEnrolment } from '../registration/attestation-ca.ts';
import type { DeviceCodePrompt } from '../registration/device-code.ts';
import { ekCertificateService } from '../registration/ek-certificate-service.ts';
import type { GraphOptions } from '../registration/graph.ts';
import type { KeyRegistrar } from '../registration/key-registrar.ts';
import { openKeyRegistrar } from '../registration/open-key-registrar.ts';
import { createServiceFetch, type ServiceFetch } from '../registration/service-fetch.ts';
import { UsageError } from './options/arguments.ts';
import type { AttestationCaArguments, ServiceArguments } from './options/service-option.ts';
import { commandToken } from './terminal/command-output.ts';
import { sayingProblems, showCode, tokenCommandPrompt } from './terminal/mfa-prompt.ts';
import type { Prompter } from './terminal/prompter.ts';

/** A connected service, and how its users authenticate. */
export interface ServiceConnection {
  readonly registrar: KeyRegistrar;
  readonly mfa: MfaPrompt;
  /** Has the attestation CA certify attestation keys; undefined without `--attestation-ca`. */
  readonly enrolAk: EnrolAk | undefined;
  /** Access to Microsoft Graph. */
  readonly graph: GraphOptions;
  readonly fetch: ServiceFetch;
}

const GRAPH = 'https://graph.microsoft.com';

/** The user of a service, and how to ask them. */
export interface ServiceUse {
  /** The user who authenticates. */
  readonly user: string;
  readonly prompter: Prompter;
  readonly signal: AbortSignal;
  /** Shows a sign-in code. Default: in the terminal. */
  readonly onCode?: ((code: DeviceCodePrompt) => void) | undefined;
}

/** Runs `work` with a function that has attestation keys certified, and with a `fetch`, and closes the connections. */
export async function withAttestationCa<T>(
  { attestationCa, ekService, ...service }: AttestationCaArguments & Partial<Pick<ServiceArguments, 'device'>>,
  work: (enrolAk: EnrolAk | undefined, fetch: ServiceFetch) => Promise<T>,
): Promise<T> {
  const fetch = openFetch(service);
  // The certificate of the device is not for the maker of its TPM.
  const ofMaker = openFetch({ ...service, device: undefined });
  const connect = async (): Promise<T> => {
    const lookUpEk = ekService ? ekCertificateService({ fetch: ofMaker }) : undefined;
    return await work(attestationCa && attestationCaEnrolment({ url: attestationCa, fetch, lookUpEk }), fetch);
  };
  return await withCleanup(connect, () => withCleanup(fetch.close, ofMaker.close));
}

/** Finds the service, runs `work`, and closes the connections. */
export async function withService<T>(
  service: ServiceArguments,
  { user, prompter, signal, onCode = (code) => showCode(code, { user, prompter }) }: ServiceUse,
  work: (connection: ServiceConnection) => Promise<T>,
): Promise<T> {
  return await withAttestationCa(service, async (enrolAk, fetch) => {
    const { url, tenant, trustedResources, clientId, graphTokenCommand, graphUrl } = service;
    const server = { url, tenant, trustedResources, fetch };
    const signIn = {
      ...{ ...server, clientId, onCode },
    };
    const graphToken = once(async () =>
      graphTokenCommand === undefined
        ? await tokenByCode({ user, resource: graphUrl ? bare(graphUrl) : GRAPH }, { ...signIn, signal })
        : await commandToken(graphTokenCommand, { option: '--graph-token-command', signal }),
    );
    const graph = { token: graphToken, graphUrl };
    const registrar = await openKeyRegistrar({ ...server, signal, graph });
    const { tokenCommand } = service;
    const mfa: MfaPrompt =
      tokenCommand === undefined ? sayingProblems(createMfaPrompt(signIn), prompter) : tokenCommandPrompt(tokenCommand);
    return await work({ registrar, mfa, enrolAk, graph: { ...graph, fetch, signal }, fetch });
  });
}

/** @throws UsageError if the proxy, a certificate or a key is invalid. */
export function openFetch({
  ca,
  proxy,
  device,
}: Pick<ServiceArguments, 'ca' | 'proxy'> & Partial<Pick<ServiceArguments, 'device'>>): ServiceFetch {
  return withUsableFiles(`--service-ca, --proxy${device === undefined ? '' : ', --device-cert'}`, () =>
    createServiceFetch({ ca, proxy, clientCertificate: device }),
  );
}

/** Turns a TypeError of `work` into a UsageError that names `options`. */
export function withUsableFiles<T>(options: string, work: () => T): T {
  return rethrowAs(work, (error) =>
    error instanceof TypeError ? new UsageError([`${options}: ${error.message}`]) : undefined,
  );
}

const bare = ({ origin, pathname }: URL): string => `${origin}${pathname}`.replace(/\/$/, '');

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= work();
    return result;
  };
}
