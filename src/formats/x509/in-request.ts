import { causedBy, isKeyprovError, KeyprovError, rethrowAs } from '../../errors.ts';

/**
 * Runs `work` on the part of a request that `where` names. Turns its errors into `request-invalid`, `where: why`; an
 * error that is already `request-invalid` stays unchanged.
 */
export function inRequest<T>(where: string, work: () => T): T {
  return rethrowAs(work, (cause) => {
    const isRefusal = cause instanceof KeyprovError || cause instanceof TypeError || cause instanceof SyntaxError;
    if (!isRefusal || isKeyprovError(cause, 'request-invalid')) return undefined;
    return requestInvalid(where, cause.message, cause);
  });
}

/** The error for a problem in the part of a request that `where` names. */
export function requestInvalid(where: string, problem: string, cause?: unknown): KeyprovError {
  return new KeyprovError('request-invalid', `${where}: ${problem}`, causedBy(cause));
}
