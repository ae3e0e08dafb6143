// Writes the reference to out/reference/ (`npm run reference`): one page per public name, one module per subpath. Fails if a
// public name is missing, or on any TypeDoc warning, such as a broken link.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import '../need-packages.mjs';

const folder = dirname(fileURLToPath(import.meta.url));
const root = dirname(dirname(folder));
process.chdir(root);

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** Installs TypeDoc in this folder unless that version is installed. */
function install() {
  const installed = join(folder, 'node_modules', 'typedoc', 'package.json');
  const wanted = readJson(join(folder, 'package.json')).dependencies.typedoc;
  if (existsSync(installed) && readJson(installed).version === wanted) return;
  execFileSync('npm', ['ci', '--ignore-scripts'], { cwd: folder, stdio: 'inherit' });
}

/** The source file behind each subpath of package.json. */
function sourcesBySubpath() {
  const targets = Object.entries(readJson('package.json').exports).filter(([, { types }]) => types !== undefined);
  return new Map(
    targets.map(([path, { types }]) => [
      `keyprov${path.slice(1)}`,
      join(root, types.replace('./dist/', '').replace(/\.d\.ts$/, '.ts')),
    ]),
  );
}

/** The text of the doc comment at the beginning of a file. */
function headerOf(path) {
  const [, text = ''] = /^\/\*\*([\s\S]*?)\*\//.exec(readFileSync(path, 'utf8')) ?? [];
  return text.replace(/^\s*\* ?/gm, '').trim();
}

install();
const { Application, Comment } = await import('typedoc');
const subpaths = sourcesBySubpath();
const app = await Application.bootstrap({
  name: 'keyprov',
  entryPoints: [...subpaths.values()],
  tsconfig: 'tsconfig.build.json',
  readme: 'none',
  out: 'out/reference',
  disableSources: true,
  excludePrivate: true,
  skipErrorChecking: true, // `npm run types` checks them with the project's TypeScript
  treatWarningsAsErrors: true,
  intentionallyNotExported: ['SUBCLASS'], // only subclasses in this package use it
  externalSymbolLinkMappings: { '@types/node': { '*': '#' } }, // Node's types have no pages here
});
const project = await app.convert();
if (project === undefined) process.exit(1);

let count = 0;
for (const { displayName, sourceFile, program } of app.getEntryPoints()) {
  const checker = program.getTypeChecker();
  const symbol = checker.getSymbolAtLocation(sourceFile);
  const module = project.children.find(({ name }) => name === displayName);
  [module.name] = [...subpaths].find(([, path]) => path === sourceFile.fileName);
  module.comment = new Comment([{ kind: 'text', text: headerOf(sourceFile.fileName) }]);
  for (const { name } of checker.getExportsOfModule(symbol)) {
    count++;
    if (!module.children.some((child) => child.name === name)) app.logger.error(`${module.name}: no ${name}`);
  }
}
app.validate(project);
await app.generateOutputs(project);
if (app.logger.hasErrors() || app.logger.hasWarnings()) process.exitCode = 1;
else console.log(`reference: ${count} names in ${subpaths.size} subpaths`);
