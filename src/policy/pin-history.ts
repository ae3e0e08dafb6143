import { createHmac, randomBytes } from 'node:crypto';
import { byteCount, checkBytes, checkObject, equal, fromBase64, toBase64, wipe } from '../bytes.ts';
import { deriveScrypt, scryptProblem } from '../crypto/scrypt.ts';
import { KeyprovError } from '../errors.ts';
import { checkMembers } from '../known-members.ts';

/** One PIN in a history: the salted slow hash of its UTF-8 bytes, with its parameters. */
export interface PinHistoryEntry {
  readonly kdf: 'scrypt';
  /** N, r and p of scrypt (RFC 7914, section 2). */
  readonly cost: number;
  readonly blockSize: number;
  readonly parallelization: number;
  /** 16 random bytes in base64. */
  readonly salt: string;
  /** 32 bytes in base64. */
  readonly hash: string;
}

/**
 * A user's PINs for a key, the current one first. Plain data to keep with the key, in a place that only its user can
 * read: anyone who has it can try all short PINs offline, despite the TPM's limit on tries. A reset with a new key
 * starts a new history.
 */
export interface PinHistory {
  readonly entries: readonly PinHistoryEntry[];
}

/** Options for computing hashes of a history. */
export interface PinHistoryOptions {
  /**
   * Secret bytes that are kept elsewhere, such as sealed in the TPM or in a key ring. Without them, the hashes are
   * useless.
   */
  readonly pepper?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link addToPinHistory}. */
export interface AddToPinHistoryOptions extends PinHistoryOptions {
  /** How many PINs to keep, including the new one: `history` of the policy. 0 keeps none. */
  readonly keep: number;
  /** N of scrypt, a power of two. Default 2^15: 32 MiB. */
  readonly cost?: number | undefined;
}

const SALT_SIZE = 16;
const HASH_SIZE = 32;

/**
 * Returns the history with this PIN added as the current one, limited to `keep` PINs. The caller wipes the PIN.
 * @throws RangeError for a `cost` that scrypt does not allow, or that demands too much work; the reason of `signal`.
 */
export async function addToPinHistory(
  history: PinHistory,
  pin: Uint8Array,
  options: AddToPinHistoryOptions,
): Promise<PinHistory> {
  const {
    keep,
    cost = 2 ** 15,
    pepper,
    signal,
  } = checkMembers('addToPinHistory', options, 'keep:number cost:number? pepper:bytes? signal');
  signal?.throwIfAborted();
  if (keep === 0) return { entries: [] };
  const salt = toBase64(randomBytes(SALT_SIZE));
  const parameters = { kdf: 'scrypt', cost, blockSize: 8, parallelization: 1, salt } as const;
  const problem = scryptProblem(parameters);
  if (problem !== undefined) throw new RangeError(problem);
  const hash = toBase64(await hashPin(pin, parameters, pepper));
  return { entries: [{ ...parameters, hash }, ...history.entries].slice(0, keep) };
}

/**
 * Tells whether the PIN is in the history. Takes at most as long as the slow hashes of all its entries.
 * @throws KeyprovError `store-invalid` for an invalid entry, or one that demands too much work; the reason of `signal`.
 */
export async function pinHistoryContains(
  history: PinHistory,
  pin: Uint8Array,
  options: PinHistoryOptions = {},
): Promise<boolean> {
  checkObject(history, 'the history', 'entries:list');
  checkBytes(pin, 'the PIN');
  const { pepper, signal } = checkMembers('pinHistoryContains', options, 'pepper:bytes? signal');
  for (const entry of history.entries) {
    signal?.throwIfAborted();
    if (equal(await hashPin(pin, entry, pepper), bytesOf(entry.hash, HASH_SIZE))) return true;
  }
  return false;
}

async function hashPin(
  pin: Uint8Array,
  { kdf, salt, ...work }: Omit<PinHistoryEntry, 'hash'>,
  pepper: Uint8Array | undefined,
): Promise<Uint8Array> {
  const problem = kdf === 'scrypt' ? scryptProblem(work) : 'its hash is not scrypt';
  if (problem !== undefined) throw invalid(problem);
  const secret = pepper === undefined ? pin : createHmac('sha256', pepper).update(pin).digest();
  try {
    return await deriveScrypt(secret, bytesOf(salt, SALT_SIZE), HASH_SIZE, work);
  } finally {
    if (secret !== pin) wipe(secret);
  }
}

function bytesOf(base64: string, size: number): Uint8Array {
  let bytes: Uint8Array | undefined;
  try {
    bytes = fromBase64(base64);
  } catch (cause) {
    throw invalid('not base64', cause);
  }
  if (bytes.length !== size) throw invalid(`${byteCount(bytes.length)} instead of ${size}`);
  return bytes;
}

function invalid(problem: string, cause?: unknown): KeyprovError {
  return new KeyprovError('store-invalid', `an entry in the PIN history is damaged: ${problem}`, { cause });
}
