import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import ts from 'typescript-api';

/** A name that users can import, and its declaration. */
interface PublicName {
  readonly name: string;
  /** `keyprov/tpm`, for example. */
  readonly subpath: string;
  /** The namespace that contains it: `commands` or `structures`. */
  readonly namespace?: string;
  readonly symbol: ts.Symbol;
  /** Exported only as a type, so users cannot call a class with `new`. */
  readonly typeOnly: boolean;
}

/** All public names of the built declarations in `dist/`. */
export interface PublicSurface {
  readonly checker: ts.TypeChecker;
  /** The names of each subpath; a namespace is one name here. */
  readonly subpaths: ReadonlyMap<string, readonly PublicName[]>;
  /** The names of all subpaths and of their namespaces. */
  readonly names: readonly PublicName[];
  /** Every file that the compiler reads for them. */
  readonly files: readonly string[];
}

const DIST = resolve('dist');

/** The declarations behind each subpath of `exports` in package.json. */
export function publicDeclarations(): Map<string, string> {
  const { exports }: { exports: Record<string, string | { readonly types: string }> } = JSON.parse(
    readFileSync('package.json', 'utf8'),
  );
  return new Map(
    Object.entries(exports).flatMap(([path, target]) =>
      typeof target === 'string' ? [] : [[`keyprov${path.slice(1)}`, resolve(target.types)]],
    ),
  );
}

/** The original declaration of a symbol, wherever it was exported from. */
export function unaliased(symbol: ts.Symbol, checker: ts.TypeChecker): ts.Symbol {
  return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
}

/** Reads the declarations in `dist/` as a user's strict project would. */
export function readPublicSurface(): PublicSurface {
  const entries = publicDeclarations();
  const program = ts.createProgram([...entries.values()], {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    strict: true,
    noEmit: true,
    types: ['node'],
  });
  const checker = program.getTypeChecker();
  const exportsOf = (symbol: ts.Symbol) =>
    checker
      .getExportsOfModule(symbol)
      .map((exported) => ({
        name: exported.name,
        symbol: unaliased(exported, checker),
        typeOnly: exported.declarations?.every((node) => ts.isTypeOnlyImportOrExportDeclaration(node)) === true,
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));

  const subpaths = new Map<string, PublicName[]>();
  const names: PublicName[] = [];
  for (const [subpath, path] of entries) {
    const file = program.getSourceFile(path);
    const module = file && checker.getSymbolAtLocation(file);
    if (module === undefined) throw new Error(`${path} exports nothing`);
    const own = exportsOf(module).map((exported) => ({ ...exported, subpath }));
    subpaths.set(subpath, own);
    for (const exported of own) {
      if (!(exported.symbol.flags & ts.SymbolFlags.ValueModule)) names.push(exported);
      else names.push(...exportsOf(exported.symbol).map((inner) => ({ ...inner, subpath, namespace: exported.name })));
    }
  }
  return { checker, subpaths, names, files: program.getSourceFiles().map(({ fileName }) => fileName) };
}

const isOurs = (symbol: ts.Symbol) =>
  symbol.declarations?.some((declaration) => declaration.getSourceFile().fileName.startsWith(`${DIST}/`)) === true;

/** The name of a type in a node that refers to one. */
function typeNameIn(node: ts.Node): ts.Node | undefined {
  if (ts.isTypeReferenceNode(node)) return node.typeName;
  if (ts.isExpressionWithTypeArguments(node)) return node.expression;
  return ts.isImportTypeNode(node) ? node.qualifier : undefined;
}

/** keyprov's types in the declarations of `symbol`, including the constructor's if it can be called. */
function namedBy(symbol: ts.Symbol, checker: ts.TypeChecker, callsNew: boolean): Set<ts.Symbol> {
  const named = new Set<ts.Symbol>();
  const visit = (node: ts.Node): void => {
    if (ts.isConstructorDeclaration(node) && !callsNew) return;
    const reference = typeNameIn(node);
    const found = reference && checker.getSymbolAtLocation(reference);
    if (found !== undefined) {
      const target = unaliased(found, checker);
      if (isOurs(target) && !(target.flags & ts.SymbolFlags.TypeParameter)) named.add(target);
    }
    ts.forEachChild(node, visit);
  };
  for (const declaration of symbol.declarations ?? []) visit(declaration);
  return named;
}

const fileOf = (symbol: ts.Symbol) =>
  symbol.declarations?.[0]?.getSourceFile().fileName.slice(DIST.length + 1) ?? 'nowhere';

/** Types that public signatures use, directly or indirectly, but that no subpath exports: `File → Name`. */
export function typesThatCannotBeNamed({ names, checker }: PublicSurface): string[] {
  const exported = new Set(names.map(({ symbol }) => symbol));
  const values = new Set(names.filter(({ typeOnly }) => !typeOnly).map(({ symbol }) => symbol));
  const seen = new Set(exported);
  for (const symbol of seen) for (const named of namedBy(symbol, checker, values.has(symbol))) seen.add(named);
  return [...seen]
    .filter((symbol) => !exported.has(symbol))
    .map((symbol) => `${fileOf(symbol)}: ${symbol.name}`)
    .sort();
}

/** The first sentence of a doc comment, which ends with a full stop and makes sense without another comment. */
function sentenceOf(symbol: ts.Symbol, checker: ts.TypeChecker): string | undefined {
  return /^(?!(?:It|Its|They|This|That|These|Those|Also|And|Does the same(?! as))\b)\S[\s\S]*?[.?!](?=\s|$)/.exec(
    ts.displayPartsToString(symbol.getDocumentationComment(checker)),
  )?.[0];
}

/** The methods of a class or interface that users can call, without language methods such as `Symbol.asyncDispose`. */
function methodsOf(symbol: ts.Symbol): ts.Symbol[] {
  return [...(symbol.members?.values() ?? []), ...(symbol.exports?.values() ?? [])].filter(
    (member) =>
      member.flags & ts.SymbolFlags.Method &&
      !member.name.startsWith('__') &&
      member.declarations?.some((node) => ts.isMethodDeclaration(node) || ts.isMethodSignature(node)) === true &&
      !member.declarations.some((node) => ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Private),
  );
}

/** Public names, and methods of public classes, without a doc comment: `subpath: name`. */
export function namesWithoutSentence({ names, checker }: PublicSurface): string[] {
  return names.flatMap(({ subpath, namespace, name, symbol }) => {
    const path = `${subpath}: ${namespace === undefined ? '' : `${namespace}.`}${name}`;
    const methods = methodsOf(symbol).filter((method) => sentenceOf(method, checker) === undefined);
    return [
      ...(sentenceOf(symbol, checker) === undefined ? [path] : []),
      ...methods.map((method) => `${path}.${method.name}()`),
    ];
  });
}

/** Names with different meanings in different subpaths: `name: file, file`. */
export function namesWithTwoMeanings({ names }: PublicSurface): string[] {
  const meanings = new Map<string, Set<ts.Symbol>>();
  for (const { name, symbol } of names) meanings.set(name, (meanings.get(name) ?? new Set()).add(symbol));
  return [...meanings]
    .filter(([, symbols]) => symbols.size > 1)
    .map(([name, symbols]) => `${name}: ${[...symbols].map(fileOf).sort().join(', ')}`)
    .sort();
}

/** The `@example` blocks of a symbol. */
export function examplesOf(symbol: ts.Symbol, checker: ts.TypeChecker): string[] {
  return symbol
    .getJsDocTags(checker)
    .filter(({ name }) => name === 'example')
    .map(({ text }) => ts.displayPartsToString(text));
}
