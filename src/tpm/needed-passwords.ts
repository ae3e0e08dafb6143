/**
 * The functions of `HierarchyAuth` whose password the storage root key is tried with first, each with the addresses of
 * the TPMs: where that key refused a try without a password before, and `any` for the command line's files. Any other is
 * called only after a try without a password, which may count for dictionary attack protection.
 */
export const NEEDED_PASSWORDS: WeakMap<object, Set<string>> = new WeakMap();
