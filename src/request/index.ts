export { decodeJwk, encodeJwk, jwkThumbprint, type PublicJwk } from '../crypto/jwk.ts';
export {
  decodeSpki,
  decodeSpkiPem,
  type EcPublicKey,
  encodeSpki,
  encodeSpkiPem,
  type PublicKey,
  type RsaPublicKey,
} from '../crypto/public-key.ts';
export {
  type CngBlob,
  decodeCngBlob,
  type EcPrivateKey,
  encodeCngBlob,
  keyId,
  keyIdText,
  type RsaPrimesKey,
  type RsaPrivateKey,
} from './cng-blob.ts';
export { buildKeyRegistration, type KeyRegistration, parseKeyRegistration, publicBlob } from './key-registration.ts';
