/** What is still to be taken out of a TPM: clean-up that failed is kept until the TPM has said that it is done. */
export class CleanUp {
  readonly #due = new Set<() => Promise<unknown>>();
  /** Handles of what was in the TPM before anything of ours; undefined if that is not known. */
  before: Set<number> | undefined;

  /** Runs `work`. If it fails, `again` is due, which finds out for itself what is still to be done. */
  async run(work: () => Promise<unknown>, again: () => Promise<unknown> = work): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#due.add(again);
      throw error;
    }
  }

  /** Does what is due. @returns how many succeeded, and why the others failed: these stay due. */
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

  /** Nothing is due any more, and nothing was before: the TPM has lost its power. */
  forget(): void {
    this.#due.clear();
    this.before = new Set();
  }
}
