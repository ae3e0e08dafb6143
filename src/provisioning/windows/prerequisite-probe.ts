import { checkList } from '../../bytes.ts';
import { checkMembers } from '../../known-members.ts';
import type { SignalOptions } from '../../signal.ts';
import { type DsregValues, dsregText, dsregValue, type JoinState, joinStateOf, parseDsregStatus } from './dsregcmd.ts';

/**
 * Who enrols certificates for sign-in, in Windows' words. `none`: key trust. `enrollment authority`: certificate trust
 * by Group Policy. `mobile device management`: certificate trust by MDM.
 */
export type CertEnrollment = 'none' | 'enrollment authority' | 'mobile device management';

const NGC = 'Ngc Prerequisite Check';
const CERT_ENROLLMENTS: readonly CertEnrollment[] = ['none', 'enrollment authority', 'mobile device management'];

/** Facts about machine, user and session. An absent fact is unknown. */
export interface PrerequisiteFacts {
  readonly joinState?: JoinState;
  /** Joined to Entra ID, hybrid or not. */
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
  /** The user already has a PIN. */
  readonly pinSet?: boolean;
  /** Certificate trust only: AD FS accepts the user. */
  readonly adfsRefreshToken?: boolean;
  /** Certificate trust only: AD FS is ready to enrol. */
  readonly adfsRaIsReady?: boolean;
  /** Certificate trust only: the state of AD FS' certificate template, such as `YES ( StateReady )`. */
  readonly logonCertTemplate?: string;
  /** The error code of Windows' own check, unsigned. The facts it would have found are then unknown. */
  readonly checkCode?: number;
}

/** A source of facts, such as the reader of a system tool. */
export interface PrerequisiteProbe {
  /** Reads the facts. Leaves out those it cannot know; throws if it fails to read one that it should know. */
  read(options?: SignalOptions): Promise<PrerequisiteFacts>;
}

/** For callers without types. @throws TypeError that names the fact */
export function checkFacts(name: string, facts: PrerequisiteFacts): PrerequisiteFacts {
  const checked = checkMembers(
    name,
    facts,
    'joinState:=none|entra|domain|entra-hybrid|on-premises-drs? deviceJoined:boolean? deviceDisabled:boolean?',
    'directoryUser:boolean? policyEnabled:boolean? postLogonEnabled:boolean? deviceEligible:boolean?',
    'remoteSession:boolean? certEnrollment cloudTgt:boolean? pinSet:boolean?',
    'adfsRefreshToken:boolean? adfsRaIsReady:boolean? logonCertTemplate:text? checkCode:number?',
  );
  const { certEnrollment } = checked;
  if (certEnrollment !== undefined && !CERT_ENROLLMENTS.includes(certEnrollment))
    throw new TypeError(`${name}: certEnrollment must be '${CERT_ENROLLMENTS.join("' or '")}'`);
  return checked;
}

/**
 * Asks all probes. If several know a fact, the first wins.
 * @throws the errors of the probes; TypeError for a fact of another kind.
 */
export async function probePrerequisites(
  probes: readonly PrerequisiteProbe[],
  { signal }: SignalOptions = {},
): Promise<PrerequisiteFacts> {
  checkList(probes, 'the probes');
  let facts: PrerequisiteFacts = {};
  for (const probe of probes) {
    signal?.throwIfAborted();
    facts = { ...known(checkFacts('the result of a probe', await probe.read({ signal }))), ...facts };
  }
  return facts;
}

/** A probe with fixed facts. @throws TypeError for a fact that is unknown or of another kind */
export function valuesProbe(facts: PrerequisiteFacts): PrerequisiteProbe {
  const checked = checkFacts('valuesProbe', facts);
  return { read: async () => checked };
}

/** A probe that reads the text of `dsregcmd /status`, run as the user, with {@link readDsregFacts}. */
export function dsregcmdProbe(text: string | ((options: SignalOptions) => Promise<string>)): PrerequisiteProbe {
  return { read: async (options = {}) => readDsregFacts(typeof text === 'string' ? text : await text(options)) };
}

/**
 * Reads the facts from the text of `dsregcmd /status`. The facts of missing sections are absent.
 * @throws TypeError for anything but a text.
 */
export function readDsregFacts(text: string): PrerequisiteFacts {
  const status = parseDsregStatus(text);
  const check = (name: keyof DsregValues[typeof NGC]) => dsregValue(status, NGC, name);
  const authStatus = dsregText(status, 'Device Details', 'DeviceAuthStatus');
  const isNotRemote = check('SessionIsNotRemote');
  const joinState = joinStateOf(status);
  // Windows 10 1607 to 1703 only tells certificate trust from key trust, and cannot switch provisioning off.
  const certRequired = check('X509CertRequired');
  return known({
    joinState,
    deviceJoined: check('IsDeviceJoined') ?? (certRequired !== undefined ? joinState?.startsWith('entra') : undefined),
    // Any other failure means only that the directory could not be asked.
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

/** Reads the code of `ERROR 0xd0020017`. */
function codeIn(text = ''): number | undefined {
  const at = text.indexOf('0x');
  const digits = at < 0 ? '' : text.slice(at, at + 10);
  const code = digits.length === 10 ? Number(digits) : Number.NaN;
  return Number.isNaN(code) ? undefined : code;
}

/** Drops undefined members, which would hide the facts of another probe. */
function known(
  facts: { readonly [F in keyof PrerequisiteFacts]: PrerequisiteFacts[F] | undefined },
): PrerequisiteFacts {
  return { ...Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)) };
}
