import { describe, expect, it } from 'vitest';
import {
  ENVIRONMENT_VARIABLES,
  type LayerSettings,
  layerFromEnvironment,
  layerOf,
  parseLayer,
} from '../../../src/policy/index.ts';
import { problemsOf } from './problems-of.ts';

const SETTINGS: LayerSettings = {
  hardware: 'required',
  allowedAlgorithms: ['p-256', 'rsa-2048'],
  pin: { minLength: 8, uppercase: 'required', special: 'not-allowed', digits: 'allowed', numericOnlyStrict: true },
  windows: { EnablePinRecovery: true, 'DynamicLock/Plugins': 'signal' },
};
const VALUES = {
  hardware: 'required',
  allowedAlgorithms: ['p-256', 'rsa-2048'],
  numericOnlyStrict: true,
  'PINComplexity/MinimumPINLength': 8,
  'PINComplexity/UppercaseLetters': 1,
  'PINComplexity/SpecialCharacters': 2,
  'PINComplexity/Digits': 0,
  EnablePinRecovery: true,
  'DynamicLock/Plugins': 'signal',
};

describe('layerOf and parseLayer', () => {
  it('contain only what was set, the PIN under its Windows names', () => {
    const object = { source: 'object', scope: 'machine', origin: "the caller's settings", values: VALUES };
    expect(layerOf(SETTINGS)).toEqual(object);
    expect(layerOf({})).toEqual({ ...object, values: {} });
    expect(parseLayer(`\uFEFF${JSON.stringify(SETTINGS)}`)).toEqual({
      ...object,
      source: 'file',
      origin: 'settings file',
    });
  });

  it('can represent another source and scope', () => {
    const options = { source: 'gpo', scope: 'user', origin: 'our tool' } as const;
    expect(layerOf({ windows: { UsePassportForWork: false } }, options)).toEqual({
      ...options,
      values: { UsePassportForWork: false },
    });
  });

  it('refuse what a source or scope cannot set', () => {
    const windows = { RequireSecurityDevice: true, DisableSmartCardNode: true, 'Remote/UseRemotePassport': true };
    const expected = 'another source or scope';
    expect(problemsOf(() => layerOf({ windows }, { source: 'gpo', scope: 'user' }))).toEqual([
      { setting: 'windows.RequireSecurityDevice', problem: 'applies only to the machine', expected },
      { setting: 'windows.DisableSmartCardNode', problem: 'applies only to the machine', expected },
      { setting: 'windows.Remote/UseRemotePassport', problem: 'cannot be set by gpo', expected },
    ]);
    expect(problemsOf(() => layerOf({ windows }, { source: 'csp', scope: 'user' }))).toEqual([
      { setting: 'windows.DisableSmartCardNode', problem: 'cannot be set by csp', expected },
      { setting: 'windows.Remote/UseRemotePassport', problem: 'applies only to the machine', expected },
    ]);
  });

  it('report every wrong setting at once', () => {
    const json = `{"hardwear": "required", "virtualTpm": 1, "pin": {"history": 60},
      "windows": {"EnablePinRecovery": 1, "PINComplexity/Digits": 3, "PINComplexity/History": -1,
      "DeviceUnlock/GroupA": 7, "requireSecurityDevices": true, "__proto__": true}}`;
    expect(problemsOf(() => parseLayer(json)).map(({ setting, problem }) => `${setting} ${problem}`)).toEqual([
      "hardwear unknown setting, did you mean 'hardware'?",
      'virtualTpm is 1',
      'pin.history is 60',
      'windows.EnablePinRecovery is 1',
      'windows.PINComplexity/Digits is 3',
      'windows.PINComplexity/History is -1',
      'windows.DeviceUnlock/GroupA is 7',
      "windows.requireSecurityDevices unknown setting, did you mean 'RequireSecurityDevice'?",
      'windows.__proto__ unknown setting',
    ]);
    expect(problemsOf(() => parseLayer('{"windows": []}'))).toEqual([
      { setting: 'windows', problem: 'is a list', expected: 'an object of settings' },
    ]);
    expect(problemsOf(() => parseLayer('[]'))).toMatchObject([{ setting: 'policy' }]);
    expect(problemsOf(() => parseLayer('{'))).toMatchObject([{ setting: 'policy' }]);
  });

  it('refuse one setting under two names', () => {
    const twice = {
      hardware: 'preferred',
      pin: { minLength: 8 },
      windows: { RequireSecurityDevice: true, 'PINComplexity/MinimumPINLength': 8 },
    } as const;
    expect(problemsOf(() => layerOf(twice)).map(({ setting, problem }) => [setting, problem])).toEqual([
      ['windows.RequireSecurityDevice', 'is also set in hardware'],
      ['windows.PINComplexity/MinimumPINLength', 'is also set in pin'],
    ]);
  });

  it('leave lengths out of range to the merge, as Windows does', () => {
    const windows = { 'PINComplexity/MinimumPINLength': 200, 'PINComplexity/MaximumPINLength': 1 };
    expect(layerOf({ windows }).values).toEqual(windows);
    expect(problemsOf(() => layerOf({ windows: { 'PINComplexity/MinimumPINLength': 4.5 } }))).toHaveLength(1);
  });
});

