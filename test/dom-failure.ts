/** How `work` failed: the name of its DOMException or the class of another error; 'nothing thrown' if it did not fail. */
export async function failure(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
  } catch (error) {
    if (error instanceof DOMException) return error.name;
    return error instanceof Error ? error.constructor.name : `thrown: ${error}`;
  }
  return 'nothing thrown';
}
