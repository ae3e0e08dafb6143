/** Clean-up that is still due in a TPM: failed clean-up stays due until the TPM confirms it. */
export class CleanUp {
  readonly #due = new Set<() => Promise<unknown>>();
  /** Handles of objects that were in the TPM before ours; undefined if unknown. */
  before: Set<number> | undefined;

  /** Runs `work`. If it fails, `again` becomes due, which must find out what is left to do. */
  async run(work: () => Promise<unknown>, again: () => Promise<unknown> = work): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#due.add(again);
      throw error;
    }
  }

  /** Runs all that is due. @returns how many succeeded, and why the others failed; these stay due. */
  async again(): Promise<{ readonly done: number; readonly problems: readonly unknown[] }> {
    const problems: unknown[] = [];
    let done = 0;
    for (const work of this.#due) {
      try {
        await work();
        this.#due.delete(work);
        done += 1;
      } catch (error) {
        problems.push(error);
      }
    }
    return { done, problems };
  }

  /** Drops everything: the TPM has lost its power. */
  forget(): void {
    this.#due.clear();
    this.before = new Set();
  }
}
