// Says which chunks of the bundler should be one file. The bundler makes a chunk for each set of entry points that share a
// module: hundreds, and loading one more file takes Node as long as loading some 25 KB of code more.

/** What one more file costs, in bytes of code that take as long to load. */
const FILE = 25_000;

/**
 * Joins chunks, the most useful pair first, until no pair makes loading cheaper on the whole. Files never import each
 * other in a circle, so that each finds evaluated what it uses at load.
 * @param chunks `{ name, size, imports, loads, stays }`: `imports` are the names of what it imports statically, `loads`
 * is 1 for one that can be loaded for itself, else 0, and one that `stays` is not joined to another.
 * @returns the names of the chunks in each file.
 */
export function joinChunks(chunks) {
  const files = new Set(chunks.map((chunk) => ({ ...chunk, names: [chunk.name] })));
  const fileOf = new Map([...files].map((file) => [file.name, file]));
  for (const file of files) file.imports = new Set(file.imports.map((name) => fileOf.get(name)));
  const entries = [...files].filter(({ loads }) => loads > 0);
  // What counts is by how much each load becomes cheaper, be it small or large.
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

/** The file, and all that is loaded with it. */
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
      if (cost >= least) continue; // before the dear part
      const whole = cost + costOfImports(a, b, loaded) + costOfImports(b, a, loaded);
      if (whole >= least || reachesThrough(a, b) || reachesThrough(b, a)) continue;
      [best, least] = [[a, b], whole];
    }
  }
  return best;
}

/** A file less where both are loaded, and the code of the other where only one is. */
function ownCost(a, b, loaded) {
  let cost = 0;
  for (let entry = 0; entry < loaded.length; entry++) {
    const { loads } = loaded[entry];
    if (a.isLoaded[entry]) cost += (b.isLoaded[entry] ? -FILE : b.size) * loads;
    else if (b.isLoaded[entry]) cost += a.size * loads;
  }
  return cost;
}

/** What `b` imports, for those who loaded `a` without it. */
function costOfImports(a, b, loaded) {
  let cost = 0;
  for (const [entry, { loads, files }] of loaded.entries()) {
    if (!a.isLoaded[entry] || b.isLoaded[entry]) continue;
    for (const file of b.reach) if (file !== b && !files.has(file)) cost += (FILE + file.size) * loads;
  }
  return cost;
}

/** Whether `from` imports `to` by way of a third file: joined, the two would import that and be imported by it. */
function reachesThrough(from, to) {
  for (const imported of from.imports) if (imported !== to && imported.reach.has(to)) return true;
  return false;
}
