/** The part of a koffi function that {@link callAsync} needs. */
interface AsyncFunction {
  readonly async: (...args: unknown[]) => void;
}

/**
 * Calls a C function on a thread of libuv's pool, so that the event loop stays free. Returns its 32-bit unsigned code.
 * Memory that the arguments point to must stay in place until the promise settles.
 */
export function callAsync(fn: AsyncFunction, ...args: unknown[]): Promise<number> {
  return new Promise((resolve, reject) => {
    fn.async(...args, (error: unknown, code: number) => {
      if (error) reject(error);
      else resolve(code);
    });
  });
}
