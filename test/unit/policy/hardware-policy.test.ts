import { describe, expect, it } from 'vitest';
import {
  decideHardware,
  HARDWARE_POLICIES,
  type HardwarePolicy,
  hardwarePolicyOf,
} from '../../../src/policy/hardware-policy.ts';
import { layerOf, mergePolicy } from '../../../src/policy/index.ts';

const POLICIES: HardwarePolicy[] = [
  'Force Software',
  'Any TPM',
  'TPM 2.0 or Software',
  'Hardware Preferred',
  'Hardware Required',
];

describe('the hardware policies of Windows', () => {
  it('match the settings that they represent', () => {
    expect(Object.keys(HARDWARE_POLICIES)).toEqual(POLICIES);
    for (const name of POLICIES) {
      const { hardware, 'ExcludeSecurityDevices/TPM12': exclude } = HARDWARE_POLICIES[name];
      expect(hardwarePolicyOf(hardware, exclude)).toBe(name);
      const { policy, windows } = mergePolicy([
        layerOf({ hardware, windows: { 'ExcludeSecurityDevices/TPM12': exclude } }),
      ]);
      expect([policy.hardware, windows.RequireSecurityDevice, windows['ExcludeSecurityDevices/TPM12']]).toEqual([
        hardware,
        hardware === 'required',
        exclude,
      ]);
    }
  });

  it('decide where a key is made, for each state of the TPM', () => {
    const table = POLICIES.map((name) => [
      name,
      ...(['none', '1.2', '2.0'] as const).map((tpm) => decideHardware(name, tpm).place),
    ]);
    expect(table).toEqual([
      ['Force Software', 'software', 'software', 'software'],
      ['Any TPM', 'refused', 'refused', 'tpm'],
      ['TPM 2.0 or Software', 'software', 'software', 'tpm'],
      ['Hardware Preferred', 'software', 'software', 'tpm'],
      ['Hardware Required', 'refused', 'refused', 'tpm'],
    ]);
  });

  it('say why', () => {
    expect(decideHardware('Hardware Required', '1.2').reason).toBe('policy requires a TPM, but a TPM 1.2 is excluded');
    expect(decideHardware('Any TPM', '1.2').reason).toBe('policy requires a TPM, but a TPM 1.2 is not supported');
    expect(decideHardware('Hardware Preferred', 'none').reason).toBe(
      'there is no TPM, and policy allows software keys',
    );
  });
});
