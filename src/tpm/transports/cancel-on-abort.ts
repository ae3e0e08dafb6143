import { withCleanup } from '../../errors.ts';

/**
 * Waits for `answer`. When `signal` aborts before it has come, `cancel` is called once, and is always at its end
 * before this settles: a cancellation can never hit the next command.
 * @throws what `answer` or, if that succeeds, `cancel` throws.
 */
export async function cancelOnAbort<T>(
  answer: Promise<T>,
  signal: AbortSignal,
  cancel: () => Promise<void>,
): Promise<T> {
  let canceling: Promise<void> | undefined;
  const start = () => {
    canceling = cancel();
    // Handled below; without this Node would call it unhandled while the answer is still awaited.
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
