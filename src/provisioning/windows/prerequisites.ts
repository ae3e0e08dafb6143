import type { Finding } from '../../finding.ts';
import { checkMembers } from '../../known-members.ts';
import type { Policy } from '../../policy/index.ts';
import type { WindowsSettings } from '../../policy/windows-settings.ts';
import type { JoinState } from './dsregcmd.ts';
import { checkFacts, type PrerequisiteFacts } from './prerequisite-probe.ts';
import { formatWindowsCode } from './windows-errors.ts';

/** A prerequisite of provisioning. */
export type PrerequisiteId =
  | 'device-joined'
  | 'directory-user'
  | 'policy-enabled'
  | 'post-logon-provisioning'
  | 'hardware-eligible'
  | 'session-not-remote'
  | 'certificate-enrollment'
  | 'cloud-tgt'
  | 'no-pin';

/** Which prerequisites failed, as bits: Windows' KeyCredentialManagerOperationErrorStates. */
export const PREREQUISITE_ERROR_STATES = {
  None: 0,
  DeviceJoinFailure: 1,
  TokenFailure: 2,
  CertificateFailure: 4,
  RemoteSessionFailure: 8,
  PolicyFailure: 0x10,
  HardwareFailure: 0x20,
  PinExistsFailure: 0x40,
} as const;

/** Result of one check. `unknown` prevents provisioning, like `fail`. */
export interface PrerequisiteFinding extends Finding<PrerequisiteId> {
  /** What to do about it; present if the status is `fail` or `unknown`. */
  readonly remedy?: string;
  /** The code with which Windows reports it, unsigned, for `findWindowsError`. */
  readonly code?: number;
  /** Seconds after which the same check may pass; present if the TPM is locked and says how long. */
  readonly retryAfterSeconds?: number;
}

/** Result of all checks. */
export interface PrerequisiteResult {
  /** As Windows words it; `WillProvision` only if every finding is `pass` or `skipped`. */
  readonly result: 'WillProvision' | 'WillNotProvision';
  /** One per prerequisite, in the order of {@link PrerequisiteId}. */
  readonly findings: readonly PrerequisiteFinding[];
  /** Bits of {@link PREREQUISITE_ERROR_STATES}, one for each kind of check that failed. */
  readonly errorStates: number;
  /** The facts that were checked. */
  readonly facts: PrerequisiteFacts;
}

/** The TPM of the machine. */
export interface TpmFacts {
  readonly version: '1.2' | '2.0';
  /** Emulated, or provided by a hypervisor. Default false. */
  readonly virtual?: boolean;
  /** Set up for use. Default true. */
  readonly ready?: boolean;
  /** In lockout after too many wrong PINs. Default false. */
  readonly lockedOut?: boolean;
  /** Seconds until it is no longer locked. Absent if it is not, or if that is unknown. */
  readonly retryAfterSeconds?: number;
}

/** Options of {@link checkPrerequisites}. */
export interface PrerequisiteOptions {
  /** Where keys may be made. Absent: the system's report about its own hardware policy applies. */
  readonly policy?: (Pick<Policy, 'hardware' | 'virtualTpm'> & Partial<Pick<Policy, 'attestation'>>) | undefined;
  /** The TPM, or `none`. Absent: unknown. */
  readonly tpm?: TpmFacts | 'none' | undefined;
  /** Settings of Windows Hello for Business. For an absent setting, the system's report applies. */
  readonly settings?:
    | Partial<
        Pick<
          WindowsSettings,
          | 'UsePassportForWork'
          | 'DisablePostLogonProvisioning'
          | 'UseCertificateForOnPremAuth'
          | 'UseCloudTrustForOnPremAuth'
        >
      >
    | undefined;
  /** The caller takes over provisioning, so the system's own provisioning may be switched off. */
  readonly takesOver?: boolean | undefined;
  /** Operation to check for. For a change or reset the user may already have a PIN. Default `provisioning`. */
  readonly operation?: 'provisioning' | 'pin-change' | 'pin-reset' | undefined;
  /** Acceptable join states. Default: `entra-hybrid` only. */
  readonly joinStates?: readonly JoinState[] | undefined;
  /**
   * Checks that need not be made here, and why. If no probe has the fact, such a check is `skipped` instead of
   * `unknown`.
   */
  readonly optional?: Readonly<Partial<Record<PrerequisiteId, string>>> | undefined;
}

