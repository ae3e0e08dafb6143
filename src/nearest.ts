/**
 * The number of single characters to insert, delete, replace or swap with the next to turn `a` into `b` (Damerau and
 * Levenshtein's distance).
 */
function distance(a: string, b: string): number {
  let before: readonly number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let index = 0; index < a.length; index++) {
    const next = [index + 1];
    for (let column = 0; column < b.length; column++) {
      const replaced = (row[column] ?? 0) + (a[index] === b[column] ? 0 : 1);
      const isSwap = index > 0 && column > 0 && a[index] === b[column - 1] && a[index - 1] === b[column];
      const swapped = isSwap ? (before[column - 1] ?? 0) + 1 : replaced;
      next.push(Math.min(replaced, swapped, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1));
    }
    [before, row] = [row, next];
  }
  return row[b.length] ?? 0;
}

/** Keeps only letters and digits, so that `RSA_2048`, `rsa2048` and `rsa-2048` are the same. */
function plain(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '');
}

/** The length of the prefix of all names, such as `KEYPROV_POLICY_`; 0 for a few letters that happen to be the same. */
function sharedPrefix([first = '', ...others]: readonly string[]): number {
  const differs = [...first].findIndex((character, at) => others.some((name) => name[at] !== character));
  return others.length > 0 && differs > 3 ? differs : 0;
}

/**
 * Returns the one of `names` that was most likely meant by `typed`, for "did you mean": case and separators do not
 * count, and at most a third of its characters may differ, apart from those with which all names begin. `undefined` if
 * none is near.
 */
export function nearest<T extends string>(typed: string, names: readonly T[]): T | undefined {
  const wanted = plain(typed.slice(0, 64));
  const shared = sharedPrefix(names);
  let best: { readonly name: T; readonly away: number } | undefined;
  for (const name of names) {
    const away = distance(wanted, plain(name));
    if (away <= Math.floor((name.length - shared) / 3) && away < (best?.away ?? Infinity)) best = { name, away };
  }
  return best?.name;
}
