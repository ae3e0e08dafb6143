import { toHex } from '../bytes.ts';

/** A NIST curve (FIPS 186-5, SP 800-186, 3.2.1) by its JWK name. */
export type Curve = 'P-256' | 'P-384' | 'P-521';

interface CurveFacts {
  /** Bytes of a coordinate and of a private scalar. */
  readonly size: number;
  /** The prime of the field. */
  readonly p: bigint;
  /** The b of y² = x³ - 3x + b. */
  readonly b: bigint;
}

/** The parameters of each curve. */
export const CURVES: Readonly<Record<Curve, CurveFacts>> = {
  'P-256': {
    size: 32,
    p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
    b: 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn,
  },
  'P-384': {
    size: 48,
    p: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
    b: 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn,
  },
  'P-521': {
    size: 66,
    p: 2n ** 521n - 1n,
    b: 0x51953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00n,
  },
};

/** Whether it is the JWK name of a supported curve. */
export function isCurve(value: unknown): value is Curve {
  return typeof value === 'string' && Object.hasOwn(CURVES, value);
}

/** The unsigned big-endian number in `bytes`; 0 for none. */
export function toBigInt(bytes: Uint8Array): bigint {
  return BigInt(`0x0${toHex(bytes)}`);
}

/** Whether the point with these big-endian coordinates is on the curve. The point at infinity has none. */
export function isOnCurve(curve: Curve, x: Uint8Array, y: Uint8Array): boolean {
  const { size, p, b } = CURVES[curve];
  if (x.length !== size || y.length !== size) return false;
  const [X, Y] = [toBigInt(x), toBigInt(y)];
  return X < p && Y < p && (X * X * X - 3n * X + b - Y * Y) % p === 0n;
}
