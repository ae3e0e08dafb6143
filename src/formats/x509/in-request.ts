import { causedBy, isKeyprovError, KeyprovError, rethrowAs } from '../../errors.ts';

/**
 * Runs `work` on the part of a request that `where` names. What it refuses becomes `request-invalid`, `where: why`; a
 * refusal that is one already is left as it is.
 */
export function inRequest<T>(where: string, work: () => T): T {
  return rethrowAs(work, (cause) => {
    const isRefusal = cause instanceof KeyprovError || cause instanceof TypeError || cause instanceof SyntaxError;
    if (!isRefusal || isKeyprovError(cause, 'request-invalid')) return undefined;
    return requestInvalid(where, cause.message, cause);
  });
}

/** The error for what is wrong with the part of a request that `where` names. */
export function requestInvalid(where: string, problem: string, cause?: unknown): KeyprovError {
  return new KeyprovError('request-invalid', `${where}: ${problem}`, causedBy(cause));
}
