import type { Option } from 'commander';
import { utf8 } from '../../bytes.ts';
import { splitCertificates } from '../../crypto/certificate-bytes.ts';
import { parseCertificate } from '../../crypto/x509.ts';
import { isKeyprovError, sayError } from '../../errors.ts';
import { AUTHENTICATION_BROKER } from '../../provisioning/mfa-prompt.ts';
import { isDots, isSafeUrl } from '../../registration/service-url.ts';
import { clientKeyProblem, readableCertificates } from '../../registration/verified-tls.ts';
import { readInput } from '../../storage/read-input.ts';
import { decodeFileText } from '../../text.ts';
import type { Arguments } from './arguments.ts';
import { ekServiceOption, requiredOption, valueOption } from './value-option.ts';

/** The form of a GUID of a device or tenant. */
export const GUID: RegExp = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The arguments about the CA that certifies attestation keys. */
export interface AttestationCaArguments {
  /** Further roots, in PEM. */
  readonly ca: string | undefined;
  readonly proxy: string | undefined;
  readonly attestationCa: URL | undefined;
  /** Whether the TPM's maker may be asked for the certificate of the endorsement key. */
  readonly ekService: boolean;
}

/** The arguments about the service. */
export interface ServiceArguments extends AttestationCaArguments {
  readonly url: URL;
  readonly tenant: string | undefined;
  /** Resources for which tokens may be requested although they do not name the service. */
  readonly trustedResources: readonly string[] | undefined;
  /** The device certificate and its key, in PEM. */
  readonly device: { readonly certificate: string; readonly privateKey: string } | undefined;
  /** The GUID of `--device-id`, or the one in the device certificate. */
  readonly deviceId: string | undefined;
  readonly clientId: string;
  readonly tokenCommand: string | undefined;
  readonly graphTokenCommand: string | undefined;
  readonly graphUrl: URL | undefined;
}

/** The options of every command that talks to a service. */
export function serviceOptions(): Option[] {
  return [
    requiredOption('--service <url>', 'the service that registers keys'),
    valueOption('--tenant <id>', 'Entra ID tenant (default: none, for AD FS)'),
    valueOption('--resource <id>', 'also accept this resource for access tokens'),
    ...connectionOptions(),
    valueOption('--device-cert <file>', "device's certificate, PEM"),
    valueOption('--device-key <file>', "device's private key, PEM"),
    valueOption('--client-id <guid>', "application that signs in (default: Microsoft's)"),
  ];
}

/** The options of every connection. */
export function connectionOptions(): Option[] {
  return [
    valueOption('--service-ca <file>', 'additional root certificates, PEM'),
    valueOption('--proxy <url>', "proxy URL, or 'environment' to use HTTPS_PROXY"),
  ];
}

/** The options of commands that have attestation keys certified. */
export function attestationCaOptions(): Option[] {
  return [valueOption('--attestation-ca <url>', 'CA for the attestation key (smallstep protocol)'), ekServiceOption()];
}

/** The options of commands that remove keys from the service. */
export function graphOptions(): Option[] {
  return [
    valueOption('--graph-token-command <cmd>', 'command that prints a Microsoft Graph token'),
    valueOption('--graph-url <url>', 'Graph (default: https://graph.microsoft.com/)'),
  ];
}

/** Reads {@link serviceOptions}, {@link graphOptions}, and the files that they name. Problems are noted in `given`. */
export async function readServiceArguments(given: Arguments): Promise<ServiceArguments> {
  const url = urlOf(given, 'service') ?? new URL('https://localhost');
  given.required('service');
  const certificate = await certificatesOf(given, 'device-cert');
  const privateKey = await fileOf(given, 'device-key');
  if (given.isThere('device-cert') !== given.isThere('device-key')) {
    given.problems.push('--device-cert and --device-key must be used together');
  }
  const device = certificate && privateKey ? { certificate, privateKey } : undefined;
  const keyProblem = device && clientKeyProblem(device);
  if (keyProblem !== undefined) given.problems.push(`--device-key: ${given.text('device-key')} ${keyProblem}`);
  const resource = given.text('resource');
  const deviceId = readDeviceId(given);
  const certified = certificate === undefined ? undefined : await deviceIdOf(certificate, given);
  if (deviceId !== undefined && certified !== undefined && deviceId.toLowerCase() !== certified.toLowerCase()) {
    given.problems.push(`--device-id differs from the id in --device-cert, ${certified}`);
  }
  return {
    url,
    tenant: tenantOf(given),
    trustedResources: resource === undefined ? undefined : [resource],
    ...(await readAttestationCaArguments(given)),
    device,
    deviceId: deviceId ?? certified,
    clientId: given.text('client-id') ?? AUTHENTICATION_BROKER,
    tokenCommand: given.text('token-command'),
    graphTokenCommand: given.text('graph-token-command'),
    graphUrl: urlOf(given, 'graph-url'),
  };
}

