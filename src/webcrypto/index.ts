/** TPM keys, and other keys that a key provider holds, as Web Cryptography API keys. */
export { type CreateCryptoOptions, createCrypto, type KeyprovCrypto, keyprovKey } from './create-crypto.ts';
export { CryptoKey } from './crypto-key.ts';
export type { PinPrompt, PinRequest } from './pin-entry.ts';
export type { LoadKeyOptions, StoreKeyOptions } from './stored-keys.ts';
