/**
 * The Microsoft documents that the defaults follow: those of 2016 (Windows 10 1607), or the policy pages since 2024.
 */
export type PolicyDocuments = '2016' | 'current';

/**
 * How a PIN may use a set of characters, as the registry and the CSP write it: 0 allowed, 1 required, 2 not allowed.
 */
export type CharacterUse = 0 | 1 | 2;

/**
 * Every setting of Windows Hello for Business, named after its CSP node (without `Policies/`), or after its registry
 * value if it has no node. PIN lengths are in characters, and the expiration is in days.
 */
export interface WindowsSettings {
  readonly UsePassportForWork: boolean;
  readonly DisablePostLogonProvisioning: boolean;
  readonly RequireSecurityDevice: boolean;
  readonly 'ExcludeSecurityDevices/TPM12': boolean;
  readonly EnablePinRecovery: boolean;
  readonly UseCertificateForOnPremAuth: boolean;
  readonly UseCloudTrustForOnPremAuth: boolean;
  readonly UseHelloCertificatesAsSmartCardCertificates: boolean;
  readonly EnableWindowsHelloProvisioningForSecurityKeys: boolean;
  readonly DisablePostLogonCredentialCaching: boolean;
  readonly 'Remote/UseRemotePassport': boolean;
  readonly 'PINComplexity/MinimumPINLength': number;
  readonly 'PINComplexity/MaximumPINLength': number;
  readonly 'PINComplexity/UppercaseLetters': CharacterUse;
  readonly 'PINComplexity/LowercaseLetters': CharacterUse;
  readonly 'PINComplexity/SpecialCharacters': CharacterUse;
  readonly 'PINComplexity/Digits': CharacterUse;
  readonly 'PINComplexity/History': number;
  readonly 'PINComplexity/Expiration': number;
  readonly 'Biometrics/UseBiometrics': boolean;
  readonly 'Biometrics/FacialFeaturesUseEnhancedAntiSpoofing': boolean;
  readonly 'SecurityKey/UseSecurityKeyForSignin': boolean;
  readonly 'DynamicLock/DynamicLock': boolean;
  readonly 'DynamicLock/Plugins': string;
  readonly 'DeviceUnlock/GroupA': string;
  readonly 'DeviceUnlock/GroupB': string;
  readonly 'DeviceUnlock/Plugins': string;
  readonly DisableSmartCardNode: boolean;
  readonly AllowAllUserAccessToSmartCardNode: boolean;
}

/** The name of a setting of {@link WindowsSettings}. */
export type WindowsSettingName = keyof WindowsSettings;

/** For whom a setting can be set in the CSP or in Group Policy. */
export interface SettingPlace {
  /** `machine`: for the machine only. `both`: also for users. */
  readonly scope: 'machine' | 'both';
}

/** The facts about one setting. */
export interface WindowsSetting {
  /** `boolean`: dword 0 or 1, CSP `true` or `false`. `use`: {@link CharacterUse}. */
  readonly kind: 'boolean' | 'integer' | 'use' | 'text';
  /** The smallest and largest integer. */
  readonly range?: readonly [number, number];
  /** The node of the PassportForWork CSP; absent if there is none. `tenant`: below `{TenantId}/Policies`. */
  readonly csp?: SettingPlace & { readonly tenant: boolean; readonly format: 'bool' | 'int' | 'chr' };
  /** The registry value that Group Policy writes; absent if there is none. */
  readonly gpo?: SettingPlace & { readonly key: string; readonly value: string };
  /** The values if nothing is configured. */
  readonly defaults: Readonly<Record<PolicyDocuments, boolean | number | string>>;
  readonly meaning: string;
}

/** The registry key of Group Policy, below the hive. */
export const GPO_KEY = 'SOFTWARE\\Policies\\Microsoft\\PassportForWork';

const same = (value: boolean | number | string): WindowsSetting['defaults'] => ({ '2016': value, current: value });

