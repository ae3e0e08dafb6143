import { isKeyprovError, sayError } from '../errors.ts';

export type DomErrorName = 'NotSupportedError' | 'SyntaxError' | 'InvalidAccessError' | 'DataError' | 'OperationError';

export function domError(name: DomErrorName, message: string, cause?: unknown): DOMException {
  return new DOMException(message, { name, cause });
}

/**
 * Runs `work`, and turns its errors into the DOMException that the standard names for its failure; passes a
 * DOMException on unchanged.
 */
export async function failingAs<T>(name: DomErrorName, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DOMException) throw error;
    throw domError(name, sayError(error), error);
  }
}

/**
 * Runs an operation of a key provider: a KeyprovError becomes the `cause` of a NotSupportedError or an OperationError.
 * Other errors belong to the caller (the reason of a signal, an error of the PIN callback) and pass unchanged.
 */
export async function asDomErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isKeyprovError(error)) throw error;
    const unsupported = error.code === 'algorithm-unsupported' || error.code === 'tpm-unsupported';
    throw domError(unsupported ? 'NotSupportedError' : 'OperationError', sayError(error), error);
  }
}