describe('layerFromEnvironment', () => {
  it('has a variable for each setting', () => {
    expect(ENVIRONMENT_VARIABLES.map((name) => name.replace('KEYPROV_POLICY_', ''))).toEqual([
      'HARDWARE',
      'VIRTUAL_TPM',
      'ALGORITHM',
      'ALLOWED_ALGORITHMS',
      'ATTESTATION',
      'PIN_MIN_LENGTH',
      'PIN_MAX_LENGTH',
      'PIN_HISTORY',
      'PIN_EXPIRATION_DAYS',
      'PIN_UPPERCASE',
      'PIN_LOWERCASE',
      'PIN_SPECIAL',
      'PIN_DIGITS',
      'PIN_NUMERIC_ONLY_STRICT',
      'USE_PASSPORT_FOR_WORK',
      'DISABLE_POST_LOGON_PROVISIONING',
      'REQUIRE_SECURITY_DEVICE',
      'EXCLUDE_SECURITY_DEVICES_TPM12',
      'ENABLE_PIN_RECOVERY',
      'USE_CERTIFICATE_FOR_ON_PREM_AUTH',
      'USE_CLOUD_TRUST_FOR_ON_PREM_AUTH',
      'USE_HELLO_CERTIFICATES_AS_SMART_CARD_CERTIFICATES',
      'ENABLE_WINDOWS_HELLO_PROVISIONING_FOR_SECURITY_KEYS',
      'DISABLE_POST_LOGON_CREDENTIAL_CACHING',
      'REMOTE_USE_REMOTE_PASSPORT',
      'BIOMETRICS_USE_BIOMETRICS',
      'BIOMETRICS_FACIAL_FEATURES_USE_ENHANCED_ANTI_SPOOFING',
      'SECURITY_KEY_USE_SECURITY_KEY_FOR_SIGNIN',
      'DYNAMIC_LOCK_DYNAMIC_LOCK',
      'DYNAMIC_LOCK_PLUGINS',
      'DEVICE_UNLOCK_GROUP_A',
      'DEVICE_UNLOCK_GROUP_B',
      'DEVICE_UNLOCK_PLUGINS',
      'DISABLE_SMART_CARD_NODE',
      'ALLOW_ALL_USER_ACCESS_TO_SMART_CARD_NODE',
    ]);
  });

  it('reads words, numbers, lists and truth values', () => {
    const environment = {
      PATH: '/bin',
      KEYPROV_POLICY_HARDWARE: 'required',
      KEYPROV_POLICY_ALLOWED_ALGORITHMS: 'p-256, rsa-2048',
      KEYPROV_POLICY_PIN_MIN_LENGTH: '8',
      KEYPROV_POLICY_PIN_UPPERCASE: 'required',
      KEYPROV_POLICY_PIN_SPECIAL: 'not-allowed',
      KEYPROV_POLICY_PIN_DIGITS: 'allowed',
      KEYPROV_POLICY_PIN_NUMERIC_ONLY_STRICT: 'True',
      KEYPROV_POLICY_ENABLE_PIN_RECOVERY: 'true',
      KEYPROV_POLICY_DYNAMIC_LOCK_PLUGINS: 'signal',
      KEYPROV_POLICY_ATTESTATION: '',
      KEYPROV_POLICY_ALGORITHM: undefined,
    };
    const from = { source: 'environment', scope: 'machine', origin: 'environment' };
    expect(layerFromEnvironment(environment)).toEqual({ ...from, values: VALUES });
  });

  it('is empty if nothing is set', () => {
    expect(layerFromEnvironment({ PATH: '/bin', KEYPROV_POLICY_HARDWARE: '' })).toBeUndefined();
  });

  it('reports every unknown variable and wrong value by the name of the variable', () => {
    const environment = {
      KEYPROV_POLICY_HARDWEAR: 'required',
      KEYPROV_POLICY_ALLOWED_ALGORITHMS: 'p-256,rsa',
      KEYPROV_POLICY_PIN_MIN_LENGTH: '0x8',
      KEYPROV_POLICY_PIN_HISTORY: '99',
      KEYPROV_POLICY_PIN_NUMERIC_ONLY_STRICT: '1',
      KEYPROV_POLICY_ENABLE_PIN_RECOVERY: 'yes',
    };
    const problems = problemsOf(() => layerFromEnvironment(environment));
    expect(problems.map(({ setting, problem }) => `${setting} ${problem}`)).toEqual([
      "KEYPROV_POLICY_HARDWEAR unknown setting, did you mean 'KEYPROV_POLICY_HARDWARE'?",
      "KEYPROV_POLICY_ALLOWED_ALGORITHMS is 'rsa'",
      "KEYPROV_POLICY_PIN_MIN_LENGTH is '0x8'",
      'KEYPROV_POLICY_PIN_HISTORY is 99',
      "KEYPROV_POLICY_PIN_NUMERIC_ONLY_STRICT is '1'",
      "KEYPROV_POLICY_ENABLE_PIN_RECOVERY is 'yes'",
    ]);
  });
});
