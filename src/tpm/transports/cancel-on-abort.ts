import { withCleanup } from '../../errors.ts';

/**
 * Waits for `answer`. If there is a `signal` and it aborts first, calls `cancel` once, and settles only after `cancel`
 * has ended: so a cancellation can never hit the next command.
 * @throws the error of `answer` or, if that succeeds, of `cancel`.
 */
export async function cancelOnAbort<T>(
  answer: Promise<T>,
  signal: AbortSignal | undefined,
  cancel: () => Promise<void>,
): Promise<T> {
  if (signal === undefined) return answer;
  let canceling: Promise<void> | undefined;
  const start = () => {
    canceling = cancel();
    // Handled below; without this, Node would report it as unhandled while the response is still awaited.
    canceling.catch(() => undefined);
  };
  if (signal.aborted) start();
  else signal.addEventListener('abort', start, { once: true });
  return withCleanup(
    () => answer,
    async () => {
      signal.removeEventListener('abort', start);
      await canceling;
    },
  );
}
