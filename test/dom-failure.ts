/** How `work` failed: the name of its DOMException, the class of another error; 'nothing thrown' where it did not. */
export async function failure(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
  } catch (error) {
    if (error instanceof DOMException) return error.name;
    return error instanceof Error ? error.constructor.name : `thrown: ${error}`;
  }
  return 'nothing thrown';
}
