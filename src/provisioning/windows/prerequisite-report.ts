import { checkObject } from '../../bytes.ts';
import { checkMembers } from '../../known-members.ts';
import { type DsregSection, dsregSection } from './dsregcmd.ts';
import type { PrerequisiteFinding, PrerequisiteId, PrerequisiteResult } from './prerequisites.ts';

/** An event as Windows writes it to `User Device Registration/Admin`. */
export interface ProvisioningEvent {
  /** 358: will be launched; 360: will not; 362: will not, if certificates come from AD FS. */
  readonly id: 358 | 360 | 362;
  readonly level: 'Information' | 'Warning';
  /** Lines with `\n` between them. */
  readonly text: string;
}

/** Options of {@link provisioningEvent}. */
export interface ProvisioningEventOptions {
  /** Adds the two lines about cloud trust that newer Windows versions write. Default false: as Windows 10 2004. */
  readonly cloudTrust?: boolean | undefined;
}

type Words = Readonly<Record<'yes' | 'no' | 'unknown', string>>;

const EVENT_WORDS: Words = { yes: 'Yes', no: 'No', unknown: 'Not Tested' };
const DSREGCMD_WORDS: Words = { yes: 'YES', no: 'NO', unknown: 'UNKNOWN' };

/**
 * Builds the event with which Windows reports such a result. Message table of Windows 10.0.19041.1.
 * @throws TypeError for a wrong option.
 */
export function provisioningEvent(
  result: PrerequisiteResult,
  options: ProvisioningEventOptions = {},
): ProvisioningEvent {
  checkObject(result, 'the result', 'result', 'facts:object', 'findings:list');
  const { cloudTrust = false } = checkMembers('provisioningEvent', options, 'cloudTrust:boolean?');
  const isReady = result.result === 'WillProvision';
  const { certEnrollment, adfsRefreshToken, adfsRaIsReady, logonCertTemplate } = result.facts;
  const say = (value: boolean | undefined) => wordFor(value, EVENT_WORDS);
  const check = (id: PrerequisiteId) => say(holds(result, id));
  const isKeyTrust = holds(result, 'certificate-enrollment');
  const isByAdfs = isKeyTrust === false && certEnrollment === 'enrollment authority';
  const lines = [
    `Windows Hello for Business provisioning will ${isReady ? '' : 'not '}be launched.`,
    `Device is AAD joined ( AADJ or DJ++ ): ${check('device-joined')}`,
    `User has logged on with AAD credentials: ${check('directory-user')}`,
    `Windows Hello for Business policy is enabled: ${check('policy-enabled')}`,
    `Windows Hello for Business post-logon provisioning is enabled: ${check('post-logon-provisioning')}`,
    `Local computer meets Windows hello for business hardware requirements: ${check('hardware-eligible')}`,
    `User is not connected to the machine via Remote Desktop: ${check('session-not-remote')}`,
    `User certificate for on premise auth policy is enabled: ${say(isKeyTrust === undefined ? undefined : !isKeyTrust)}`,
  ];
  if (isByAdfs) {
    lines.push(
      `Enterprise user logon certificate enrollment endpoint is ready: ${say(adfsRaIsReady)}`,
      `Enterprise user logon certificate template is : ${inEventWords(logonCertTemplate)}`,
      `User has successfully authenticated to the enterprise STS: ${say(adfsRefreshToken)}`,
      `Certificate enrollment method: ${certEnrollment}`,
    );
  } else {
    lines.push(`Machine is governed by ${governor(result)} policy.`);
    if (cloudTrust) {
      lines.push(
        `Cloud trust for on premise auth policy is enabled: ${say(asksCloudTgt(result))}`,
        `User account has Cloud TGT: ${check('cloud-tgt')}`,
      );
    }
  }
  lines.push('See https://go.microsoft.com/fwlink/?linkid=832647 for more details.');
  return {
    id: isReady ? 358 : isByAdfs ? 362 : 360,
    level: isReady ? 'Information' : 'Warning',
    text: lines.join('\n'),
  };
}

/**
 * Builds the section of `dsregcmd /status` with which Windows reports such a result.
 * @throws TypeError for an argument of another kind.
 */
export function ngcPrerequisiteSection(result: PrerequisiteResult): DsregSection {
  checkObject(result, 'the result', 'facts:object', 'findings:list');
  const { certEnrollment, adfsRefreshToken, adfsRaIsReady, logonCertTemplate } = result.facts;
  const say = (value: boolean | undefined) => wordFor(value, DSREGCMD_WORDS);
  const check = (id: PrerequisiteId) => say(holds(result, id));
  return dsregSection('Ngc Prerequisite Check', {
    IsDeviceJoined: check('device-joined'),
    IsUserAzureAD: check('directory-user'),
    PolicyEnabled: check('policy-enabled'),
    PostLogonEnabled: check('post-logon-provisioning'),
    DeviceEligible: check('hardware-eligible'),
    SessionIsNotRemote: check('session-not-remote'),
    CertEnrollment: governor(result),
    ...(certEnrollment === 'enrollment authority' && {
      AdfsRefreshToken: say(adfsRefreshToken),
      AdfsRaIsReady: say(adfsRaIsReady),
      LogonCertTemplateReady: logonCertTemplate ?? DSREGCMD_WORDS.unknown,
    }),
    ...(asksCloudTgt(result) && { OnPremTGT: check('cloud-tgt') }),
    PreReqResult: result.result,
  });
}

/** Who enrols certificates, in Windows' words. */
function governor(result: PrerequisiteResult): string {
  return result.facts.certEnrollment ?? (holds(result, 'certificate-enrollment') ? 'none' : 'unknown');
}

/** Turns `YES ( StateReady )` of dsregcmd into `Yes ( StateReady )`, as events write it. */
function inEventWords(text: string | undefined): string {
  return text?.replace(/^(?:YES|NO)\b/, (word) => (word === 'YES' ? 'Yes' : 'No')) ?? EVENT_WORDS.unknown;
}

function statusOf({ findings }: PrerequisiteResult, id: PrerequisiteId): PrerequisiteFinding['status'] | undefined {
  return findings.find((finding) => finding.id === id)?.status;
}

const asksCloudTgt = (result: PrerequisiteResult): boolean => statusOf(result, 'cloud-tgt') !== 'skipped';

function holds(result: PrerequisiteResult, id: PrerequisiteId): boolean | undefined {
  const status = statusOf(result, id);
  return status === 'pass' ? true : status === 'fail' ? false : undefined;
}

function wordFor(value: boolean | undefined, words: Words): string {
  return words[value === undefined ? 'unknown' : value ? 'yes' : 'no'];
}
