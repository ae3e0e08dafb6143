import { describe, expect, it } from 'vitest';
import { WINDOWS_SETTING_NAMES, WINDOWS_SETTINGS } from '../../../src/policy/index.ts';

/** Name, kind with range, CSP node with format and scope, registry value of Group Policy with scope, both defaults. */
const TABLE = `
UsePassportForWork | boolean | Policies/UsePassportForWork bool both | PassportForWork\\Enabled both | true true
DisablePostLogonProvisioning | boolean | Policies/DisablePostLogonProvisioning bool machine | PassportForWork\\DisablePostLogonProvisioning machine | false false
RequireSecurityDevice | boolean | Policies/RequireSecurityDevice bool both | PassportForWork\\RequireSecurityDevice machine | false false
ExcludeSecurityDevices/TPM12 | boolean | Policies/ExcludeSecurityDevices/TPM12 bool machine | PassportForWork\\ExcludeSecurityDevices\\TPM12 machine | false false
EnablePinRecovery | boolean | Policies/EnablePinRecovery bool both | PassportForWork\\EnablePinRecovery machine | false false
UseCertificateForOnPremAuth | boolean | Policies/UseCertificateForOnPremAuth bool machine | PassportForWork\\UseCertificateForOnPremAuth both | false false
UseCloudTrustForOnPremAuth | boolean | Policies/UseCloudTrustForOnPremAuth bool machine | PassportForWork\\UseCloudTrustForOnPremAuth machine | false false
UseHelloCertificatesAsSmartCardCertificates | boolean | Policies/UseHelloCertificatesAsSmartCardCertificates bool machine | PassportForWork\\UseHelloCertificatesAsSmartCardCertificates machine | false false
EnableWindowsHelloProvisioningForSecurityKeys | boolean | Policies/EnableWindowsHelloProvisioningForSecurityKeys bool machine | - | false false
DisablePostLogonCredentialCaching | boolean | Policies/DisablePostLogonCredentialCaching bool machine | - | false false
Remote/UseRemotePassport | boolean | Policies/Remote/UseRemotePassport bool machine | - | false false
PINComplexity/MinimumPINLength | integer 4-127 | Policies/PINComplexity/MinimumPINLength int both | PassportForWork\\PINComplexity\\MinimumPINLength both | 4 6
PINComplexity/MaximumPINLength | integer 4-127 | Policies/PINComplexity/MaximumPINLength int both | PassportForWork\\PINComplexity\\MaximumPINLength both | 127 127
PINComplexity/UppercaseLetters | use | Policies/PINComplexity/UppercaseLetters int both | PassportForWork\\PINComplexity\\UppercaseLetters both | 2 0
PINComplexity/LowercaseLetters | use | Policies/PINComplexity/LowercaseLetters int both | PassportForWork\\PINComplexity\\LowercaseLetters both | 2 0
PINComplexity/SpecialCharacters | use | Policies/PINComplexity/SpecialCharacters int both | PassportForWork\\PINComplexity\\SpecialCharacters both | 2 0
PINComplexity/Digits | use | Policies/PINComplexity/Digits int both | PassportForWork\\PINComplexity\\Digits both | 1 0
PINComplexity/History | integer 0-50 | Policies/PINComplexity/History int both | PassportForWork\\PINComplexity\\History both | 0 0
PINComplexity/Expiration | integer 0-730 | Policies/PINComplexity/Expiration int both | PassportForWork\\PINComplexity\\Expiration both | 0 0
Biometrics/UseBiometrics | boolean | Biometrics/UseBiometrics bool machine | Credential Provider\\Domain Accounts machine | true true
Biometrics/FacialFeaturesUseEnhancedAntiSpoofing | boolean | Biometrics/FacialFeaturesUseEnhancedAntiSpoofing bool machine | FacialFeatures\\EnhancedAntiSpoofing machine | false false
SecurityKey/UseSecurityKeyForSignin | boolean | SecurityKey/UseSecurityKeyForSignin int machine | FIDO\\EnableFIDODeviceLogon machine | false false
DynamicLock/DynamicLock | boolean | DynamicLock/DynamicLock bool machine | PassportForWork\\DynamicLock\\DynamicLock machine | false false
DynamicLock/Plugins | text | DynamicLock/Plugins chr machine | PassportForWork\\DynamicLock\\Plugins machine |  -
DeviceUnlock/GroupA | text | DeviceUnlock/GroupA chr machine | PassportForWork\\DeviceUnlock\\GroupA machine |  -
DeviceUnlock/GroupB | text | DeviceUnlock/GroupB chr machine | PassportForWork\\DeviceUnlock\\GroupB machine |  -
DeviceUnlock/Plugins | text | DeviceUnlock/Plugins chr machine | PassportForWork\\DeviceUnlock\\Plugins machine |  -
DisableSmartCardNode | boolean | - | PassportForWork\\DisableSmartCardNode machine | false false
AllowAllUserAccessToSmartCardNode | boolean | - | PassportForWork\\AllowAllUserAccessToSmartCardNode machine | false false
`;

describe('the table of settings', () => {
  it('has every setting with its names, scopes, range and both defaults', () => {
    const lines = WINDOWS_SETTING_NAMES.map((name) => {
      const { kind, range, csp, gpo, defaults } = WINDOWS_SETTINGS[name];
      const node = csp ? `${csp.tenant ? 'Policies/' : ''}${name} ${csp.format} ${csp.scope}` : '-';
      const key = gpo?.key.split(/\\(?=PassportForWork|Credential Provider|FacialFeatures|FIDO)/).at(-1);
      const value = gpo ? `${key}\\${gpo.value} ${gpo.scope}` : '-';
      const both = kind === 'text' ? ' -' : `${defaults['2016']} ${defaults.current}`;
      return [name, range ? `${kind} ${range.join('-')}` : kind, node, value, both].join(' | ');
    });
    expect(lines).toEqual(TABLE.trim().split('\n'));
  });

  it('keeps Group Policy in one key, apart from older settings and other parts of Windows', () => {
    const keys = WINDOWS_SETTING_NAMES.flatMap((name) => WINDOWS_SETTINGS[name].gpo?.key ?? []);
    expect(
      [...new Set(keys)].filter((key) => !key.startsWith('SOFTWARE\\Policies\\Microsoft\\PassportForWork')),
    ).toEqual([
      'SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\WinBio\\Credential Provider',
      'SOFTWARE\\Policies\\Microsoft\\Biometrics\\FacialFeatures',
      'SOFTWARE\\Policies\\Microsoft\\FIDO',
    ]);
  });
});
