/** The part of a function of koffi that {@link callAsync} uses. */
interface AsyncFunction {
  readonly async: (...args: unknown[]) => void;
}

/**
 * Calls a C function that returns a 32-bit unsigned code on a thread of libuv's pool, so that the event loop is free.
 * Memory that the arguments point to must stay where it is until the promise settles.
 */
export function callAsync(fn: AsyncFunction, ...args: unknown[]): Promise<number> {
  return new Promise((resolve, reject) => {
    fn.async(...args, (error: unknown, code: number) => {
      if (error) reject(error);
      else resolve(code);
    });
  });
}