type Outcome = Omit<PrerequisiteFinding, 'id'>;

const pass = (detail: string): Outcome => ({ status: 'pass', detail });
const skipped = (detail: string): Outcome => ({ status: 'skipped', detail });
const fail = (detail: string, remedy: string, code?: number): Outcome => ({
  status: 'fail',
  detail,
  remedy,
  ...(code !== undefined && { code }),
});
const unknown = (what: string, remedy = 'pass the fact, or the full output of dsregcmd /status'): Outcome => ({
  status: 'unknown',
  detail: `keyprov could not find out ${what}`,
  remedy,
});

type Check = (facts: PrerequisiteFacts, options: PrerequisiteOptions) => Outcome;

/** Each check, with the error state that a failure sets. */
const CHECKS: readonly (readonly [PrerequisiteId, keyof typeof PREREQUISITE_ERROR_STATES, Check])[] = [
  ['device-joined', 'DeviceJoinFailure', checkJoin],
  ['directory-user', 'TokenFailure', checkUser],
  ['policy-enabled', 'PolicyFailure', checkPolicy],
  ['post-logon-provisioning', 'PolicyFailure', checkPostLogon],
  ['hardware-eligible', 'HardwareFailure', checkHardware],
  ['session-not-remote', 'RemoteSessionFailure', checkSession],
  ['certificate-enrollment', 'CertificateFailure', checkCertificates],
  ['cloud-tgt', 'TokenFailure', checkCloudTgt],
  ['no-pin', 'PinExistsFailure', checkPin],
];

/**
 * Checks every prerequisite of provisioning a key for key trust, even after one has failed.
 *
 * @throws TypeError for a fact or an option that is unknown or of another kind.
 *
 * @example
 * ```ts
 * import { checkPrerequisites, dsregcmdProbe, probePrerequisites } from 'keyprov/windows';
 *
 * declare const runDsregcmd: () => Promise<string>; // `dsregcmd /status`, as the user
 *
 * const facts = await probePrerequisites([dsregcmdProbe(runDsregcmd)]);
 * const { result, findings } = checkPrerequisites(facts, { tpm: { version: '2.0' } });
 * if (result === 'WillNotProvision') for (const { detail, remedy } of findings) console.log(detail, remedy);
 * ```
 */
export function checkPrerequisites(facts: PrerequisiteFacts, options: PrerequisiteOptions = {}): PrerequisiteResult {
  facts = checkFacts('the first argument of checkPrerequisites', facts);
  options = checkOptions(options);
  let errorStates = 0;
  const findings = CHECKS.map(([id, errorState, check]): PrerequisiteFinding => {
    const outcome = check(facts, options);
    const why = options.optional?.[id];
    if (outcome.status === 'unknown' && why !== undefined) return { id, ...skipped(`not checked here: ${why}`) };
    if (outcome.status === 'fail') errorStates |= PREREQUISITE_ERROR_STATES[errorState];
    const { checkCode: code } = facts;
    if (outcome.status !== 'unknown' || code === undefined) return { id, ...outcome };
    return {
      id,
      ...outcome,
      detail: `${outcome.detail}, since Windows' own check ended with ${formatWindowsCode(code)}`,
      code,
    };
  });
  const isReady = findings.every(({ status }) => status === 'pass' || status === 'skipped');
  return { result: isReady ? 'WillProvision' : 'WillNotProvision', findings, errorStates, facts };
}

