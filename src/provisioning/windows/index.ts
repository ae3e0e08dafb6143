/** For tools on Windows: prerequisites, dsregcmd, provisioning events, error codes, and Entra Connect's scheduler. */
export { decodeDotNetTime, encodeDotNetTime } from '../../formats/windows/file-time.ts';
export { PLATFORM_KSP } from '../../formats/windows/ms-wcce.ts';
export { SMART_CARD_LOGON } from '../../formats/windows/pkinit-certificate.ts';
export {
  decideHardware,
  HARDWARE_POLICIES,
  type HardwareDecision,
  type HardwarePolicy,
  type HardwareSettings,
  hardwarePolicyOf,
  type TpmVersion,
} from '../../policy/hardware-policy.ts';
export {
  type AdSyncScheduler,
  DEFAULT_SYNC_SCHEDULE,
  parseAdSyncScheduler,
  type SyncSchedule,
  scheduleOf,
} from '../../registration/ad-sync-scheduler.ts';
export {
  type DsregFlags,
  type DsregLine,
  type DsregSection,
  type DsregStatus,
  type DsregValidity,
  type DsregValues,
  describeDsregProblem,
  dsregSection,
  dsregText,
  dsregValue,
  formatDsregStatus,
  type JoinState,
  joinStateOf,
  parseDsregStatus,
} from './dsregcmd.ts';
export {
  type CertEnrollment,
  dsregcmdProbe,
  type PrerequisiteFacts,
  type PrerequisiteProbe,
  probePrerequisites,
  readDsregFacts,
  valuesProbe,
} from './prerequisite-probe.ts';
export {
  ngcPrerequisiteSection,
  type ProvisioningEvent,
  type ProvisioningEventOptions,
  provisioningEvent,
} from './prerequisite-report.ts';
export {
  checkPrerequisites,
  PREREQUISITE_ERROR_STATES,
  type PrerequisiteFinding,
  type PrerequisiteId,
  type PrerequisiteOptions,
  type PrerequisiteResult,
  type TpmFacts,
} from './prerequisites.ts';
export {
  findWindowsError,
  formatWindowsCode,
  tpmHresult,
  WINDOWS_ERRORS,
  type WindowsError,
  windowsErrorOf,
} from './windows-errors.ts';
