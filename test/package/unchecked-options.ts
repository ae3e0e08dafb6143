import { resolve } from 'node:path';
import ts from 'typescript-api';
import { publicDeclarations, unaliased } from './public-surface.ts';

/** A public function or method with an object of options. */
interface PublicFunction {
  readonly name: string;
  readonly body: ts.FunctionLikeDeclaration;
}

/** The public functions of a symbol: the symbol itself, or a class's methods. */
function functionsOf(symbol: ts.Symbol): PublicFunction[] {
  return (symbol.declarations ?? []).flatMap((node): PublicFunction[] => {
    const body = ts.isVariableDeclaration(node) ? node.initializer : node;
    if (body !== undefined && (ts.isFunctionDeclaration(body) || ts.isArrowFunction(body))) {
      return [{ name: symbol.name, body }];
    }
    if (!ts.isClassDeclaration(node)) return [];
    return node.members.filter(ts.isMethodDeclaration).flatMap((method) => {
      const hidden =
        ts.isPrivateIdentifier(method.name) || ts.getCombinedModifierFlags(method) & ts.ModifierFlags.Private;
      return hidden ? [] : [{ name: `${symbol.name}.${method.name.getText()}`, body: method }];
    });
  });
}

/** Whether a parameter is an object of options, by its name or the name of its type, with more than a signal. */
function isOptions(parameter: ts.ParameterDeclaration, checker: ts.TypeChecker): boolean {
  const { name, type } = parameter;
  const isNamed = /^(?:options|given|choice|of|sources)$/.test(name.getText());
  if (!isNamed && !/(?:Options|Settings|Choice|Sources)\b/.test(type?.getText() ?? '')) return false;
  const given = checker.getNonNullableType(checker.getTypeAtLocation(parameter));
  return given.getCallSignatures().length === 0 && given.getProperties().some((member) => member.name !== 'signal');
}

/** Whether a function passes a parameter of it to `checkMembers`, itself or through a function that gets it whole. */
function isChecked(
  body: ts.FunctionLikeDeclaration,
  parameter: string,
  checker: ts.TypeChecker,
  seen: Set<ts.Node> = new Set(),
): boolean {
  if (seen.has(body) || body.body === undefined) return false;
  seen.add(body);
  const visit = (node: ts.Node): boolean => {
    if (ts.isCallExpression(node)) {
      const at = node.arguments.findIndex((one) => ts.isIdentifier(one) && one.text === parameter);
      if (at >= 0) {
        if (node.expression.getText() === 'checkMembers') return true;
        const called = checker.getResolvedSignature(node)?.declaration;
        const own = called?.parameters[at]?.name;
        if (called !== undefined && 'body' in called && own !== undefined && ts.isIdentifier(own)) {
          if (isChecked(called as ts.FunctionLikeDeclaration, own.text, checker, seen)) return true;
        }
      }
    }
    return ts.forEachChild(node, visit) === true;
  };
  return visit(body.body);
}

/** Public functions with options: how many there are, and which of them ignore a misspelt one. */
export interface FunctionsWithOptions {
  readonly count: number;
  /** `subpath: name(parameter)` */
  readonly unchecked: readonly string[];
}

/** Looks in src/ for functions with an object of options that never reaches `checkMembers`. */
export function readFunctionsWithOptions(): FunctionsWithOptions {
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
  const found = entries.flatMap(([subpath, path]) => {
    const file = program.getSourceFile(path);
    const module = file && checker.getSymbolAtLocation(file);
    if (module === undefined) throw new Error(`${path} exports nothing`);
    return checker.getExportsOfModule(module).flatMap((exported) => {
      const symbol = unaliased(exported, checker);
      if (seen.has(symbol)) return [];
      seen.add(symbol);
      return functionsOf(symbol).flatMap(({ name, body }) =>
        body.parameters
          .filter((own) => isOptions(own, checker))
          .map((own) => ({
            path: `${subpath}: ${name}(${ts.isIdentifier(own.name) ? own.name.text : '{…}'})`,
            isChecked: ts.isIdentifier(own.name) && isChecked(body, own.name.text, checker),
          })),
      );
    });
  });
  return { count: found.length, unchecked: found.filter((one) => !one.isChecked).map(({ path }) => path) };
}
