import { resolve } from 'node:path';
import ts from 'typescript-api';
import { publicDeclarations, unaliased } from './public-surface.ts';

/** A public function, or a method of a public class. */
interface PublicFunction {
  /** `subpath: name` */
  readonly path: string;
  readonly symbol: ts.Symbol;
  readonly body: ts.FunctionLikeDeclaration;
}

/** The public functions of a symbol of that path: the symbol itself, or a class's methods. */
function functionsOf(path: string, symbol: ts.Symbol, checker: ts.TypeChecker): PublicFunction[] {
  return (symbol.declarations ?? []).flatMap((node): PublicFunction[] => {
    const body = ts.isVariableDeclaration(node) ? node.initializer : node;
    if (body !== undefined && (ts.isFunctionDeclaration(body) || ts.isArrowFunction(body))) {
      return [{ path, symbol, body }];
    }
    if (!ts.isClassDeclaration(node)) return [];
    return node.members.filter(ts.isMethodDeclaration).flatMap((method) => {
      const own = ts.isIdentifier(method.name) && checker.getSymbolAtLocation(method.name);
      const hidden = ts.getCombinedModifierFlags(method) & ts.ModifierFlags.Private;
      return own && !hidden ? [{ path: `${path}.${own.name}`, symbol: own, body: method }] : [];
    });
  });
}

/** What the sources make public. */
export interface PublicParts {
  readonly program: ts.Program;
  readonly checker: ts.TypeChecker;
  /** Every public function of src/, each once. */
  readonly functions: readonly PublicFunction[];
  /** Declarations of public interfaces. */
  readonly interfaces: ReadonlySet<ts.Node>;
}

/** Finds the functions and interfaces of src/ that are public. */
export function publicFunctions(): PublicParts {
  const entries = [...publicDeclarations()].map(
    ([subpath, path]) => [subpath, path.replace(resolve('dist'), resolve('.')).replace(/\.d\.ts$/, '.ts')] as const,
  );
  const config = ts.getParsedCommandLineOfConfigFile(
    'tsconfig.build.json',
    {},
    { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => {} },
  );
  const program = ts.createProgram(
    entries.map(([, path]) => path),
    { ...config?.options, noEmit: true },
  );
  const checker = program.getTypeChecker();
  const seen = new Set<ts.Symbol>();
  const functions = entries.flatMap(([subpath, path]) => {
    const file = program.getSourceFile(path);
    const module = file && checker.getSymbolAtLocation(file);
    if (module === undefined) throw new Error(`${path} exports nothing`);
    return checker.getExportsOfModule(module).flatMap((exported) => {
      const symbol = unaliased(exported, checker);
      if (seen.has(symbol)) return [];
      seen.add(symbol);
      return functionsOf(`${subpath}: ${symbol.name}`, symbol, checker);
    });
  });
  const interfaces = new Set([...seen].flatMap((one) => one.declarations ?? []).filter(ts.isInterfaceDeclaration));
  return { program, checker, functions, interfaces };
}
