import { scrypt } from 'node:crypto';
import { promisify } from 'node:util';

/** The cost parameters of scrypt. RFC 7914, section 2. */
export interface ScryptWork {
  /** N, a power of two above 1. */
  readonly cost: number;
  /** r */
  readonly blockSize: number;
  /** p */
  readonly parallelization: number;
}

/** The highest cost that a file may ask for: 1 GiB, and about three seconds with r = 8. */
const MAX_WORK: ScryptWork = { cost: 2 ** 20, blockSize: 32, parallelization: 16 };

const scryptAsync = promisify<Uint8Array, Uint8Array, number, object, Buffer>(scrypt);

/** Why parameters from a file cannot be used; `undefined` if they can. */
export function scryptProblem({ cost, blockSize, parallelization }: ScryptWork): string | undefined {
  const parts = `N = ${cost}, r = ${blockSize}, p = ${parallelization}`;
  const isPossible = [cost, blockSize, parallelization].every((part) => Number.isSafeInteger(part) && part > 0);
  if (!isPossible || cost < 2 || !Number.isInteger(Math.log2(cost)))
    return `these scrypt parameters are not valid: ${parts}`;
  const { cost: N, blockSize: r, parallelization: p } = MAX_WORK;
  return cost > N || blockSize > r || parallelization > p
    ? `these scrypt parameters exceed the limits: ${parts}`
    : undefined;
}

/**
 * `size` bytes of scrypt (RFC 7914). The caller wipes them.
 * @throws RangeError for parameters that {@link scryptProblem} refuses.
 */
export async function deriveScrypt(
  secret: Uint8Array,
  salt: Uint8Array,
  size: number,
  work: ScryptWork,
): Promise<Buffer> {
  const problem = scryptProblem(work);
  if (problem !== undefined) throw new RangeError(problem);
  const { cost: N, blockSize: r, parallelization: p } = work;
  return await scryptAsync(secret, salt, size, { N, r, p, maxmem: 128 * r * (N + p + 2) });
}
