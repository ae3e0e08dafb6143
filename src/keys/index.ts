/** Makes, keeps and uses keys: one record for all keys, the TPM and software providers, the store, PIN tries. */
export type { Curve } from '../crypto/curve.ts';
export {
  decodeSpki,
  decodeSpkiPem,
  type EcPublicKey,
  encodeSpki,
  encodeSpkiPem,
  type PublicKey,
  type RsaPublicKey,
} from '../crypto/public-key.ts';
export { PinError } from '../errors/pin-error.ts';
export { type Attempt, type AttemptCode, SelectionError } from '../errors/selection-error.ts';
export type { JsonObject, JsonValue } from '../json.ts';
export type { StoreLockOptions } from '../storage/hold-lock.ts';
export { FALLBACK_REASONS, type FallbackClass, type FallbackReason, fallbackClassOf } from './fallback.ts';
export { decodeKeyFile, encodeKeyFile, type KeyFile } from './key-file.ts';
export {
  type AppliedPolicy,
  decodeKeyRecord,
  encodeKeyRecord,
  type KeyRecord,
  type RecordedAttempt,
  type RecordedTpm,
} from './key-record.ts';
export { type KeySources, type KeySourcesOptions, keySources, type TpmOpener, type TpmSource } from './key-sources.ts';
export { type KeyList, KeyStore, type OpenKeyStoreOptions, openKeyStore } from './key-store.ts';
export type { LoadedKey } from './loaded-key.ts';
export { deriveAuthValue } from './pin-derivation.ts';
export { openPinTryLog, type PinTryCount, PinTryLog, type PinTryLogOptions } from './pin-try-log.ts';
export type { PreparedKeyParts, PreparedTpmKey } from './prepared-key.ts';
export type {
  Assurance,
  Backend,
  ChangePinOptions,
  CreateKeyOptions,
  DataToSign,
  KeyProvider,
  PinDerivation,
  ProvidedKey,
  SignOptions,
} from './provider.ts';
export {
  type Selection,
  type SelectionOptions,
  selectKeyProvider,
} from './select-provider.ts';
export { openSoftwareKeyProvider, type SoftwareKeyProviderOptions } from './software-provider.ts';
export type { ParentOptions, ParentRecord, StorageParent } from './storage-parent.ts';
export { checkTpmIdentity, readTpmIdentity, type TpmIdentity } from './tpm-identity.ts';
export type { PinTryOptions } from './tpm-pin.ts';
export {
  type CreatedTpmKey,
  type CreateTpmKeyOptions,
  openTpmKeyProvider,
  TpmKeyProvider,
  type TpmKeyProviderOptions,
} from './tpm-provider.ts';
export { readWrappingSecret, type WrappingSecretOptions } from './wrapping-secret.ts';
