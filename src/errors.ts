import type { ErrorCode, ErrorOf, PlainErrorCode } from './errors/error-by-code.ts';

import { printable } from './printable.ts';

export type { ErrorByCode, ErrorCode, ErrorOf, PlainErrorCode } from './errors/error-by-code.ts';

/** What a {@link KeyprovError} can carry besides its message. */
export interface KeyprovErrorOptions {
  /** The error that led to this one. */
  readonly cause?: unknown | undefined;
  /** What the caller or user can do about it, as one sentence. */
  readonly remedy?: string | undefined;
}

/** Proves to the constructor of {@link KeyprovError} that a subclass calls it. */
export const SUBCLASS: unique symbol = Symbol('subclass');

/** Base class of all errors that this library throws, except for wrong arguments (`TypeError`, `RangeError`). */
export class KeyprovError extends Error {
  /** The error code. Stable; use it in `switch`. */
  readonly code: ErrorCode;
  /** What to do about it, as one sentence. It is not part of the message. */
  readonly remedy: string | undefined;
  /** Errors that occurred while cleaning up after this one. */
  readonly suppressed: unknown[] = [];

  constructor(code: PlainErrorCode, message: string, options?: KeyprovErrorOptions);
  /** For subclasses: a code with its own class is thrown with that class only. */
  constructor(code: ErrorCode, message: string, options: KeyprovErrorOptions, by: typeof SUBCLASS);
  constructor(code: ErrorCode, message: string, { cause, remedy }: KeyprovErrorOptions = {}) {
    // Both often quote external text, and end up in terminals and logs.
    super(printable(message), cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.code = code;
    this.remedy = remedy === undefined ? undefined : printable(remedy);
  }

  /**
   * Returns the error for a log: name, code, message, remedy, the members of its class, and the messages of `cause` and
   * `suppressed`, without stacks. Contains no secret.
   */
  toJSON(): Record<string, unknown> {
    const { name, message, cause, suppressed, ...members } = this;
    return {
      ...{ name, message, ...members },
      ...(cause !== undefined && { cause: sayError(cause) }),
      ...(suppressed.length > 0 && { suppressed: suppressed.map(sayError) }),
    };
  }
}

/**
 * Tells whether `value` is an error of this library and, if `code` is given, has that code. Narrows to the class of the
 * code; without `code`, to a union that `switch (error.code)` narrows further.
 *
 * @example
 * ```ts
 * import { isKeyprovError, openTpm } from 'keyprov';
 *
 * try {
 *   await using tpm = await openTpm();
 * } catch (error) {
 *   if (isKeyprovError(error, 'tpm-lockout')) console.error(`locked for ${error.retryAfterSeconds} seconds`);
 *   else if (isKeyprovError(error, 'no-tpm')) console.error(error.message, error.remedy);
 *   else throw error;
 * }
 * ```
 */
export function isKeyprovError<Code extends ErrorCode = ErrorCode>(
  value: unknown,
  code?: Code,
): value is ErrorOf<Code> {
  return value instanceof KeyprovError && (code === undefined || value.code === code);
}

/**
 * Describes an error in one line for people: the message, followed by the remedy if there is one. An error of other
 * code is followed by its cause, since `fetch` itself only says "fetch failed".
 */
export function sayError(error: unknown): string {
  if (!(error instanceof Error)) return printable(String(error));
  const { message } = error;
  if (error instanceof KeyprovError) {
    return error.remedy === undefined ? message : `${message.replace(/\.$/, '')}; ${error.remedy}`;
  }
  const inner: { message?: unknown; code?: unknown } = error.cause instanceof Error ? error.cause : {};
  const detail = String(inner.message || inner.code || ''); // an AggregateError has no message
  if (message === '') return printable(detail);
  return printable(message.includes(detail) ? message : `${message} (${detail})`);
}

/** Options for an error that passes on the message of `cause`: it keeps the remedy of `cause`. */
export function causedBy(cause: unknown): KeyprovErrorOptions {
  return { cause, remedy: cause instanceof KeyprovError ? cause.remedy : undefined };
}

/** Runs `read`. If it throws, throws the error that `other` returns instead, if any. */
export function rethrowAs<T>(read: () => T, other: (error: unknown) => Error | undefined): T {
  try {
    return read();
  } catch (error) {
    throw other(error) ?? error;
  }
}

/** Runs `read`. Returns `instead` if it throws a {@link KeyprovError}, with that code if one is given. */
export function readOr<T, Instead>(instead: Instead, read: () => T, code?: ErrorCode): T | Instead {
  try {
    return read();
  } catch (error) {
    if (isKeyprovError(error, code)) return instead;
    throw error;
  }
}

/**
 * Runs `work`, then `cleanup` whether or not it failed. The first error wins: if both fail and the first one is a
 * {@link KeyprovError}, its `suppressed` keeps the error of `cleanup`.
 */
export async function withCleanup<T>(work: () => Promise<T>, cleanup: () => Promise<void>): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (error) {
    try {
      await cleanup();
    } catch (second) {
      if (error instanceof KeyprovError) error.suppressed.push(second);
    }
    throw error;
  }
  await cleanup();
  return result;
}

/** Runs `work`, and `undo` if it fails. The first error wins, as in {@link withCleanup}. */
export async function undoOnFailure<T>(work: () => Promise<T>, undo: () => Promise<void>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    return await withCleanup(() => Promise.reject(error), undo);
  }
}