/** For callers without types. @throws TypeError */
function checkOptions(given: PrerequisiteOptions): PrerequisiteOptions {
  const options = checkMembers(
    'checkPrerequisites',
    given,
    'policy tpm settings takesOver:boolean? operation:=provisioning|pin-change|pin-reset? joinStates:texts? optional',
  );
  const { policy, tpm, settings, joinStates = [] } = options;
  const demand = (isRight: boolean, what: string): void => {
    if (!isRight) throw new TypeError(`checkPrerequisites: ${what}`);
  };
  demand(
    joinStates.every((state) => Object.hasOwn(JOINED, state)),
    `joinStates must contain only ${Object.keys(JOINED).join(', ')}`,
  );
  if (policy !== undefined) {
    const { hardware, virtualTpm, attestation } = policy;
    checkMembers(
      'policy of checkPrerequisites',
      { hardware, virtualTpm, attestation },
      'hardware:=required|preferred|discouraged virtualTpm:=allow|refuse attestation:=required|preferred|none?',
    );
  }
  demand(
    tpm === undefined || tpm === 'none' || typeof tpm === 'object',
    "tpm must be 'none' or an object with version",
  );
  if (typeof tpm === 'object') {
    const members = 'version:=1.2|2.0 virtual:boolean? ready:boolean? lockedOut:boolean? retryAfterSeconds:number?';
    checkMembers('tpm of checkPrerequisites', tpm, members);
  }
  if (settings !== undefined) {
    const { UsePassportForWork, DisablePostLogonProvisioning } = settings;
    const { UseCertificateForOnPremAuth, UseCloudTrustForOnPremAuth } = settings;
    checkMembers(
      'settings of checkPrerequisites',
      { UsePassportForWork, DisablePostLogonProvisioning, UseCertificateForOnPremAuth, UseCloudTrustForOnPremAuth },
      'UsePassportForWork:boolean? DisablePostLogonProvisioning:boolean?',
      'UseCertificateForOnPremAuth:boolean? UseCloudTrustForOnPremAuth:boolean?',
    );
  }
  return options;
}

const JOINED: Readonly<Record<JoinState, string>> = {
  none: 'not joined',
  entra: 'joined to Entra ID only',
  domain: 'joined to a domain only',
  'entra-hybrid': 'joined to a domain and to Entra ID',
  'on-premises-drs': 'joined to a domain and registered on premises',
};

function checkJoin(
  { joinState, deviceJoined, deviceDisabled }: PrerequisiteFacts,
  { joinStates = ['entra-hybrid'] }: PrerequisiteOptions,
): Outcome {
  if (deviceDisabled === true) {
    return fail(
      'the directory has disabled or deleted the device',
      'enable it in the directory, or unjoin the device and join it again',
    );
  }
  if (joinState !== undefined && !joinStates.includes(joinState)) {
    const lacksDomain = joinState === 'none' || joinState === 'entra';
    const wanted = joinStates.map((state) => JOINED[state]).join(', or ');
    return fail(
      `the device is ${JOINED[joinState]}`,
      `use a device that is ${wanted}`,
      lacksDomain ? 0x801c0015 : 0x801c001b,
    );
  }
  if (deviceJoined === false && joinState !== 'on-premises-drs') {
    return fail('the system reports that the device is not joined', 'join the device', 0x801c001b);
  }
  if (joinState !== undefined) return pass(`the device is ${JOINED[joinState]}`);
  const anyWillDo = joinStates.includes('entra') && joinStates.includes('entra-hybrid');
  return deviceJoined === true && anyWillDo ? pass('the device is joined') : unknown('how the device is joined');
}

function checkUser({ directoryUser }: PrerequisiteFacts): Outcome {
  if (directoryUser === undefined) return unknown('whether the user belongs to the directory');
  return directoryUser
    ? pass('the user has signed in with a directory account')
    : fail('the user has no token from the directory', 'sign in with a directory account', 0x801c044d);
}

function checkPolicy({ policyEnabled }: PrerequisiteFacts, { settings }: PrerequisiteOptions): Outcome {
  const isEnabled = settings?.UsePassportForWork ?? policyEnabled;
  if (isEnabled === undefined) return unknown('whether policy enables Windows Hello for Business');
  return isEnabled
    ? pass('policy enables Windows Hello for Business')
    : fail('policy does not enable Windows Hello for Business', 'set UsePassportForWork in the policy');
}

function checkPostLogon(
  { postLogonEnabled }: PrerequisiteFacts,
  { settings, takesOver = false }: PrerequisiteOptions,
): Outcome {
  const isDisabled = settings?.DisablePostLogonProvisioning;
  const isEnabled = isDisabled === undefined ? postLogonEnabled : !isDisabled;
  if (isEnabled === undefined && !takesOver) return unknown('whether provisioning after sign-in is switched off');
  if (isEnabled) return pass('provisioning after sign-in is not switched off');
  return takesOver
    ? pass('the caller takes over provisioning from the system')
    : fail(
        'policy switches off provisioning after sign-in',
        'unset DisablePostLogonProvisioning, or take over provisioning explicitly',
      );
}