const gpo = (path: string, scope: SettingPlace['scope'] = 'machine'): Required<WindowsSetting>['gpo'] => {
  const full = path.startsWith('SOFTWARE') ? path : `${GPO_KEY}\\${path}`;
  const cut = full.lastIndexOf('\\');
  return { key: full.slice(0, cut), value: full.slice(cut + 1), scope };
};

const node = (scope: SettingPlace['scope'] = 'machine', format: 'bool' | 'int' = 'bool') =>
  ({ tenant: true, scope, format }) as const;
const outside = (format: 'bool' | 'int' | 'chr') => ({ tenant: false, scope: 'machine', format }) as const;

type Places = Pick<WindowsSetting, 'csp' | 'gpo'>;

const flag = (meaning: string, places: Places, value = false): WindowsSetting => ({
  kind: 'boolean',
  ...places,
  defaults: same(value),
  meaning,
});
const text = (meaning: string, places: Places): WindowsSetting => ({
  kind: 'text',
  ...places,
  defaults: same(''),
  meaning,
});

const pin = (
  name: string,
  type: { readonly kind: 'integer'; readonly range: readonly [number, number] } | { readonly kind: 'use' },
  defaults: WindowsSetting['defaults'],
  meaning: string,
): WindowsSetting => ({
  ...type,
  csp: node('both', 'int'),
  gpo: gpo(`PINComplexity\\${name}`, 'both'),
  defaults,
  meaning,
});

const use = (name: string, what: string, in2016: CharacterUse): WindowsSetting =>
  pin(name, { kind: 'use' }, { '2016': in2016, current: 0 }, `${what} in the PIN`);

/**
 * Every setting with its names, range and defaults: the one table that all readers use. Sources: PassportForWork CSP,
 * Passport.admx, Microsoft's pages of policy settings of 2016 and 2024.
 */
