import { ServiceError } from '../errors/service-error.ts';
import { isKeyprovError, sayError } from '../errors.ts';
import { type SignalOptions, unlessAborted } from '../signal.ts';

/** Options of {@link askService}. */
interface AskServiceOptions extends SignalOptions {
  /** The function of the caller, for messages. */
  readonly name: string;
  /** Whether the service may have done its work in spite of an error. */
  readonly outcomeUnknown: boolean;
}

/**
 * Calls a function of the caller that asks a service. An error without a code, such as that of `fetch`, counts as
 * `service-unreachable`. A TypeError or RangeError without a cause is a mistake in the program, and stays as it is.
 * @throws ServiceError; errors of `work`; the reason of `signal`.
 */
export async function askService<T>(
  work: () => Promise<T>,
  { name, outcomeUnknown, signal }: AskServiceOptions,
): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    signal?.throwIfAborted();
    const isMistake = (cause instanceof TypeError || cause instanceof RangeError) && cause.cause === undefined;
    if (isMistake || isKeyprovError(cause)) throw cause;
    throw new ServiceError('service-unreachable', `${name} failed: ${sayError(cause)}`, {
      ...{ cause, outcomeUnknown, retry: 'backoff', remedy: 'try again later' },
    });
  }
}

/**
 * Waits for a registrar's `unregister`, which may be the caller's own.
 * @throws TypeError for an answer of another kind; else as {@link askService} does.
 */
export async function askToUnregister(
  unregister: () => Promise<'deleted' | 'absent'>,
  signal: AbortSignal | undefined,
): Promise<'deleted' | 'absent'> {
  const outcome = await askService(() => unlessAborted(unregister, signal), {
    ...{ name: 'registrar.unregister', outcomeUnknown: true, signal },
  });
  if (outcome !== 'deleted' && outcome !== 'absent')
    throw new TypeError("registrar.unregister must return 'deleted' or 'absent'");
  return outcome;
}