/** Reads {@link connectionOptions} and {@link attestationCaOptions}. */
export async function readAttestationCaArguments(
  given: Arguments,
  why = 'works only with --attestation-ca',
): Promise<AttestationCaArguments> {
  if (!given.isThere('attestation-ca')) given.refuse(['ek-service'], why);
  return {
    ca: await certificatesOf(given, 'service-ca'),
    proxy: given.text('proxy'),
    attestationCa: urlOf(given, 'attestation-ca'),
    ekService: given.has('ek-service'),
  };
}

/** The value of `--device-id`. */
export function readDeviceId(given: Arguments): string | undefined {
  const deviceId = given.text('device-id');
  if (deviceId !== undefined && !GUID.test(deviceId)) given.problems.push('--device-id is not a GUID');
  return deviceId;
}

function tenantOf(given: Arguments): string | undefined {
  const tenant = given.text('tenant');
  if (tenant !== undefined && isDots(tenant)) given.problems.push("--tenant is not a tenant's id or domain");
  return tenant;
}

/** The URL of an option: https, or http to a loopback address. */
export function urlOf(given: Arguments, name: string): URL | undefined {
  const text = given.text(name);
  if (text === undefined) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && isSafeUrl(url) && url.username === '' && url.password === '') return url;
  const isHost = /^[\w.-]+\.[a-z]+(?:[:/]|$)/i.test(text) && URL.canParse(`https://${text}`);
  const meant = isHost ? `; did you mean https://${text}?` : '';
  given.problems.push(`--${name} is not an https URL, or contains a user name or password${meant}`);
  return undefined;
}

/** The text of a file that an option names. */
export async function fileOf(given: Arguments, name: string): Promise<string | undefined> {
  return await readNamedBy(given, name, (bytes, path) => {
    const text = decodeFileText(bytes);
    if (text === undefined) given.problems.push(`--${name}: ${path} is not a text file`);
    return text;
  });
}

/** What `read` makes of a file that an option names. */
async function readNamedBy<T>(
  given: Arguments,
  name: string,
  read: (bytes: Uint8Array, path: string) => T,
): Promise<T | undefined> {
  const path = given.text(name);
  if (path === undefined) return undefined;
  try {
    return read(await readInput(path, given), path);
  } catch (error) {
    if (!isKeyprovError(error)) throw error;
    // An error of the file system names the file.
    const said = sayError(error);
    given.problems.push(`--${name}: ${said.includes(path) ? said : `${path}: ${said}`}`);
    return undefined;
  }
}

/** The certificates in a file that an option names, in PEM. */
export async function certificatesOf(given: Arguments, name: string): Promise<string | undefined> {
  return await readNamedBy(given, name, (bytes) => readableCertificates(bytes).join(''));
}

/** The common name of a device's certificate, which is its id. MS-DVRJ 3.1.5.1. */
async function deviceIdOf(pem: string, given: Arguments): Promise<string | undefined> {
  try {
    const [der] = splitCertificates(utf8(pem));
    const { subject } = await parseCertificate(der ?? new Uint8Array(0));
    const names = subject.flat().filter(({ type, value }) => type === COMMON_NAME && GUID.test(value));
    return names[0]?.value;
  } catch (error) {
    if (!isKeyprovError(error)) throw error;
    given.problems.push(`--device-cert: ${given.text('device-cert')}: ${sayError(error)}`);
    return undefined;
  }
}

const COMMON_NAME = '2.5.4.3';
