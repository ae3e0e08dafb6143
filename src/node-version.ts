/** Why a version of Node.js is too old; undefined if it is not. The least one is that of `engines` in package.json. */
export function nodeProblem(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < 20 || (major === 20 && minor < 19);
  return isOld ? `keyprov needs Node.js 20.19 or newer, and this is ${version}` : undefined;
}

const problem = nodeProblem(process.versions.node);
// Before anything fails for lack of a function, which would not say why.
if (problem !== undefined) throw new Error(problem);
