import type { Policy } from './define-policy.ts';
import type { WindowsSettings } from './windows-settings.ts';

/** Windows' hardware policies, with the names in its event 5555. */
export type HardwarePolicy =
  | 'Force Software'
  | 'Any TPM'
  | 'TPM 2.0 or Software'
  | 'Hardware Preferred'
  | 'Hardware Required';

/** A machine's TPM: none, or its specification version. */
export type TpmVersion = 'none' | '1.2' | '2.0';

/** The settings that correspond to a hardware policy. */
export type HardwareSettings = Pick<WindowsSettings, 'ExcludeSecurityDevices/TPM12'> & Pick<Policy, 'hardware'>;

/**
 * The settings that correspond to each of Windows' hardware policies. Microsoft publishes the names, but not their
 * meaning. This follows the documentation of `RequireSecurityDevice` and `ExcludeSecurityDevices/TPM12`.
 */
export const HARDWARE_POLICIES: Readonly<Record<HardwarePolicy, HardwareSettings>> = Object.freeze({
  'Force Software': { hardware: 'discouraged', 'ExcludeSecurityDevices/TPM12': false },
  'Any TPM': { hardware: 'required', 'ExcludeSecurityDevices/TPM12': false },
  'TPM 2.0 or Software': { hardware: 'preferred', 'ExcludeSecurityDevices/TPM12': true },
  'Hardware Preferred': { hardware: 'preferred', 'ExcludeSecurityDevices/TPM12': false },
  'Hardware Required': { hardware: 'required', 'ExcludeSecurityDevices/TPM12': true },
});

/** Returns the Windows hardware policy that results from these settings. */
export function hardwarePolicyOf(hardware: Policy['hardware'], excludeTpm12: boolean): HardwarePolicy {
  if (hardware === 'discouraged') return 'Force Software';
  if (hardware === 'required') return excludeTpm12 ? 'Hardware Required' : 'Any TPM';
  return excludeTpm12 ? 'TPM 2.0 or Software' : 'Hardware Preferred';
}

/** Where a key may be made, and why. */
export interface HardwareDecision {
  /** `refused`: nowhere, which Windows reports as 0x80090035. */
  readonly place: 'tpm' | 'software' | 'refused';
  readonly reason: string;
}

/**
 * Decides where a key may be made, from the policy and the version of the TPM alone. Never uses a TPM 1.2, excluded or
 * not, since this library supports only TPM 2.0.
 * @throws TypeError for an argument of another kind.
 */
export function decideHardware(policy: HardwarePolicy, tpm: TpmVersion): HardwareDecision {
  if (!Object.hasOwn(HARDWARE_POLICIES, policy)) throw new TypeError('policy must be a setting of hardware');
  const { hardware, 'ExcludeSecurityDevices/TPM12': excludeTpm12 } = HARDWARE_POLICIES[policy];
  if (hardware === 'discouraged') return { place: 'software', reason: 'policy prefers software keys' };
  if (tpm === '2.0') return { place: 'tpm', reason: 'there is a TPM 2.0' };
  const why = tpm === 'none' ? 'there is no TPM' : `a TPM 1.2 is ${excludeTpm12 ? 'excluded' : 'not supported'}`;
  if (hardware === 'required') return { place: 'refused', reason: `policy requires a TPM, but ${why}` };
  return { place: 'software', reason: `${why}, and policy allows software keys` };
}