function checkHardware({ deviceEligible }: PrerequisiteFacts, { policy, tpm }: PrerequisiteOptions): Outcome {
  if (deviceEligible === false && (policy === undefined || tpm === undefined)) {
    return fail('the system reports that its hardware policy is not met', CHANGE_HARDWARE, 0x80090035);
  }
  if (policy === undefined) {
    return deviceEligible === undefined ? unknown('which hardware policy applies') : pass('the hardware policy is met');
  }
  // Only a TPM attests a key.
  if (policy.hardware !== 'required' && policy.attestation !== 'required') {
    return pass(`hardware is ${policy.hardware}, not required: a software key will do`);
  }
  if (tpm === undefined) {
    return unknown('whether there is a TPM, which policy requires', 'pass the option tpm, such as from readTpmFacts');
  }
  if (tpm === 'none') return fail('policy requires a TPM, but there is none', CHANGE_HARDWARE, 0x80090035);
  if (tpm.version === '1.2')
    return fail('policy requires a TPM 2.0, but this is a TPM 1.2', CHANGE_HARDWARE, 0x80090035);
  if (tpm.virtual === true && policy.virtualTpm === 'refuse') {
    return fail('policy refuses virtual TPMs, but this TPM is virtual', CHANGE_HARDWARE, 0x80090035);
  }
  if (tpm.ready === false) {
    return fail(
      'policy requires a TPM, but this TPM is not set up',
      "have the TPM's owner set it up, then restart",
      0x80090029,
    );
  }
  if (tpm.lockedOut === true) {
    const { retryAfterSeconds: seconds } = tpm;
    const wait = seconds === undefined ? 'wait until the lockout ends' : `wait up to ${seconds} s`;
    return {
      ...fail('the TPM is locked after too many wrong PINs', `${wait}, or reset the lockout`, 0x80090031),
      ...(seconds !== undefined && { retryAfterSeconds: seconds }),
    };
  }
  return pass('the TPM meets the policy');
}

const CHANGE_HARDWARE = 'use a device with a suitable TPM 2.0, or a policy that does not require one';

function checkSession({ remoteSession }: PrerequisiteFacts): Outcome {
  if (remoteSession === undefined) return unknown('whether the session is remote');
  return remoteSession
    ? fail('the session is remote', 'sign in at the machine itself', 0x80090038)
    : pass('the session is at the machine');
}

function checkCertificates({ certEnrollment }: PrerequisiteFacts, { settings }: PrerequisiteOptions): Outcome {
  const isCertificateTrust =
    settings?.UseCertificateForOnPremAuth ?? (certEnrollment === undefined ? undefined : certEnrollment !== 'none');
  if (isCertificateTrust === undefined) return unknown('whether sign-in needs a certificate');
  return isCertificateTrust
    ? fail('policy requires certificate trust, which keyprov does not support', 'unset UseCertificateForOnPremAuth')
    : pass('key trust: no certificate is enrolled');
}

function checkCloudTgt({ cloudTgt }: PrerequisiteFacts, { settings }: PrerequisiteOptions): Outcome {
  if (settings?.UseCloudTrustForOnPremAuth !== true)
    return skipped('key trust needs no Kerberos ticket from the cloud');
  if (cloudTgt === undefined) return unknown('whether there is a Kerberos ticket from the cloud');
  return cloudTgt
    ? pass('there is a Kerberos ticket from the cloud')
    : fail(
        'cloud trust needs a Kerberos ticket from the cloud, but there is none',
        'sign out and in again while online',
      );
}

function checkPin({ pinSet }: PrerequisiteFacts, { operation = 'provisioning' }: PrerequisiteOptions): Outcome {
  if (operation !== 'provisioning') return skipped('the operation replaces the existing PIN');
  if (pinSet === undefined) return unknown('whether the user has a PIN');
  return pinSet
    ? fail('the user already has a PIN', 'change or reset that PIN instead', 0x8009000f)
    : pass('the user has no PIN yet');
}