export const WINDOWS_SETTINGS: Readonly<Record<WindowsSettingName, WindowsSetting>> = Object.freeze({
  UsePassportForWork: flag('whether users get a key', { csp: node('both'), gpo: gpo('Enabled', 'both') }, true),
  DisablePostLogonProvisioning: flag('Windows does not start provisioning after sign-in, so that another tool can', {
    csp: node(),
    gpo: gpo('DisablePostLogonProvisioning'),
  }),
  RequireSecurityDevice: flag('true: only in a TPM; false: in a TPM, or in software if no TPM is usable', {
    csp: node('both'),
    gpo: gpo('RequireSecurityDevice'),
  }),
  'ExcludeSecurityDevices/TPM12': flag('a TPM 1.2 does not count as a TPM', {
    csp: node(),
    gpo: gpo('ExcludeSecurityDevices\\TPM12'),
  }),
  EnablePinRecovery: flag('a forgotten PIN can be replaced without a new key', {
    csp: node('both'),
    gpo: gpo('EnablePinRecovery'),
  }),
  UseCertificateForOnPremAuth: flag('true: certificate trust, which waits for a certificate; false: key trust', {
    csp: node(),
    gpo: gpo('UseCertificateForOnPremAuth', 'both'),
  }),
  UseCloudTrustForOnPremAuth: flag('cloud Kerberos trust instead of key trust; certificate trust takes precedence', {
    csp: node(),
    gpo: gpo('UseCloudTrustForOnPremAuth'),
  }),
  UseHelloCertificatesAsSmartCardCertificates: flag('certificates appear as smart card certificates', {
    csp: node(),
    gpo: gpo('UseHelloCertificatesAsSmartCardCertificates'),
  }),
  EnableWindowsHelloProvisioningForSecurityKeys: flag('provisioning after sign-in with a security key', {
    csp: node(),
  }),
  DisablePostLogonCredentialCaching: flag('credentials are not cached after sign-in', { csp: node() }),
  'Remote/UseRemotePassport': flag('sign-in with a companion device', { csp: node() }),
  'PINComplexity/MinimumPINLength': pin(
    'MinimumPINLength',
    { kind: 'integer', range: [4, 127] },
    { '2016': 4, current: 6 },
    'minimum length of the PIN; if it is not below the maximum, both defaults apply',
  ),
  'PINComplexity/MaximumPINLength': pin(
    'MaximumPINLength',
    { kind: 'integer', range: [4, 127] },
    same(127),
    'maximum length of the PIN; if it is not above the minimum, both defaults apply',
  ),
  'PINComplexity/UppercaseLetters': use('UppercaseLetters', 'uppercase letters', 2),
  'PINComplexity/LowercaseLetters': use('LowercaseLetters', 'lowercase letters', 2),
  'PINComplexity/SpecialCharacters': use('SpecialCharacters', 'special characters', 2),
  'PINComplexity/Digits': use('Digits', 'digits', 1),
  'PINComplexity/History': pin(
    'History',
    { kind: 'integer', range: [0, 50] },
    same(0),
    'number of PINs, including the current one, that a new PIN must differ from',
  ),
  'PINComplexity/Expiration': pin(
    'Expiration',
    { kind: 'integer', range: [0, 730] },
    same(0),
    'days after which the PIN must be changed; 0 for never',
  ),
  'Biometrics/UseBiometrics': flag(
    'face or fingerprint may replace the PIN',
    {
      csp: outside('bool'),
      gpo: gpo('SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\WinBio\\Credential Provider\\Domain Accounts'),
    },
    true,
  ),
  'Biometrics/FacialFeaturesUseEnhancedAntiSpoofing': flag('only cameras that can tell a face from a picture', {
    csp: outside('bool'),
    gpo: gpo('SOFTWARE\\Policies\\Microsoft\\Biometrics\\FacialFeatures\\EnhancedAntiSpoofing'),
  }),
  'SecurityKey/UseSecurityKeyForSignin': flag('sign-in with a security key', {
    csp: outside('int'),
    gpo: gpo('SOFTWARE\\Policies\\Microsoft\\FIDO\\EnableFIDODeviceLogon'),
  }),
  'DynamicLock/DynamicLock': flag('the machine locks when the user walks away', {
    csp: outside('bool'),
    gpo: gpo('DynamicLock\\DynamicLock'),
  }),
  'DynamicLock/Plugins': text('signals that show that the user is away', {
    csp: outside('chr'),
    gpo: gpo('DynamicLock\\Plugins'),
  }),
  'DeviceUnlock/GroupA': text('credential providers for the first unlock factor: GUIDs separated by commas', {
    csp: outside('chr'),
    gpo: gpo('DeviceUnlock\\GroupA'),
  }),
  'DeviceUnlock/GroupB': text('credential providers for the second unlock factor: GUIDs separated by commas', {
    csp: outside('chr'),
    gpo: gpo('DeviceUnlock\\GroupB'),
  }),
  'DeviceUnlock/Plugins': text('signals that show that the user is present', {
    csp: outside('chr'),
    gpo: gpo('DeviceUnlock\\Plugins'),
  }),
  DisableSmartCardNode: flag('smart cards are not emulated', { gpo: gpo('DisableSmartCardNode') }),
  AllowAllUserAccessToSmartCardNode: flag('every user of the machine may list the emulated smart cards', {
    gpo: gpo('AllowAllUserAccessToSmartCardNode'),
  }),
} satisfies Record<WindowsSettingName, WindowsSetting>);

/** The names of all settings, in the order of the table. */
export const WINDOWS_SETTING_NAMES: readonly WindowsSettingName[] = Object.freeze(
  Object.keys(WINDOWS_SETTINGS).filter(isWindowsSettingName),
);

/** Tells whether `name` is exactly the name of a setting. */
export function isWindowsSettingName(name: string): name is WindowsSettingName {
  return Object.hasOwn(WINDOWS_SETTINGS, name);
}
