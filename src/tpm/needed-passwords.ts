/**
 * The functions of `HierarchyAuth` whose password the storage root key is tried with first: those that were called
 * before, and those of the command line's files. Any other is called only after a try without a password, which may
 * count for dictionary attack protection.
 */
export const NEEDED_PASSWORDS: WeakSet<object> = new WeakSet();
