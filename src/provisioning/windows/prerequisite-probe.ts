import type { SignalOptions } from '../../signal.ts';
import { type DsregValues, dsregText, dsregValue, type JoinState, joinStateOf, parseDsregStatus } from './dsregcmd.ts';

/**
 * Who enrols certificates for sign-in, in Windows' words: `none` is key trust, `enrollment authority` certificate trust
 * by Group Policy, `mobile device management` certificate trust by MDM.
 */
export type CertEnrollment = 'none' | 'enrollment authority' | 'mobile device management';

const NGC = 'Ngc Prerequisite Check';
const CERT_ENROLLMENTS: readonly CertEnrollment[] = ['none', 'enrollment authority', 'mobile device management'];

/** What is known of machine, user and session. What is absent is not known. */
export interface PrerequisiteFacts {
  readonly joinState?: JoinState;
  /** Joined to Entra ID, be it in the hybrid way or not. */
  readonly deviceJoined?: boolean;
  /** The directory has disabled or deleted the device. */
  readonly deviceDisabled?: boolean;
  /** The user has signed in as a user of the directory. */
  readonly directoryUser?: boolean;
  readonly policyEnabled?: boolean;
  /** Provisioning after sign-in is not switched off. */
  readonly postLogonEnabled?: boolean;
  /** The machine meets the hardware policy of the system. */
  readonly deviceEligible?: boolean;
  readonly remoteSession?: boolean;
  readonly certEnrollment?: CertEnrollment;
  /** There is a Kerberos ticket from the cloud. */
  readonly cloudTgt?: boolean;
  /** The user has a PIN already. */
  readonly pinSet?: boolean;
  /** Certificate trust only: AD FS accepts the user, is ready to enrol, and what is the matter with its template. */
  readonly adfsRefreshToken?: boolean;
  readonly adfsRaIsReady?: boolean;
  readonly logonCertTemplate?: string;
  /** The code with which Windows' own check ended, unsigned; what it would have found out is not known then. */
  readonly checkCode?: number;
}

/** Something that knows facts, such as the reader of a system's own tool. */
export interface PrerequisiteProbe {
  /** Which facts it knows. What it cannot find out it leaves out; what it should know and fails to read it throws. */
  read(options?: SignalOptions): Promise<PrerequisiteFacts>;
}

/** Asks all probes. Of several that know a fact, the first is believed. */
export async function probePrerequisites(
  probes: readonly PrerequisiteProbe[],
  { signal }: SignalOptions = {},
): Promise<PrerequisiteFacts> {
  let facts: PrerequisiteFacts = {};
  for (const probe of probes) {
    signal?.throwIfAborted();
    facts = { ...known(await probe.read({ signal })), ...facts };
  }
  return facts;
}

/** A probe that knows these facts. */
export function valuesProbe(facts: PrerequisiteFacts): PrerequisiteProbe {
  return { read: async () => facts };
}

/** A probe over the text of `dsregcmd /status`, run as the user: {@link readDsregFacts}. */
export function dsregcmdProbe(text: string | ((options: SignalOptions) => Promise<string>)): PrerequisiteProbe {
  return {
    read: async (options = {}) => readDsregFacts(typeof text === 'string' ? text : await text(options)),
  };
}

/** The facts in the text of `dsregcmd /status`. Sections that are missing leave facts out. */
export function readDsregFacts(text: string): PrerequisiteFacts {
  const status = parseDsregStatus(text);
  const check = (name: keyof DsregValues[typeof NGC]) => dsregValue(status, NGC, name);
  const authStatus = dsregText(status, 'Device Details', 'DeviceAuthStatus');
  const isNotRemote = check('SessionIsNotRemote');
  const joinState = joinStateOf(status);
  // Windows 10 1607 to 1703 asks only whether it is certificate trust, and has nothing that switches provisioning off.
  const certRequired = check('X509CertRequired');
  return known({
    joinState,
    deviceJoined: check('IsDeviceJoined') ?? (certRequired !== undefined ? joinState?.startsWith('entra') : undefined),
    // Another failure says only that the directory could not be asked.
    deviceDisabled: authStatus === 'SUCCESS' ? false : authStatus?.startsWith('FAILED. Device') || undefined,
    directoryUser: check('IsUserAzureAD') ?? dsregValue(status, 'SSO State', 'AzureAdPrt'),
    policyEnabled: check('PolicyEnabled'),
    postLogonEnabled: check('PostLogonEnabled') ?? (certRequired !== undefined ? true : undefined),
    deviceEligible: check('DeviceEligible'),
    remoteSession: isNotRemote === undefined ? undefined : !isNotRemote,
    certEnrollment:
      CERT_ENROLLMENTS.find((method) => method === dsregText(status, NGC, 'CertEnrollment')) ??
      (certRequired === undefined ? undefined : certRequired ? 'enrollment authority' : 'none'),
    cloudTgt: check('OnPremTGT') ?? check('CloudTGT') ?? dsregValue(status, 'SSO State', 'OnPremTgt'),
    pinSet: dsregValue(status, 'User State', 'NgcSet'),
    adfsRefreshToken: check('AdfsRefreshToken'),
    adfsRaIsReady: check('AdfsRaIsReady'),
    logonCertTemplate: dsregText(status, NGC, 'LogonCertTemplateReady'),
    checkCode: codeIn(dsregText(status, NGC, 'NgcPreReq')),
  });
}

/** `ERROR 0xd0020017`. */
function codeIn(text = ''): number | undefined {
  const at = text.indexOf('0x');
  const digits = at < 0 ? '' : text.slice(at, at + 10);
  const code = digits.length === 10 ? Number(digits) : Number.NaN;
  return Number.isNaN(code) ? undefined : code;
}

/** Without the members that are undefined, which would hide what another probe knows. */
function known(
  facts: { readonly [F in keyof PrerequisiteFacts]: PrerequisiteFacts[F] | undefined },
): PrerequisiteFacts {
  return { ...Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)) };
}
