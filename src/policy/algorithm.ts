/** A user key algorithm: RSA with a modulus of that many bits and exponent 65537, or the NIST curve with that name. */
export type KeyAlgorithm = 'rsa-2048' | 'rsa-3072' | 'p-256' | 'p-384';

/** All key algorithms, the default first. */
export const KEY_ALGORITHMS: readonly KeyAlgorithm[] = Object.freeze<KeyAlgorithm[]>([
  'rsa-2048',
  'rsa-3072',
  'p-256',
  'p-384',
]);

/** Tells whether `value` is a key algorithm. */
export function isKeyAlgorithm(value: unknown): value is KeyAlgorithm {
  return KEY_ALGORITHMS.some((algorithm) => algorithm === value);
}
