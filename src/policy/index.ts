/** Rules for keys and PINs: read from Windows, files and the environment, merged as Windows does, and explained. */
export type { PinProblem, PinProblemCode } from '../errors/pin-refused-error.ts';
export { PinRefusedError } from '../errors/pin-refused-error.ts';
export type { PolicySource } from '../errors/policy-error.ts';
export { PolicyError, type PolicyProblem, type SettingOrigin } from '../errors/policy-error.ts';
export { isKeyAlgorithm, KEY_ALGORITHMS, type KeyAlgorithm } from './algorithm.ts';
export { checkNewPin, checkPin, checkPinEncoding, describePinRules } from './check-pin.ts';
export { definePolicy, type Policy, type PolicySettings, parsePolicy } from './define-policy.ts';
export { type ExplainPolicyOptions, explainPolicy } from './explain-policy.ts';
export { judgePin, MAX_PIN_BYTES, type PinFileOptions, pinFromFile } from './judge-pin.ts';
export { type MergedPolicy, type MergeOptions, mergePolicy, type SettingExplanation } from './merge-policy.ts';
export {
  type AddToPinHistoryOptions,
  addToPinHistory,
  type PinHistory,
  type PinHistoryEntry,
  type PinHistoryOptions,
  pinHistoryContains,
} from './pin-history.ts';
export { type PinChangeReason, type PinRecord, pinMustChange, recheckPin } from './pin-must-change.ts';
export {
  definePinPolicy,
  PIN_SPECIAL_CHARACTERS,
  type PinCharacterUse,
  type PinPolicy,
  type PinSettings,
} from './pin-policy.ts';
export {
  type PolicyFile,
  type PolicyInForce,
  type PolicyInForceOptions,
  type PolicyWarning,
  policyInForce,
} from './policy-in-force.ts';
export type { LayerValues, NothingKnown, PolicyLayer, PolicyReading, PolicyScope } from './policy-layer.ts';
export type { LayerName, OverriddenValue, PolicyValue, SettledValue } from './precedence.ts';
export { ENVIRONMENT_VARIABLES, layerFromEnvironment } from './read-environment.ts';
export { type ReadPolicyFileOptions, readPolicyFile } from './read-policy-file.ts';
export { type ReadRegistryOptions, readRegistryExport } from './read-registry.ts';
export { type LayerOptions, type LayerSettings, layerOf, parseLayer } from './read-settings.ts';
export { type ReadSyncMlOptions, readSyncMl } from './read-syncml.ts';
export { type ReadWindowsRegistryOptions, readWindowsRegistry } from './read-windows-registry.ts';
export {
  type CharacterUse,
  type PolicyDocuments,
  type SettingPlace,
  WINDOWS_SETTING_NAMES,
  WINDOWS_SETTINGS,
  type WindowsSetting,
  type WindowsSettingName,
  type WindowsSettings,
} from './windows-settings.ts';
