// Decides which of the bundler's chunks to join into one file. The bundler makes a chunk for each set of entry points that share
// a module, which means hundreds. Loading one more file takes Node as long as loading about 25 KB more code.

/** The cost of one more file, in bytes of code that take as long to load. */
const FILE = 25_000;

/**
 * Joins chunks, the most useful pair first, until no pair makes loading cheaper overall. Files never import each other in a
 * cycle, so that everything a file uses while it loads has been evaluated.
 * @param chunks `{ name, size, imports, loads, stays }`: `imports` are the names of statically imported chunks; `loads` is the
 * weight of a chunk that can be loaded on its own, else 0; a chunk that `stays` is not joined to another one.
 * @returns the names of the chunks in each file.
 */
export function joinChunks(chunks) {
  const files = new Set(chunks.map((chunk) => ({ ...chunk, names: [chunk.name] })));
  const fileOf = new Map([...files].map((file) => [file.name, file]));
  for (const file of files) file.imports = new Set(file.imports.map((name) => fileOf.get(name)));
  const entries = [...files].filter(({ loads }) => loads > 0);
  // Compares relative savings, so that small loads matter as much as large ones.
  for (const entry of entries) {
    let cost = 0;
    for (const { size } of reachOf(entry)) cost += FILE + size;
    entry.loads /= cost;
  }
  for (;;) {
    for (const file of files) file.reach = reachOf(file);
    const loaded = entries.map(({ loads, reach }) => ({ loads, files: reach }));
    for (const file of files) file.isLoaded = loaded.map((entry) => entry.files.has(file));
    const pair = bestPair(
      [...files].filter(({ stays }) => !stays),
      loaded,
    );
    if (pair === undefined) return [...files].map(({ names }) => names);
    const [kept, gone] = pair;
    files.delete(gone);
    kept.size += gone.size;
    for (const name of gone.names) {
      kept.names.push(name);
      fileOf.set(name, kept);
    }
    for (const imported of gone.imports) kept.imports.add(imported);
    for (const file of files) if (file.imports.delete(gone)) file.imports.add(kept);
    kept.imports.delete(kept);
  }
}

/** The file, and every file that is loaded with it. */
function reachOf(file, reach = new Set()) {
  if (!reach.has(file)) {
    reach.add(file);
    for (const imported of file.imports) reachOf(imported, reach);
  }
  return reach;
}

function bestPair(files, loaded) {
  let best;
  let least = 0;
  for (const [index, a] of files.entries()) {
    for (const b of files.slice(index + 1)) {
      const cost = ownCost(a, b, loaded);
      if (cost >= least) continue; // before the expensive part
      const whole = cost + costOfImports(a, b, loaded) + costOfImports(b, a, loaded);
      if (whole >= least || reachesThrough(a, b) || reachesThrough(b, a)) continue;
      [best, least] = [[a, b], whole];
    }
  }
  return best;
}

/** The saving of a join: one file less if both are loaded, minus the other's code if only one is. */
function ownCost(a, b, loaded) {
  let cost = 0;
  for (let entry = 0; entry < loaded.length; entry++) {
    const { loads } = loaded[entry];
    if (a.isLoaded[entry]) cost += (b.isLoaded[entry] ? -FILE : b.size) * loads;
    else if (b.isLoaded[entry]) cost += a.size * loads;
  }
  return cost;
}

/** The additional cost of the imports of `b` for loads of `a` without `b`. */
function costOfImports(a, b, loaded) {
  let cost = 0;
  for (const [entry, { loads, files }] of loaded.entries()) {
    if (!a.isLoaded[entry] || b.isLoaded[entry]) continue;
    for (const file of b.reach) if (file !== b && !files.has(file)) cost += (FILE + file.size) * loads;
  }
  return cost;
}

/** Whether `from` imports `to` through a third file: if joined, the two would form a cycle with it. */
function reachesThrough(from, to) {
  for (const imported of from.imports) if (imported !== to && imported.reach.has(to)) return true;
  return false;
}
